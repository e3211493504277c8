"""Names its temporary file by its process, so that no later run removes it."""

import os

from encore.runtime.stage import run_stage


def main():
    os.makedirs("data", exist_ok=True)
    path = "data/leaving_temporaries.tmp-{}".format(os.getpid())
    with open(path, "wb") as file:
        file.write(b"x" * 3000)
    os.replace(path, "data/leaving_temporaries")


if __name__ == "__main__":
    run_stage(main)
