"""A project folder for tests of bin/in-image, with fake runtimes that note what they are asked for."""

import hashlib

from tests.bin.scripts import (
    copy_of,
    refusal,
    run,
    script,
)

LOCK = "numpy==1.16.0\n"
LOCK_DIGEST = hashlib.sha256(LOCK.encode()).hexdigest()
# answers what the launcher asks; writes a command to $FAKE_RAN, one argument a line, and ends with status 5
RUNTIME = """
case "$1 $2" in
  "image inspect") test -z "$FAKE_NO_IMAGE" || exit 1; echo "${FAKE_IMAGE-sha256:abc @LOCK}" ;;
  "inspect --labels") echo "encore.environment: cuda101"; echo "encore.lock: ${FAKE_LOCK-@LOCK}" ;;
  "version "*) exit "${FAKE_VERSION:-0}" ;;
  "run "* | "exec "*) env >"$FAKE_RAN.env"; printf '%s\\n' "$@" >"$FAKE_RAN"; exit 5 ;;
  *) echo "unexpected: $*" >&2; exit 99 ;;
esac
""".replace("@LOCK", LOCK_DIGEST)


class Project:
    """A project folder with the launcher, an environment with a lock, and the runtimes."""

    def __init__(self, folder):
        self.folder = folder
        self.root = folder / "project"
        self.ran = folder / "ran"
        self.launcher = copy_of("bin/in-image", self.root)
        self.write("locks/cuda101-rest.txt", LOCK)
        self.write("Dockerfile.cuda101")
        self.write("Dockerfile.cuda118")
        self.nvidia = folder / "nvidiactl"
        self.runtimes = {
            name: script(folder / "runtimes" / name, RUNTIME) for name in ("docker", "podman", "apptainer")
        }

    def write(self, name, text=""):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def elsewhere(self, name):
        path = self.folder / name
        path.mkdir(parents=True)
        return path

    def run(self, *arguments, **options):
        """Run the launcher, with docker and without a GPU unless told otherwise."""
        before = options.pop("before", [])
        values = dict(
            {
                "ENCORE_RUNTIME": self.runtimes["docker"],
                "ENCORE_GPUS": "none",
                "ENCORE_NVIDIA": self.nvidia,
                "FAKE_RAN": self.ran,
                "cwd": self.root,
            },
            **options,
        )
        return run(*before, self.launcher, *arguments, **values)

    def started(self, *arguments, **options):
        """The arguments that the runtime gets; the exit code is the command's."""
        done = self.run("cuda101", *(arguments or ("true",)), **options)
        assert (done.returncode, done.stderr) == (5, "")
        return self.ran.read_text().splitlines()

    def refused(self, *arguments, **options):
        """The line of a refusal; nothing has run."""
        line = refusal(self.run(*(arguments or ("cuda101", "true")), **options))
        assert not self.ran.exists()
        return line
