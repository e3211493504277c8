from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.raw_data.inputs import read_inputs
from checks.raw_data.name_checks import name_problems, shown
from checks.raw_data.names import NamePattern
from checks.size import PROJECT


@dataclasses.dataclass
class Described:
    names: tuple
    groups: int | None = None
    per_group: tuple = ()


def problems(pattern, names, classes=(), **changes):
    return name_problems(Described((pattern,), **changes), sorted(names), classes)


def every(pattern, classes=()):
    return list(NamePattern.of(pattern, "here").names(classes))


@pytest.mark.parametrize(
    ("pattern", "count", "first", "last"),
    [
        ("T{000000..000192}.jpg", 193, "T000000.jpg", "T000192.jpg"),
        ("Q{50000..50009}.jpg", 10, "Q50000.jpg", "Q50009.jpg"),
        ("{0..10}_{0..1}.jpg", 22, "0_0.jpg", "10_1.jpg"),
        ("new{c=08..11}/class{c}_id{0..1}.jpg", 8, "new08/class08_id0.jpg", "new11/class11_id1.jpg"),
        ("a.txt", 1, "a.txt", "a.txt"),
    ],
)
def test_a_pattern_in_braces_says_every_name(pattern, count, first, last):
    names = every(pattern)
    assert (len(names), names[0], names[-1]) == (count, first, last)
    assert NamePattern.of(pattern, "here").count == count
    assert problems(pattern, names) == []


@given(st.integers(0, 120), st.integers(0, 40), st.integers(0, 3))
def test_names_and_matcher_agree(first, length, width):
    pattern = NamePattern.of(
        f"x{first:0{width}d}".replace("x", "x{") + f"..{first + length:0{width}d}}}.jpg", "here"
    )
    key = pattern.matcher(())
    assert [pattern.written(key(name)) for name in pattern.names(())] == list(pattern.names(()))
    assert key(f"x{first + length + 1}.jpg") is None and key("x.jpg") is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda names: names[:-1], ["missing: T09.jpg"]),
        (lambda names: names[4:], ["4 missing, the first: T00.jpg, T01.jpg, T02.jpg"]),
        (lambda names: [*names, "T10.jpg"], ["unexpected: T10.jpg"]),
        (lambda names: [*names[1:], "T00.jpeg"], ["T00.jpg is there as T00.jpeg"]),
        (lambda names: [*names[1:], "t00.JPG"], ["T00.jpg is there as t00.JPG"]),
        (lambda names: [*names[1:], "T0.jpg"], ["missing: T00.jpg", "unexpected: T0.jpg"]),
    ],
)
def test_every_deviation_is_named(change, said):
    assert problems("T{00..09}.jpg", change(every("T{00..09}.jpg"))) == said


def test_a_number_of_a_loose_pattern_is_missed_and_one_twice_is_found():
    pattern = "<class>/val_{1..4}.JPEG"
    classes = ["a", "b"]
    assert problems(pattern, ["a/val_1.JPEG", "a/val_2.JPEG", "b/val_3.JPEG", "b/val_4.JPEG"], classes) == []
    moved = ["a/val_1.JPEG", "b/val_1.JPEG", "b/val_3.JPEG", "c/val_4.JPEG"]
    assert problems(pattern, moved, classes) == [
        "missing: <class>/val_2.JPEG, <class>/val_4.JPEG",
        "unexpected: c/val_4.JPEG",
        "there twice: <class>/val_1.JPEG",
    ]


def test_a_missing_class_and_a_picture_in_the_wrong_one_are_named():
    pattern, classes = "{class}/{class}_#+.JPEG", ["n1", "n2", "n3"]
    names = ["n1/n1_10.JPEG", "n1/n1_2.JPEG", "n2/n2_7.JPEG"]
    assert problems(pattern, names, classes) == ["missing: n3/n3_#+.JPEG"]
    assert problems(pattern, [*names, "n3/n2_8.JPEG", "n3/n3_1.JPEG"], classes) == [
        "unexpected: n3/n2_8.JPEG"
    ]


