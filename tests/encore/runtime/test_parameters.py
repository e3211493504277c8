from dataclasses import dataclass
from typing import Optional, Tuple

import pytest

from encore.runtime.parameters import from_mapping, limited, read_parameters, read_section, recipe_digest
from encore.runtime.refusal import Refusal


@dataclass(frozen=True)
class Inner:
    rate: float = limited(low=0, high=1)


@dataclass(frozen=True)
class Outer:
    count: int = limited(low=1)
    name: str = limited(choices=("a", "b"))
    inner: Inner
    scales: Tuple[int, ...] = limited((200,), low=1)
    extra: Optional[Inner] = limited(None)
    on: bool = False


GOOD = {"count": 3, "name": "a", "inner": {"rate": 0.5}}


def test_reads_nested_values_and_defaults(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("one:\n  two: {count: 3, name: b, inner: {rate: 1}, scales: [1, 2], extra: {rate: 0}}\n")
    value = read_parameters(path, "one.two", Outer)
    assert value == Outer(3, "b", Inner(1.0), (1, 2), Inner(0.0), False)
    assert isinstance(value.inner.rate, float)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"colour": 1}, "p.yaml: s.colour: unknown key; known are count, extra, inner, name, on, scales"),
        ({"count": 0}, "p.yaml: s.count: expected 1 to ∞, found 0"),
        ({"count": "3"}, "p.yaml: s.count: expected a whole number, found '3': write 3, without quotes"),
        (
            {"count": "1e3"},
            "p.yaml: s.count: expected a whole number, found '1e3': write 1000, without quotes",
        ),
        ({"count": "2.5"}, "p.yaml: s.count: expected a whole number, found '2.5'"),
        ({"inner": {"rate": "much"}}, "p.yaml: s.inner.rate: expected a number, found 'much'"),
        ({"inner": {"rate": "inf"}}, "p.yaml: s.inner.rate: expected a number, found 'inf'"),
        ({"count": True}, "p.yaml: s.count: expected a whole number, found True"),
        ({"count": 2.0}, "p.yaml: s.count: expected a whole number, found 2.0"),
        ({"name": "c"}, "p.yaml: s.name: expected one of a, b, found 'c'"),
        ({"inner": 3}, "p.yaml: s.inner: expected keys and values, found 3"),
        ({"inner": {"rate": 2}}, "p.yaml: s.inner.rate: expected 0 to 1, found 2.0"),
        ({"inner": {"rate": float("nan")}}, "p.yaml: s.inner.rate: expected a number, found NaN"),
        ({"inner": {}}, "p.yaml: s.inner.rate: missing; expected a number"),
        ({"scales": [5, 0]}, "p.yaml: s.scales[1]: expected 1 to ∞, found 0"),
        ({"scales": 5}, "p.yaml: s.scales: expected a list, found 5"),
        ({"extra": {"rat": 1}}, "p.yaml: s.extra.rat: unknown key; known are rate"),
    ],
)
def test_names_file_and_key_path(change, message):
    with pytest.raises(Refusal) as error:
        from_mapping(Outer, dict(GOOD, **change), "p.yaml: s")
    assert str(error.value) == message


@pytest.mark.parametrize(
    "text, number", [("1e-3", "0.001"), ("1e-7", "1.0e-07"), ("2.5e3", "2500.0"), ("1e30", "1.0e+30")]
)
def test_what_to_write_for_a_number_that_yaml_takes_for_text(tmp_path, text, number):
    path = tmp_path / "params.yaml"
    path.write_text("s: {rate: %s}" % text)
    with pytest.raises(Refusal) as error:
        read_parameters(path, "s", Inner)
    found = "s.rate: expected a number, found '%s': write %s, without quotes; powers of ten as 1.0e-3"
    assert found % (text, number) in str(error.value)
    path.write_text("s: {rate: %s}" % number)
    assert read_section(path, "s") == {"rate": float(text)}


@pytest.mark.parametrize(
    "text, part",
    [
        ("a: 1", "the section s is missing"),
        ("a: [", "not valid YAML"),
        ("s: 3", "the section s.t is missing"),
    ],
)
def test_broken_files(tmp_path, text, part):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(Refusal, match=part):
        read_parameters(path, "s.t", Outer)


def test_missing_file(tmp_path):
    with pytest.raises(Refusal, match="no such parameter file"):
        read_parameters(tmp_path / "none.yaml", "s", Outer)


def test_recipe_digest_sees_every_value():
    first = from_mapping(Outer, GOOD, "")
    assert recipe_digest(first) == recipe_digest(from_mapping(Outer, GOOD, ""))
    assert recipe_digest(first) != recipe_digest(from_mapping(Outer, dict(GOOD, on=True), ""))
    assert recipe_digest(first, {"digest": "x"}) != recipe_digest(first)
