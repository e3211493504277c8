"""What the kill suite says of sound and of broken programs in place of stages."""

from pathlib import Path

import pytest

from faults.kill.plan import Planned
from faults.kill.suite import Suite

HERE = Path(__file__).parent
MAKES = {
    "sound": ("data/sound", "metrics/toy/sound.json", "fingerprints/toy/sound.json"),
    "in_place": ("data/in_place",),
    "leaving_temporaries": ("data/leaving_temporaries",),
    "asking_the_clock": ("data/asking_the_clock", "data/before_the_clock"),
    "counting_starts": ("data/counting_starts", "fingerprints/toy/counting.json"),
    "talkative": ("data/talkative",),
}


def planned(name):
    command = ("python", "-m", f"killed_toys.{name}")
    return Planned(name=name, command=command, reads=(), makes=MAKES[name], after=())


@pytest.fixture(scope="module")
def found():
    """{program: {kind: Row}} of the short faults of all programs."""
    programs = {name: planned(name) for name in MAKES}
    rows = {name: {} for name in programs}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KILL_SECONDS_TO_DIE", "0.5")  # what lives on does so each time
        with Suite(lanes=1, programs=programs, imports=(HERE,)) as suite:
            suite.make_reference(programs)
            for row in suite.rows(programs, full=False):
                rows[row.place][row.kind] = row
    return rows


def losses(rows):
    return {kind: " ".join(row.losses) for kind, row in rows.items() if row.lost}


def test_a_sound_program_survives_every_fault(found):
    rows = found["sound"]
    assert losses(rows) == {}
    assert {"SIGKILL", "SIGKILL inside a write", "SIGTERM", "Ctrl-C", "file size limit"} <= set(rows)
    assert {"clock jump", "two runs at once"} <= set(rows)
    assert {"disk full (new files)", "read-only output (new files)"} <= set(rows)
    assert all(row.injected or row.skipped or row.kind.endswith("(tmpfs)") for row in rows.values())


def test_half_an_output_in_its_place_is_lost(found):
    assert "is visible, but not the final one" in losses(found["in_place"])["SIGKILL"]


def test_a_second_run_that_nobody_refuses_is_lost(found):
    assert "two runs at once" in losses(found["in_place"])


def test_temporaries_that_stay_are_lost(found):
    text = losses(found["leaving_temporaries"])["SIGKILL inside a write"]
    assert "data/leaving_temporaries.tmp-" in text and "is left" in text


def test_outputs_that_depend_on_the_clock_are_lost(found):
    rows = losses(found["asking_the_clock"])
    assert "data/asking_the_clock is visible, but not the final one" in rows["clock jump"]
    assert "SIGKILL" not in rows


def test_going_on_to_other_bits_is_lost(found):
    assert (
        "data/counting_starts is visible, but not the final one"
        in losses(found["counting_starts"])["SIGKILL"]
    )


def test_a_traceback_in_place_of_a_line_is_lost(found):
    assert "ended with status 1" in losses(found["talkative"])["disk full (new files)"]
    assert "ended with status" in losses(found["talkative"])["Ctrl-C"]


def test_a_process_that_lives_on_is_lost(found):
    assert "is alive after" in losses(found["talkative"])["SIGKILL"]


def test_a_loss_names_what_injects_it_again(found):
    assert found["in_place"]["SIGKILL"].losses[0].startswith("seed 0, number ")
