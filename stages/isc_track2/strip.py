"""Drop the classifiers of the final checkpoint, as published, and keep the untrained network too."""

from __future__ import annotations

import os

from encore.runtime.parameters import recipe_digest
from encore.runtime.stage import Stage, needed, run_stage, stage_parser
from encore.systems.isc.parameters import training_recipe
from encore.systems.isc.start_weights import write_untrained
from encore.training.checkpoint import epoch_path, strip_file

LOGS = "models/isc_track2/logs"
START = "models/isc_track2/start.pth"
TRAINED = "models/isc_track2/trained.pth.tar"
UNTRAINED = "models/isc_track2/untrained.pth.tar"


def main():
    arguments = stage_parser(__doc__).parse_args()
    with Stage("isc_track2", "strip") as stage:
        recipe = training_recipe(arguments.params, "isc_track2")
        stage.seed = recipe.seed
        work = stage.work_folder(recipe_digest(recipe.digest(), recipe.epochs))
        trained, untrained = (os.path.join(work, name) for name in ("trained.pth.tar", "untrained.pth.tar"))
        strip_file(needed(epoch_path(LOGS, recipe.epochs - 1)), trained)
        write_untrained(recipe, needed(START), untrained)
        stage.publish(trained, TRAINED)
        stage.publish(untrained, UNTRAINED)


if __name__ == "__main__":
    run_stage(main)
