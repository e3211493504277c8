"""containers/install-python and install-lock, in a folder of the test and with fake programs."""

import hashlib
import re

import pytest

from tests.bin.scripts import copy_of, refusal, run, script, tools_only

# an interpreter that tells how it is called, and makes another where it is told to make an environment
PYTHON = """
echo "${0##*/} $*" >>@FOLDER/calls
case "$*" in
  "-m venv --help") exit 0 ;;
  "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
esac
"""
CURL = """
echo "curl $*" >>@FOLDER/calls
output=/dev/stdout
while [ $# -gt 0 ]; do
  if [ "$1" = --output ]; then output=$2; fi
  url=$1; shift
done
cat @FOLDER/answer >"$output"
"""
MICROMAMBA = """#!/bin/sh
echo "micromamba $*" >>@FOLDER/calls
mkdir -p @FOLDER/opt/python/bin && cp @FOLDER/interpreter @FOLDER/opt/python/bin/python
"""
CONDA_TORCH = "python=3.7.10 pip pytorch=1.7.1"
CONDA_PYTHON = "python=3.7.10 pip"


class Image:
    """The scripts, with /opt and /tmp below a folder, and programs that note their calls."""

    def __init__(self, folder):
        self.folder = folder
        self.path = tools_only(folder / "tools")
        (folder / "tmp").mkdir()
        script(folder / "interpreter", self.placed(PYTHON))
        script(folder / "tools" / "curl", self.placed(CURL))
        self.answer(self.placed(MICROMAMBA))

    def placed(self, text):
        return text.replace("@FOLDER", str(self.folder))

    def answer(self, text):
        """What the net answers, which the copy of the script takes for the right program."""
        (self.folder / "answer").write_text(text)
        self.digest = hashlib.sha256(text.encode()).hexdigest()

    def base_interpreter(self, name, text=PYTHON):
        return script(self.folder / "tools" / name, self.placed(text))

    def run(self, name, **variables):
        path = copy_of("containers/" + name, self.folder)
        path.write_text(re.sub(r"(?<![\w/])(?=/(opt|tmp)/)", str(self.folder), path.read_text()))
        path.write_text(re.sub(r"\b[0-9a-f]{64}\b", self.digest, path.read_text()))
        return run(path, PATH=self.path, **variables)

    def calls(self):
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def image(tmp_path):
    return Image(tmp_path)


# ---- install-python


def install_python(image, **changes):
    arguments = {
        "PYTHON_VERSION": "3.7",
        "CONDA_SPEC": CONDA_TORCH,
        "TORCH_SPEC": "torch==1.7.1+cu101 torchvision==0.8.2+cu101",
        "TORCH_OPTIONS": "--find-links place",
    }
    return image.run("install-python", **dict(arguments, **changes))


PIP = "python -m pip install --no-deps --disable-pip-version-check --quiet "


def test_the_bases_interpreter_and_torch_from_the_index(image):
    image.base_interpreter("python3.7")
    done = install_python(image)
    assert (done.returncode, done.stderr) == (0, "")
    assert image.calls() == [
        "python3.7 -m venv --help",
        "python3.7 -m venv {}/opt/python".format(image.folder),
        PIP + "--find-links place torch==1.7.1+cu101 torchvision==0.8.2+cu101",
    ]


def test_torch_from_a_lock(image):
    image.base_interpreter("python3.10")
    done = install_python(
        image, PYTHON_VERSION="3.10", TORCH_OPTIONS="", TORCH_SPEC="--require-hashes -r lock.txt"
    )
    assert done.returncode == 0 and image.calls()[-1] == PIP + "--require-hashes -r lock.txt"


@pytest.mark.parametrize(
    ("name", "text"),
    [("python3.6", PYTHON), ("python3", PYTHON), ("python3.7", "exit 1")],
    ids=["another version", "any version", "no venv"],
)
def test_conda_where_the_base_has_no_such_interpreter(image, name, text):
    image.base_interpreter(name, text)
    done = install_python(image)
    assert (done.returncode, done.stderr) == (0, "")
    download, create = image.calls()
    assert " --output {}/tmp/micromamba https://".format(image.folder) in download
    assert "--fail" in download
    assert create == (
        "micromamba create --yes --quiet --root-prefix {0}/opt/conda --prefix {0}/opt/python "
        "--channel conda-forge python=3.7.10 pip pytorch=1.7.1"
    ).format(image.folder)
    assert list((image.folder / "tmp").iterdir()) == []


def test_conda_for_the_interpreter_alone_and_torch_from_the_index(image):
    assert install_python(image, CONDA_SPEC=CONDA_PYTHON).returncode == 0
    assert image.calls()[-1].startswith(PIP + "--find-links place torch==1.7.1+cu101")


def test_a_download_with_another_digest_is_not_run(image):
    image.digest = "0" * 64
    assert install_python(image).returncode != 0
    assert [call.split()[0] for call in image.calls()] == ["curl"]


def test_a_download_that_fails(image):
    image.base_interpreter("curl", "echo 'curl: (22) 404' >&2; exit 22")
    done = install_python(image)
    assert done.returncode == 22 and "404" in done.stderr and image.calls() == []


# ---- install-lock


def install_lock(image, digest):
    image.base_interpreter("../opt/python/bin/python")
    lock = image.folder / "opt" / "encore" / "locks" / "cuda101-rest.txt"
    lock.parent.mkdir(parents=True)
    lock.write_text("numpy==1.16.0\n")
    return image.run("install-lock", ENVIRONMENT="cuda101", LOCK_DIGEST=digest), lock


def test_the_lock_that_the_dockerfile_names_is_installed_by_digest(image):
    done, lock = install_lock(image, hashlib.sha256(b"numpy==1.16.0\n").hexdigest())
    assert (done.returncode, done.stderr) == (0, "")
    (call,) = image.calls()
    assert call.startswith("python -m pip install --no-deps --require-hashes ")
    assert "--requirement {}".format(lock) in call


@pytest.mark.parametrize("digest", ["0" * 64, ""])
def test_another_lock_than_the_dockerfile_names(image, digest):
    done, lock = install_lock(image, digest)
    assert refusal(done) == (
        "{} is not the lock that the Dockerfile names (LOCK_DIGEST): run 'make locks', "
        "or give the digest as a build argument".format(lock)
    )
    assert image.calls() == []


def test_an_environment_without_a_lock(image):
    done = image.run("install-lock", ENVIRONMENT="cuda102", LOCK_DIGEST="0" * 64)
    assert done.returncode == 2 and "cuda102-rest.txt is not the lock" in done.stderr
    assert image.calls() == []
