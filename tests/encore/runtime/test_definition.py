import os

import pytest
import yaml

from encore.runtime import definition
from encore.runtime.refusal import Refusal


@pytest.fixture
def locks(tmp_path, monkeypatch):
    monkeypatch.setattr(definition, "LOCKS", str(tmp_path))
    return tmp_path


def test_the_file_reads_the_same_with_a_yaml_library():
    with open(os.path.join(definition.LOCKS, "environments.yaml"), encoding="utf-8") as file:
        expected = yaml.safe_load(file)
    for name, found in definition.definitions().items():
        values = {
            key: list(value) if isinstance(value, tuple) else value for key, value in found._asdict().items()
        }
        assert {key: value for key, value in values.items() if value and key != "name"} == expected.pop(name)
    assert not expected


def test_every_environment_has_its_lock():
    for found in definition.definitions().values():
        assert definition.pins(found.lock) and definition.stated(found.lock)


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(
        Refusal,
        match="cuda999: no such environment; "
        "there are cuda101, cuda101-pandas, cuda101-ray, cuda118, cuda118-ray, cpu",
    ):
        definition.definition("cuda999")


@pytest.mark.parametrize("text", ["  lock: a.txt\n", "a:\n\tlock: a.txt\n", "a:\n  lock:\n", "a: b\n"])
def test_a_damaged_file_is_refused_by_line(locks, text):
    (locks / "environments.yaml").write_text(text)
    with pytest.raises(Refusal, match="environments.yaml: line [12]: expected"):
        definition.definitions()


def test_unknown_and_missing_keys_are_refused(locks):
    (locks / "environments.yaml").write_text("a:\n  lock: a.txt\n")
    with pytest.raises(Refusal, match="environments.yaml: a: .*python"):
        definition.definitions()
    (locks / "environments.yaml").write_text('a:\n  lock: a.txt\n  python: ["3"]\n  colour: red\n')
    with pytest.raises(Refusal, match="colour"):
        definition.definitions()


def test_a_missing_lock_is_refused(locks):
    with pytest.raises(Refusal, match="a.txt: missing"):
        definition.pins("a.txt")


def test_pins_and_what_was_asked_for(locks):
    (locks / "a.txt").write_text(
        "# comment\nFoo_bar[x]==1.0+cu118 \\\n    --hash=sha256:00\n"
        "baz==2 ; python_version < '3.8' \\\n    --hash=sha256:00\nplain==3\n"
    )
    (locks / "a.in").write_text("# uv: --x\n-r b.in\nFoo.Bar<2\n")
    (locks / "b.in").write_text("Plain\n")
    assert definition.pins("a.txt") == [
        ("foo-bar", "1.0+cu118", None),
        ("baz", "2", "python_version < '3.8'"),
        ("plain", "3", None),
    ]
    assert definition.stated("a.txt") == {"foo-bar", "plain"}
