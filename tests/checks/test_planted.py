"""The search for a planted text: it is found wherever it is put, and nowhere else."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import lzma
import os
import subprocess
import sys
import tarfile
import zipfile

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.planted import BLOCK, Search
from encore.runtime.refusal import Refusal

TEXT = b"planted5d0c3b7e91a2f846"
PADDING = b"x" * 1000


def zipped(data, name="inner.txt"):
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return whole.getvalue()


def tarred(members, mode="w"):
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode=mode) as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return whole.getvalue()


def hdf5(write):
    whole = io.BytesIO()
    with h5py.File(whole, "w") as data:
        write(data)
    return whole.getvalue()


def compressed_dataset(data):
    data.create_dataset("deep/values", data=np.frombuffer(PADDING + TEXT, np.uint8), compression="gzip")


def text_dataset(data):
    data.create_dataset("names", data=[TEXT.decode(), "b"], dtype=h5py.string_dtype())


def attribute(data):
    data.create_group("one").attrs["note"] = "at " + TEXT.decode()


WHOLE = PADDING + TEXT + PADDING
PLANTED = {
    "plain": WHOLE,
    "base64": base64.b64encode(WHOLE),
    "gzip": gzip.compress(WHOLE),
    "bzip2": bz2.compress(WHOLE),
    "xz": lzma.compress(WHOLE),
    "zip": zipped(WHOLE),
    "name in a zip": zipped(b"", TEXT.decode()),
    "tar": tarred({"a/b": WHOLE}),
    "name in a tar": tarred({TEXT.decode(): b""}),
    "tar.gz": tarred({"a/b": WHOLE}, "w:gz"),
    "zip in tar.gz in gzip": gzip.compress(tarred({"a": zipped(WHOLE)}, "w:gz")),
    "numpy archive": (lambda file: (np.savez_compressed(file, a=np.array([TEXT])), file.getvalue())[1])(
        io.BytesIO()
    ),
    "HDF5 data": hdf5(compressed_dataset),
    "HDF5 text": hdf5(text_dataset),
    "HDF5 attribute": hdf5(attribute),
    "after the end of an archive": zipped(b"y") + TEXT,
    "before damage": gzip.compress(WHOLE + np.random.default_rng(0).bytes(3 * BLOCK), 1)[:-10],
}


def search(data):
    return Search(TEXT).said(data, "it")


@pytest.mark.parametrize("kind", PLANTED)
def test_it_is_found(kind):
    assert search(PLANTED[kind]).places, kind


@pytest.mark.parametrize("kind", PLANTED)
def test_another_text_is_not_found(kind):
    assert Search(b"planted5d0c3b7e91a2f847").said(PLANTED[kind], "it").places == []


def test_the_place_names_every_archive_on_the_way():
    assert search(tarred({"a/b": zipped(WHOLE, "c")})).places == ["it!a/b!c"]


@given(st.integers(BLOCK - 30, BLOCK + 5), st.integers(1, 4096))
def test_it_is_found_across_the_blocks_that_a_file_is_read_in(before, size):
    class Slow(io.BytesIO):
        def read(self, count=-1):
            return super().read(min(count, size) if count > 0 else size)

    data = b"x" * before + TEXT + b"x"
    assert search(data).places == ["it"]
    assert Search(TEXT).stream(Slow(data[before - 30 :]), "it").places == ["it"]


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_it_is_found_in_base64_at_every_alignment(before, after):
    assert search(base64.b64encode(before + TEXT + after)).places == ["it"]


def test_what_cannot_be_unpacked_is_told():
    found = Search(TEXT).said(b"PK\x03\x04 no archive", "a").said(b"\x1f\x8b no gzip", "b").said(b"good", "c")
    assert found.places == [] and found.unread == ["a", "b!"] and found.files == 4


def test_a_folder_with_names_and_links(tmp_path):
    (tmp_path / "in" / TEXT.decode()).mkdir(parents=True)
    (tmp_path / "in" / TEXT.decode() / "empty").write_bytes(b"")
    (tmp_path / "link").symlink_to(f"/nonexistent/{TEXT.decode()}")
    (tmp_path / "file").write_bytes(WHOLE)
    (tmp_path / "clean").write_bytes(PADDING)
    found = Search(TEXT).folder(tmp_path).places
    assert found == ["file", "link (its target)", f"in/{TEXT.decode()}/empty (its name)"]


def test_a_short_text_is_refused():
    with pytest.raises(Refusal, match="found by chance"):
        Search(b"secret")


def image_of(layer, configuration=b"{}", pack=bytes):
    """What `docker save` writes."""
    return tarred({"0/layer.tar": pack(layer), "config.json": configuration, "manifest.json": b"[]"})


def search_image(data):
    return subprocess.run(
        [sys.executable, "-m", "checks.planted"],
        input=data,
        capture_output=True,
        env={**os.environ, "PLANTED": TEXT.decode()},
    )


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_an_image(pack):
    clean = search_image(image_of(tarred({"etc/a": PADDING}), pack=pack))
    assert (clean.returncode, clean.stderr) == (0, b"") and b"found" not in clean.stdout
    held = search_image(image_of(tarred({"kept/.env": WHOLE}), pack=pack))
    assert held.returncode == 1 and b"!kept/.env\n" in held.stdout
    told = search_image(image_of(tarred({"a": b""}), b'{"history": "TOKEN=%s"}' % TEXT, pack))
    assert told.returncode == 1 and b"found in config.json\n" in told.stdout


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", b"no image"),
        (b"no archive", b"no image"),
        (tarred({"manifest.json": b"[]"}), b"no layer"),
        (tarred({"blobs/1": b"\x28\xb5\x2f\xfd packed"}), b"Zstandard"),
    ],
)
def test_a_search_of_nothing_is_no_success(data, said):
    done = search_image(data)
    assert done.returncode == 2 and said in done.stderr and done.stderr.count(b"\n") == 1


def test_an_image_cut_short_is_no_success():
    whole = image_of(tarred({"etc/a": os.urandom(50000)}))
    done = search_image(whole[:30000])
    assert done.returncode == 2, done.stdout + done.stderr
