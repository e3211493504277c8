"""No hostile pickle or torch file runs code, takes memory or gives numbers that it has not, on any torch."""

import io
import os
import pickle
import warnings

import pytest
import torch

from encore.runtime.refusal import Refusal
from encore.runtime.safe_load import safe_load
from encore.runtime.torch_file_check import check_torch_file
from faults.hostile import pickles

LONG = ("5 million steps",)
PACKED = {"pickle": bytes, "zip": pickles.in_torch_zip, "legacy": pickles.in_torch_legacy}


def refused(path, data):
    path.write_bytes(data)
    with warnings.catch_warnings(), pytest.raises(Refusal) as found:
        warnings.simplefilter("ignore")
        safe_load(str(path))
    message = str(found.value)
    assert str(path) in message and "\n" not in message and not isinstance(found.value.__cause__, MemoryError)
    return message


@pytest.mark.parametrize("form", sorted(PACKED))
@pytest.mark.parametrize("name", sorted(pickles.code_pickles("")))
def test_code_is_not_run_but_named(tmp_path, name, form):
    canary = tmp_path / "canary"
    message = refused(tmp_path / "x.pth", PACKED[form](pickles.code_pickles(str(canary))[name]))
    assert not canary.exists()
    assert "asks to run" in message or "expected" in message


@pytest.mark.parametrize("form", sorted(PACKED))
@pytest.mark.parametrize("name", sorted(set(pickles.broken_pickles()) - set(LONG)))
def test_pickles_that_contradict_themselves_are_refused(tmp_path, name, form):
    assert "is damaged" in refused(tmp_path / "x.pth", PACKED[form](pickles.broken_pickles()[name]))


@pytest.mark.parametrize("form", sorted(PACKED))
@pytest.mark.parametrize("name", sorted(pickles.endless_keys()))
def test_keys_whose_hash_takes_long_are_refused(tmp_path, name, form):
    message = refused(tmp_path / "x.pth", PACKED[form](pickles.endless_keys()[name]))
    assert "as a key" in message or "a number of at most 4096 bytes" in message


@pytest.mark.parametrize("form", sorted(PACKED))
@pytest.mark.parametrize("name", sorted(pickles.repeated_copies()))
def test_calls_that_copy_the_same_over_and_over_are_refused(tmp_path, name, form):
    message = refused(tmp_path / "x.pth", PACKED[form](pickles.repeated_copies()[name]))
    assert "calls that copy the same content over and over" in message


@pytest.mark.parametrize("name", sorted(pickles.repeated_copies()))
def test_the_same_calls_made_once_are_loaded(tmp_path, name):
    (tmp_path / "x.pkl").write_bytes(pickles.repeated_copies(times=1)[name])
    assert len(safe_load(str(tmp_path / "x.pkl"))) == 1


def test_a_torch_file_that_a_pickle_loads_over_and_over_is_refused(tmp_path):
    assert "over and over" in refused(tmp_path / "x.pkl", pickles.repeated_storage())
    (tmp_path / "x.pkl").write_bytes(pickles.repeated_storage(times=2))
    assert [len(storage) for storage in safe_load(str(tmp_path / "x.pkl"))] == [1 << 16] * 2


@pytest.mark.parametrize("form", sorted(PACKED))
@pytest.mark.parametrize("name", sorted(pickles.broken_types()))
def test_types_that_numpy_does_not_write_are_refused(tmp_path, name, form):
    message = refused(tmp_path / "x.pth", PACKED[form](pickles.broken_types()[name]))
    assert "expected the state of a number type" in message


def test_names_of_storages_are_not_walked_through(tmp_path):
    message = refused(tmp_path / "x.pth", pickles.endless_storage_names())
    assert "expected the names of 0 storages" in message


@pytest.mark.parametrize(
    "made, expected",
    [
        (pickles.in_capitals, "each name once, in small letters or capitals"),
        (pickles.two_directories, "a directory up to the end record"),
        (pickles.tar_and_legacy, "no tar archive"),
    ],
)
def test_a_file_that_shows_another_reader_another_pickle_is_refused(tmp_path, made, expected):
    assert expected in refused(tmp_path / "x.pth", made())


def changed_end(data, at, value):
    return data[:at] + value + data[at + len(value) :]


def test_zip_files_that_are_not_as_torch_writes_them_are_refused(tmp_path):
    good = pickles.in_torch_zip(pickles.tensor(), bytes(24))
    size = len(good)
    assert "the end of a zip file" in refused(tmp_path / "x.pth", changed_end(good, size - 2, b"\1") + b"x")
    assert "one directory" in refused(tmp_path / "x.pth", changed_end(good, size - 12, b"\2"))
    with pytest.raises(pickle.UnpicklingError, match="expected a file that torch.save wrote"):
        check_torch_file(io.BytesIO(b"junk" + good))


@pytest.mark.parametrize("packed", [pickles.in_torch_zip, pickles.in_torch_legacy])
@pytest.mark.parametrize("name", sorted(pickles.broken_tensors()))
def test_tensors_that_do_not_fit_their_storage_are_refused(tmp_path, name, packed):
    pickled, storage = pickles.broken_tensors()[name]
    assert "is damaged" in refused(tmp_path / "x.pth", packed(pickled, storage))


@pytest.mark.parametrize("packed", [pickles.in_torch_zip, pickles.in_torch_legacy])
def test_the_same_tensor_with_sizes_that_fit_is_loaded(tmp_path, packed):
    (tmp_path / "x.pth").write_bytes(packed(pickles.tensor(), bytes(24)))
    assert safe_load(str(tmp_path / "x.pth"))["weight"].tolist() == [[0.0] * 3] * 2


@pytest.mark.parametrize("name", sorted(pickles.harmless_bombs()))
def test_lists_in_lists_load_and_are_not_walked_through(tmp_path, name):
    (tmp_path / "x.pkl").write_bytes(pickles.harmless_bombs()[name])
    assert isinstance(safe_load(str(tmp_path / "x.pkl")), (list, tuple))


@pytest.mark.parametrize("name", ["REDUCE", "STACK_GLOBAL", "INST", "OBJ", "eval", "inside a list"])
def test_the_pickles_would_run(tmp_path, name):
    """Else the tests above prove nothing: Python's own loader runs them."""
    canary = tmp_path / "canary"
    pickle.loads(pickles.code_pickles(str(canary))[name])
    assert canary.is_dir()


def test_a_named_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(str(tmp_path / "x.pth"))
    with pytest.raises(Refusal, match="found a named pipe"):
        safe_load(str(tmp_path / "x.pth"))


@pytest.mark.skipif(
    not hasattr(torch.serialization, "add_safe_globals"), reason="this torch has no check of its own"
)
def test_no_line_advises_to_load_without_a_check(tmp_path):
    data = b"\x80\x02}N0."  # drops a value again, which torch's own check does not know
    message = refused(tmp_path / "x.pth", pickles.in_torch_zip(data))
    assert "weights_only" not in message and "is damaged or incomplete (a step that" in message
