"""Writes the years that it was started in and went on in into its output."""

import time

from encore.runtime.atomic import write_json
from encore.runtime.stage import run_stage


def main():
    years = set()
    for _ in range(6):  # some of the jumps are of an hour only
        write_json("data/before_the_clock", 1)
        years.add(time.localtime().tm_year)
    write_json("data/asking_the_clock", sorted(years))


if __name__ == "__main__":
    run_stage(main)
