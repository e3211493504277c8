"""Goes on from its parts and shows its output when all of it is there."""

import os

from encore.runtime.atomic import replacing
from encore.runtime.stage import Stage, run_stage


def main():
    with Stage("toy", "sound") as stage:
        work = stage.work_folder("a" * 64)
        for part in range(4):
            path = os.path.join(work, "part-%d" % part)
            if not os.path.exists(path):
                with replacing(path) as file:
                    file.write(b"%d" % part * 3000)
        stage.metrics({"parts": 4})
        stage.publish(work, "data/sound")


if __name__ == "__main__":
    run_stage(main)
