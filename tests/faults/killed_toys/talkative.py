"""Ends with a traceback where the disk is full, and leaves the process that it has started when it is
killed."""

import os
import subprocess
import sys

from encore.runtime.atomic import write_json


def main():
    started = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    os.makedirs("data", exist_ok=True)
    write_json("data/talkative", 1)
    started.kill()
    started.wait()


if __name__ == "__main__":
    main()
