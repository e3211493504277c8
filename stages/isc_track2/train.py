"""Train the network on isc_100k_256; accepts every flag of the published training script."""

from __future__ import annotations

from encore.runtime.stage import run_stage, stage_parser
from encore.systems.isc.flags import add_published_flags
from encore.systems.isc.parameters import training_recipe
from encore.systems.isc.training_stage import TrainingJob, run_training_stage
from encore.training.replay_step import add_replay_step

JOB = TrainingJob(
    system="isc_track2",
    data="data/isc_100k_256",
    start="models/isc_track2/start.pth",
    output="models/isc_track2/logs",
    curves="plots/isc_track2/loss.csv",
)


def main():
    parser = stage_parser(__doc__)
    add_replay_step(parser)
    arguments = add_published_flags(parser).parse_args()
    run_training_stage(JOB, training_recipe(arguments.params, "isc_track2"), arguments)


if __name__ == "__main__":
    run_stage(main)
