"""Makes other bits when it goes on than when it does not."""

import os

from encore.runtime.atomic import replacing, write_json
from encore.runtime.stage import Stage, run_stage


def main():
    with Stage("toy", "counting") as stage:
        work = stage.work_folder("a" * 64)
        starts = os.path.join(work, "starts")
        found = os.path.exists(starts)
        with replacing(starts) as file:
            file.write(b"x")
        path = os.path.join(work, "result")
        write_json(path, {"went on": found})
        stage.publish(path, "data/counting_starts")


if __name__ == "__main__":
    run_stage(main)
