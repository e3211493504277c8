"""Train one network: `train TAG BACKBONE`, e.g. `train baseline_CC 50`; accepts every flag of the published
scripts."""

from __future__ import annotations

from encore.runtime.parameters import read_parameters
from encore.runtime.stage import run_stage, stage_parser
from encore.systems.isc.flags import add_published_flags
from encore.systems.isc.training_stage import run_training_stage
from encore.systems.isc_track1.backbones import BY_NAME
from encore.systems.isc_track1.data_sets import BASELINE_PAIR, BY_TAG
from encore.systems.isc_track1.runs import run_of
from encore.systems.isc_track1.test_plan import TestPlan
from encore.training.replay_step import add_replay_step


def main():
    parser = stage_parser(__doc__)
    parser.add_argument("tag", help="one of {}".format(", ".join(list(BY_TAG) + [BASELINE_PAIR])))
    parser.add_argument("backbone", help="one of {}".format(", ".join(BY_NAME)))
    add_replay_step(parser)
    arguments = add_published_flags(parser).parse_args()
    run = run_of(arguments.tag, arguments.backbone)
    plan = read_parameters(arguments.params, "isc_track1.test", TestPlan)
    run_training_stage(run.job(plan.groups, arguments.params), run.recipe(arguments.params), arguments)


if __name__ == "__main__":
    run_stage(main)
