import argparse

from encore.systems.isc.flags import FLAGS, add_published_flags, overrides

PUBLISHED = (
    "-ds isc_100k_256 -a resnet50 --margin 0.0 --num-instances 4 -b 128 -j 8 --warmup-step 5 "
    "--lr 0.00035 --iters 8000 --epochs 25 --height 256 --width 256 --data-dir here "
    "--logs-dir there"
)


def test_the_published_command_line_is_taken_and_warned_about():
    arguments = add_published_flags(argparse.ArgumentParser()).parse_args(PUBLISHED.split())
    chosen, warnings = overrides(arguments)
    assert chosen == dict(
        dataset="isc_100k_256",
        arch="resnet50",
        margin=0.0,
        instances=4,
        batch=128,
        workers=8,
        learning_rate=0.00035,
        iterations=8000,
        epochs=25,
        height=256,
        width=256,
        data_dir="here",
        logs_dir="there",
    )
    assert len(warnings) == 1 and warnings[0].startswith("--warmup-step 5: accepted and ignored")


def test_every_flag_without_effect_is_warned_about_when_typed():
    typed = (
        "--momentum 0.9 --weight-decay 5e-4 --warmup-step 10 --milestones 40 70 --eval-step 1 --rerank "
        "--features 0 --dropout 0 --evaluate"
    )
    chosen, warnings = overrides(add_published_flags(argparse.ArgumentParser()).parse_args(typed.split()))
    assert chosen == {} and len(warnings) == 9 == sum(flag.key is None for flag in FLAGS)
    assert (
        "--milestones [40, 70]: accepted and ignored, as by the published script: the schedule is a cosine"
    ) in warnings


def test_the_track_1_main_script_ignores_resume_and_says_so():
    arguments = add_published_flags(argparse.ArgumentParser()).parse_args(["--resume", "a.pth.tar"])
    assert overrides(arguments) == ({"resume": "a.pth.tar"}, [])
    chosen, warnings = overrides(arguments, ignored=("resume",))
    assert chosen == {}
    assert warnings == ["--resume a.pth.tar: accepted and ignored, as by the published script"]


def test_nothing_typed_overrides_nothing():
    assert overrides(add_published_flags(argparse.ArgumentParser()).parse_args([])) == ({}, [])
