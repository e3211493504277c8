"""bin/in-image with fake runtimes: what it refuses, and what it hands to docker, podman and apptainer."""

import hashlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.bin.scripts import (
    copy_of,
    open_folder,
    ordinary_user,
    refusal,
    run,
    script,
    small_environment,
    tools_only,
    values_of,
)

LOCK = "numpy==1.16.0\n"
LOCK_DIGEST = hashlib.sha256(LOCK.encode()).hexdigest()
# answers what the launcher asks; writes a command to $FAKE_RAN, one argument a line, and ends with status 5
RUNTIME = """
case "$1 $2" in
  "image inspect") test -z "$FAKE_NO_IMAGE" || exit 1; echo "${FAKE_IMAGE-sha256:abc @LOCK}" ;;
  "inspect --labels") echo "encore.environment: cuda101"; echo "encore.lock: ${FAKE_LOCK-@LOCK}" ;;
  "version "*) exit "${FAKE_VERSION:-0}" ;;
  "run "* | "exec "*) printf '%s\\n' "$@" >"$FAKE_RAN"; exit 5 ;;
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


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


@pytest.fixture
def open_project():
    """A project that every user can read."""
    folder = open_folder()
    yield Project(Path(folder))
    for name in ("project", "project/.dvc/cache"):
        if os.path.exists(os.path.join(folder, name)):
            os.chmod(os.path.join(folder, name), 0o755)
    shutil.rmtree(folder)


def mounted(arguments, option="--volume"):
    return [value.split(":")[0] for value in values_of(option, arguments)]


# ---- refusals


@pytest.mark.parametrize("arguments", [["cuda101"], [""]])
def test_usage(project, arguments):
    assert project.refused(*arguments).startswith("usage: bin/in-image ENVIRONMENT COMMAND")


@pytest.mark.parametrize("name", ["cuda102", "cpu", "", "../cuda101"])
def test_an_unknown_environment(project, name):
    line = project.refused(name, "true")
    assert line == name + ": no environment of that name has an image; there are: cuda101 cuda118"


def test_a_dockerfile_without_its_lock(project):
    assert project.refused("cuda118", "true").startswith("cuda118: no environment of that name has an image")


def test_no_container_runtime(project):
    path = tools_only(project.folder / "tools")
    line = project.refused(ENCORE_RUNTIME="", PATH=path)
    assert line == "no container runtime: install docker, podman or apptainer, or set ENCORE_RUNTIME"


def test_a_runtime_that_does_not_exist(project):
    line = project.refused(ENCORE_RUNTIME="/nonexistent/docker")
    assert line == "ENCORE_RUNTIME: there is no program /nonexistent/docker"


def test_a_daemon_that_does_not_answer(project):
    line = project.refused(FAKE_NO_IMAGE="yes", FAKE_VERSION=1)
    assert line.endswith("docker does not answer: start its daemon, or set ENCORE_RUNTIME")


@pytest.mark.parametrize("name", ["docker", "podman"])
def test_no_image(project, name):
    runtime = project.runtimes[name]
    line = project.refused(ENCORE_RUNTIME=runtime, FAKE_NO_IMAGE="yes")
    options = " --format docker" if name == "podman" else ""
    build = "'{} build -f Dockerfile.cuda101{} -t encore-cuda101 .'".format(runtime, options)
    assert line == "no image encore-cuda101: build it with {}, or set ENCORE_IMAGE".format(build)


def apptainer_build(project):
    return (
        "'docker build -f Dockerfile.cuda101 -t encore-cuda101 .' and "
        "'{} build {}/encore-cuda101.sif docker-daemon:encore-cuda101:latest'"
    ).format(project.runtimes["apptainer"], project.root)


def test_no_image_of_apptainer(project):
    line = project.refused(ENCORE_RUNTIME=project.runtimes["apptainer"])
    assert line == "no image {0}/encore-cuda101.sif: build it with {1}, or set ENCORE_IMAGE".format(
        project.root, apptainer_build(project)
    )


@pytest.mark.parametrize("image", ["sha256:abc " + "0" * 64, "sha256:abc ", "sha256:abc <no value>"])
def test_an_image_that_is_older_than_the_lock(project, image):
    line = project.refused(FAKE_IMAGE=image)
    assert "image encore-cuda101 was not built from this locks/cuda101-rest.txt: build it again with" in line


def test_an_apptainer_image_that_is_older_than_the_lock(project):
    project.write("encore-cuda101.sif")
    line = project.refused(ENCORE_RUNTIME=project.runtimes["apptainer"], FAKE_LOCK="0" * 64)
    assert line.endswith(
        "was not built from this locks/cuda101-rest.txt: build it again with " + apptainer_build(project)
    )


def test_a_file_that_apptainer_cannot_read(project):
    project.write("encore-cuda101.sif")
    runtime = script(project.root / "broken" / "apptainer", "exit 255")
    line = project.refused(ENCORE_RUNTIME=runtime)
    assert "encore-cuda101.sif: {} cannot read this image: build it again".format(runtime) in line


@pytest.mark.parametrize("gpus", ["all", "0,1"])
def test_a_gpu_that_is_absent(project, gpus):
    line = project.refused(ENCORE_GPUS=gpus)
    assert line.startswith("ENCORE_GPUS={}, but this machine has no NVIDIA driver".format(gpus))


@pytest.mark.parametrize("missing", ["/nonexistent/data", "x"])
def test_a_further_folder_that_does_not_exist(project, missing):
    line = project.refused(ENCORE_MOUNTS="{}:{}".format(project.folder, missing))
    assert line == "ENCORE_MOUNTS: {}: no such folder".format(missing)


def test_a_project_of_another_user(open_project):
    before = ordinary_user()
    open_project.root.chmod(0o555)
    line = open_project.refused(before=before)
    user = "4242" if before else str(os.getuid())
    assert line.startswith("{}: user {} cannot write here: run as its owner".format(open_project.root, user))


def test_a_working_directory_of_another_user(open_project):
    before = ordinary_user()
    open_project.root.chmod(0o777)
    line = open_project.refused(before=before, cwd="/")
    assert line.startswith("/: user ") and "cannot write here" in line


def test_a_read_only_cache(open_project):
    before = ordinary_user()
    cache = open_project.root / ".dvc" / "cache"
    cache.mkdir(parents=True)
    cache.chmod(0o555)
    open_project.root.chmod(0o777)
    line = open_project.refused(before=before)
    assert line.startswith(
        "{}: the DVC cache is read-only, so no output could be kept: make it".format(cache)
    )


def test_the_build_command_of_another_environment_of_the_same_dockerfile(project):
    project.write("locks/cuda101-pandas-rest.txt", LOCK)
    line = project.refused("cuda101-pandas", "true", FAKE_IMAGE="sha256:abc 0")
    arguments = "--build-arg ENVIRONMENT=cuda101-pandas --build-arg LOCK_DIGEST={} ".format(LOCK_DIGEST)
    assert "build -f Dockerfile.cuda101 {}-t encore-cuda101-pandas .'".format(arguments) in line


# ---- what is handed to the runtime


def test_the_command_runs_in_the_image_as_this_user_in_this_folder(project):
    arguments = project.started("python", "-m", "x", "a b", "$HOME")
    assert arguments[:3] == ["run", "--rm", "--init"]
    assert arguments[-6:] == ["encore-cuda101", "python", "-m", "x", "a b", "$HOME"]
    assert values_of("--user", arguments) == ["{}:{}".format(os.getuid(), os.getgid())]
    assert values_of("--workdir", arguments) == [str(project.root)]
    assert values_of("--network", arguments) == ["none"]
    assert values_of("--shm-size", arguments) == ["64g"]
    assert values_of("--volume", arguments) == ["{0}:{0}".format(project.root)]
    assert "--gpus" not in arguments and "--userns" not in arguments


def test_what_the_command_finds_inside(project):
    variables = dict(value.split("=", 1) for value in values_of("--env", project.started()))
    assert variables.pop("ENCORE_MACHINE").endswith(" " + os.uname().nodename)
    assert variables == {
        "PYTHONPATH": "{0}/src:{0}".format(project.root),
        "ENCORE_IMAGE_DIGEST": "sha256:abc",
        "HOME": "/tmp",
    }


def test_variables_that_are_passed_on(project):
    given = {
        "ENCORE_ACCEPT_HARDWARE": "1",
        "OMP_NUM_THREADS": "4",
        "CUDA_VISIBLE_DEVICES": "0,1",
        "MASTER_ADDR": "node0",
        "MASTER_PORT": "29500",
        "RANK": "3",
        "LOCAL_RANK": "1",
        "WORLD_SIZE": "8",
    }
    passed = values_of("--env", project.started(NOT_PASSED_ON="x", **given))
    assert set("=".join(item) for item in given.items()) < set(passed)
    assert not any("NOT_PASSED_ON" in value for value in passed)


def test_what_a_user_may_choose(project):
    arguments = project.started(ENCORE_IMAGE="mine:2", ENCORE_SHM_SIZE="1g", ENCORE_NETWORK="host")
    assert arguments[-2:] == ["mine:2", "true"]
    assert values_of("--shm-size", arguments) == ["1g"] and values_of("--network", arguments) == ["host"]


@pytest.mark.parametrize(
    ("there", "chosen"),
    [
        (["apptainer", "docker", "podman"], "docker"),
        (["apptainer", "podman"], "podman"),
        (["apptainer"], "apptainer"),
    ],
)
def test_the_first_runtime_that_is_there(project, there, chosen):
    path = tools_only(project.folder / "tools")
    project.write("encore-cuda101.sif")
    for name in there:
        script(project.folder / "tools" / name, RUNTIME.replace("exit 5", "echo {}; exit 5".format(name)))
    done = project.run("cuda101", "true", ENCORE_RUNTIME="", PATH=path)
    assert (done.returncode, done.stdout, done.stderr) == (5, chosen + "\n", "")


def test_another_environment_of_the_same_dockerfile(project):
    project.write("locks/cuda101-pandas-rest.txt", LOCK)
    assert project.run("cuda101-pandas", "true").returncode == 5
    assert project.ran.read_text().splitlines()[-2:] == ["encore-cuda101-pandas", "true"]


# ---- mounts


def test_linked_data_is_mounted_where_it_lies(project):
    data = project.elsewhere("data")
    (project.root / "raw").mkdir()
    (project.root / "raw" / "train").symlink_to(str(data))
    (project.root / "raw" / "inside").symlink_to(str(project.write("real/file").parent))
    (project.root / "raw" / "gone").symlink_to("/nonexistent")
    assert mounted(project.started()) == [str(project.root), str(data)]


def test_a_linked_raw_folder_is_mounted_with_what_it_links(project):
    raw, data = project.elsewhere("all"), project.elsewhere("data")
    (raw / "train").symlink_to(str(data))
    (project.root / "raw").symlink_to(str(raw))
    assert sorted(mounted(project.started())) == sorted(map(str, [project.root, raw, data]))


def test_a_working_directory_outside_is_mounted(project):
    place = project.elsewhere("run with blank")
    arguments = project.started(cwd=place)
    assert mounted(arguments) == [str(project.root), str(place)]
    assert values_of("--workdir", arguments) == [str(place)]


def test_a_working_directory_inside_is_mounted_once(project):
    place = project.write("mini/dvc.yaml").parent
    arguments = project.started(cwd=place)
    assert mounted(arguments) == [str(project.root)]
    assert values_of("--workdir", arguments) == [str(place)]


def test_a_neighbour_with_the_same_beginning_is_not_inside(project):
    place = project.elsewhere("project2")
    assert mounted(project.started(cwd=place)) == [str(project.root), str(place)]


def test_a_project_behind_a_link_is_mounted_at_its_real_path(project):
    link = project.folder / "link"
    link.symlink_to(str(project.root))
    project.launcher = link / "bin" / "in-image"
    arguments = project.started(cwd=link)
    assert mounted(arguments) == [str(project.root)]
    assert values_of("--workdir", arguments) == [str(project.root)]


@pytest.mark.parametrize("file", [".dvc/config", ".dvc/config.local"])
@pytest.mark.parametrize("relative", [True, False])
def test_a_configured_cache_is_mounted(project, file, relative):
    cache = project.elsewhere("cache")
    written = "../../cache" if relative else cache
    project.write(
        file, "[core]\n    dir = /nonexistent\n[cache]\n    type = copy\n    dir = {}\n".format(written)
    )
    assert mounted(project.started()) == [str(project.root), str(cache)]


def test_the_local_configuration_wins(project):
    first, second = project.elsewhere("first"), project.elsewhere("second")
    project.write(".dvc/config", "[cache]\n    dir = {}\n".format(first))
    project.write(".dvc/config.local", "[cache]\n    dir = {}\n".format(second))
    assert mounted(project.started()) == [str(project.root), str(second)]


def test_a_cache_behind_a_link_is_mounted(project):
    cache = project.elsewhere("cache")
    project.write(".dvc/config", "[core]\n    analytics = false\n")
    (project.root / ".dvc" / "cache").symlink_to(str(cache))
    assert mounted(project.started()) == [str(project.root), str(cache)]


def test_a_cache_that_does_not_exist_yet_is_not_mounted(project):
    project.write(".dvc/config", "[cache]\n    dir = /nonexistent/cache\n")
    assert mounted(project.started()) == [str(project.root)]


def test_further_folders_are_mounted(project):
    first, second = project.elsewhere("first"), project.elsewhere("second")
    arguments = project.started(ENCORE_MOUNTS="{}:{}".format(first, second))
    assert mounted(arguments) == [str(project.root), str(first), str(second)]


def test_a_repository_that_is_gone_is_not_mounted(project):
    project.write(".git", "gitdir: /nonexistent")
    assert mounted(project.started()) == [str(project.root)]


@pytest.mark.skipif(not shutil.which("git"), reason="needs git")
def test_the_repository_of_a_worktree_is_mounted(project):
    repository = project.elsewhere("repository")
    git = ["git", "-c", "user.name=x", "-c", "user.email=x"]
    for command in (
        ["init"],
        ["commit", "--allow-empty", "-m", "x"],
        ["worktree", "add", project.folder / "w"],
    ):
        assert run(*(git + command), cwd=repository).returncode == 0
    shutil.move(str(project.folder / "w" / ".git"), str(project.root / ".git"))
    assert mounted(project.started()) == [str(project.root), str(repository / ".git")]


# ---- GPUs


@pytest.mark.parametrize(
    ("runtime", "gpus", "option", "values"),
    [
        ("docker", "all", "--gpus", ["all"]),
        ("docker", "0,2", "--gpus", ['"device=0,2"']),
        ("podman", "all", "--device", ["nvidia.com/gpu=all"]),
        ("podman", "0,2", "--device", ["nvidia.com/gpu=0", "nvidia.com/gpu=2"]),
    ],
)
def test_gpus(project, runtime, gpus, option, values):
    project.nvidia.write_text("")
    arguments = project.started(ENCORE_RUNTIME=project.runtimes[runtime], ENCORE_GPUS=gpus)
    assert values_of(option, arguments) == values
    assert not values_of(option, project.started(ENCORE_RUNTIME=project.runtimes[runtime]))


def test_all_gpus_where_there_are_some(project):
    assert "--gpus" not in project.started(ENCORE_GPUS="")
    project.nvidia.write_text("")
    assert values_of("--gpus", project.started(ENCORE_GPUS="")) == ["all"]


# ---- podman and apptainer


def test_podmans_digest_is_written_as_the_others(project):
    values = values_of("--env", project.started(FAKE_IMAGE="abc " + LOCK_DIGEST))
    assert "ENCORE_IMAGE_DIGEST=sha256:abc" in values


def test_podman_keeps_the_user_of_an_ordinary_user(open_project):
    before = ordinary_user()
    open_project.root.chmod(0o777)
    open_project.folder.chmod(0o777)
    arguments = open_project.started(before=before, ENCORE_RUNTIME=open_project.runtimes["podman"])
    assert values_of("--userns", arguments) == ["keep-id"]
    if before:
        assert values_of("--user", arguments) == ["4242:4242"]


@pytest.mark.skipif(os.getuid() != 0, reason="needs root")
def test_podman_as_root_maps_no_user(project):
    assert "--userns" not in project.started(ENCORE_RUNTIME=project.runtimes["podman"])


def test_apptainer_executes_the_file(project):
    image = project.write("encore-cuda101.sif", "image")
    data = project.elsewhere("data")
    arguments = project.started(
        "python", "-m", "x", ENCORE_RUNTIME=project.runtimes["apptainer"], ENCORE_MOUNTS=data
    )
    assert arguments[:2] == ["exec", "--cleanenv"]
    assert arguments[-4:] == [str(image), "python", "-m", "x"]
    assert values_of("--pwd", arguments) == [str(project.root)]
    assert values_of("--bind", arguments) == [str(project.root), str(data)]
    digest = "ENCORE_IMAGE_DIGEST=sha256:" + hashlib.sha256(b"image").hexdigest()
    assert digest in values_of("--env", arguments)
    assert "--nv" not in arguments and "--user" not in arguments and "--shm-size" not in arguments


def test_the_digest_of_a_replaced_file_is_taken_again(project):
    image = project.write("mine.sif", "image")
    apptainer = {"ENCORE_RUNTIME": project.runtimes["apptainer"], "ENCORE_IMAGE": image}
    project.started(**apptainer)
    image.write_text("another")
    os.utime(str(image), (time.time() + 10, time.time() + 10))
    digest = "ENCORE_IMAGE_DIGEST=sha256:" + hashlib.sha256(b"another").hexdigest()
    assert digest in values_of("--env", project.started(**apptainer))


def test_a_file_of_apptainer_in_a_folder_that_cannot_be_written(open_project):
    before = ordinary_user()
    images = open_project.elsewhere("images")
    (images / "mine.sif").write_text("image")
    images.chmod(0o555)
    open_project.root.chmod(0o777)
    open_project.folder.chmod(0o777)
    arguments = open_project.started(
        before=before, ENCORE_RUNTIME=open_project.runtimes["apptainer"], ENCORE_IMAGE=images / "mine.sif"
    )
    images.chmod(0o755)
    digest = "ENCORE_IMAGE_DIGEST=sha256:" + hashlib.sha256(b"image").hexdigest()
    assert digest in values_of("--env", arguments)


@pytest.mark.parametrize(("gpus", "devices"), [("all", []), ("0,2", ["CUDA_VISIBLE_DEVICES=0,2"])])
def test_gpus_of_apptainer(project, gpus, devices):
    project.nvidia.write_text("")
    project.write("encore-cuda101.sif")
    arguments = project.started(ENCORE_RUNTIME=project.runtimes["apptainer"], ENCORE_GPUS=gpus)
    assert "--nv" in arguments
    assert [value for value in values_of("--env", arguments) if value.startswith("CUDA")] == devices


# ---- signals

STARTED = 'printf \'%s\\n\' "$@" >"$FAKE_RAN"; exit 5'
WAITING = """trap 'exit 43' TERM INT
echo $$ >"$FAKE_RAN.new" && mv "$FAKE_RAN.new" "$FAKE_RAN"
while :; do sleep 0.02; done"""


@pytest.mark.parametrize("name", ["docker", "apptainer"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_reaches_the_runtime_which_takes_the_launchers_place(project, name, number):
    project.write("encore-cuda101.sif")
    waiting = script(project.folder / name, RUNTIME.replace(STARTED, WAITING))
    launcher = subprocess.Popen(
        [str(project.launcher), "cuda101", "sleep", "300"],
        cwd=str(project.root),
        env=small_environment(ENCORE_RUNTIME=waiting, ENCORE_GPUS="none", FAKE_RAN=str(project.ran)),
    )
    try:
        deadline = time.time() + 10
        while not project.ran.exists() and launcher.poll() is None and time.time() < deadline:
            time.sleep(0.01)
        assert int(project.ran.read_text()) == launcher.pid
        launcher.send_signal(number)
        assert launcher.wait(timeout=10) == 43
    finally:
        launcher.kill()
        launcher.wait()