def test_classes_and_numbers_together_say_every_name():
    pattern = "{class}/images/{class}_{0..1}.JPEG"
    names = [f"{name}/images/{name}_{number}.JPEG" for name in ("a", "b") for number in (0, 1)]
    assert problems(pattern, names, ["a", "b"], groups=2, per_group=(2, 2)) == []
    assert problems(pattern, names[1:], ["a", "b"], groups=2, per_group=(2, 2)) == [
        "missing: a/images/a_0.JPEG",
        "a: 1 files, expected 2",
    ]


def test_identities_are_counted_in_parentheses():
    names = ["0001_c1s1_000151_01.jpg", "0001_c2s1_000151_01.jpg", "0002_c2s1_000151_01.jpg"]
    pattern = "(####)_c{1..2}s#_######_##.jpg"
    assert problems(pattern, names, groups=2) == []
    assert problems(pattern, names[:2], groups=2) == ["1 classes or identities, expected 2"]
    assert problems(pattern, [*names, "Thumbs.db"], groups=2) == ["unexpected: Thumbs.db"]
    assert problems(pattern, names[:1], groups=1) == ["missing: ####_c2s#_######_##.jpg"]


def test_the_files_of_a_class_are_bounded():
    names = [f"{folder}/{i}" for folder, count in (("a", 1), ("b", 2), ("c", 5)) for i in range(count)]
    assert problems("*/#", names, per_group=(2, 4)) == [
        "a: 1 files, expected 2 to 4",
        "c: 5 files, expected 2 to 4",
    ]
    assert problems("*/#", [f"{i}/0" for i in range(5)], per_group=(2, 2))[-1] == "5 such classes in all"


def test_a_name_is_shown_on_one_line_whatever_bytes_it_holds():
    assert shown("a\nb\x1b[1m\udcff\t.jpg") == r"a\nb\x1b[1m\xff\t.jpg"
    assert shown("Größe 1.jpg") == "Größe 1.jpg"


def imagenet_classes():
    return (PROJECT / "checks/raw_data/imagenet_classes.txt").read_text().split()


def test_the_list_of_classes_is_that_of_imagenet():
    classes = imagenet_classes()
    assert len(set(classes)) == 1000 and classes == sorted(classes)
    assert (classes[0], classes[999]) == ("n01440764", "n15075141")


def test_the_published_description_of_imagenet_finds_a_class_that_lost_a_picture():
    row = read_inputs(PROJECT / "inputs.yaml")["labelled_training"]
    names = [f"{name}/{name}_{number}.JPEG" for name in imagenet_classes() for number in range(732)]
    assert name_problems(row, names, imagenet_classes()) == []
    names.remove("n01440764/n01440764_7.JPEG")
    assert name_problems(row, names, imagenet_classes()) == ["n01440764: 731 files, expected 732 to 1,300"]


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("training_images", "T123456.jpg", "T1234567.jpg"),
        ("query_images", "Q50000.jpg", "Q49999.jpg"),
        ("pair_queries", "Q00000.jpg", "Q50000.jpg"),
        (
            "labelled_validation",
            "n01440764/ILSVRC2012_val_00000293.JPEG",
            "n00000000/ILSVRC2012_val_00000293.JPEG",
        ),
        ("labelled_validation", "n01440764/ILSVRC2012_val_00000293.JPEG", "ILSVRC2012_val_00000293.JPEG"),
        ("imagenet_test", "ILSVRC2012_test_00100000.JPEG", "ILSVRC2012_test_00100001.JPEG"),
        ("reid_training", "0002_c1s1_000451_03.jpg", "-1_c1s1_000451_03.jpg"),
        ("reid_gallery", "-1_c1s1_000451_03.jpg", "Thumbs.db"),
        ("drip_face_frames", "F476583.jpg", "F476584.jpg"),
        ("published_isc_100k_256", "99999_19.jpg", "099999_19.jpg"),
        ("published_sre2l_in1k_4k_ipc50", "new007/class007_id049.jpg", "new007/class008_id049.jpg"),
        ("published_labels_cutmix", "epoch_299/batch_48.tar", "epoch_299/batch_49.tar"),
    ],
)
def test_the_published_names_are_what_the_sets_call_their_files(name, good, bad):
    row = read_inputs(PROJECT / "inputs.yaml")[name]
    classes = imagenet_classes() if row.classes else ()
    keys = [NamePattern.of(text, name).matcher(classes) for text in row.names]
    assert any(key(good) is not None for key in keys) and not any(key(bad) is not None for key in keys)
