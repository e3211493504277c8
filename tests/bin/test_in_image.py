"""bin/in-image with fake runtimes: what it hands to docker, podman and apptainer."""

import hashlib
import os
import shutil
import signal
import subprocess
import time

import pytest

from tests.bin.launcher_project import LOCK, LOCK_DIGEST, RUNTIME
from tests.bin.scripts import (
    ordinary_user,
    run,
    script,
    small_environment,
    tools_only,
    values_of,
)


def mounted(arguments, option="--volume"):
    return [value.split(":")[0] for value in values_of(option, arguments)]


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
        "ENCORE_PROCESS_TIMEOUT": "60",
        "RAY_ADDRESS": "node0:6379",
        "NCCL_SOCKET_IFNAME": "ib0",
        "GLOO_SOCKET_IFNAME": "eth0",
        "ENCORE_REPLAY_STEP": "3:12",
        "ENCORE_CLUSTER": "node0:6379",
    }
    passed = values_of("--env", project.started(NOT_PASSED_ON="x", ENCORE_NETWORK="host", **given))
    assert set("=".join(item) for item in given.items()) < set(passed)
    assert not any("NOT_PASSED_ON" in value for value in passed)


@pytest.mark.parametrize("runtime", ["docker", "podman", "apptainer"])
def test_a_key_of_wandb_is_passed_on_without_being_shown(project, runtime):
    if runtime == "apptainer":
        project.write("encore-cuda101.sif", "image")
    chosen = project.runtimes[runtime]
    arguments = project.started(ENCORE_RUNTIME=chosen, WANDB_API_KEY="secret")
    assert not any("secret" in argument for argument in arguments)
    name = "APPTAINERENV_WANDB_API_KEY" if runtime == "apptainer" else "WANDB_API_KEY"
    assert name + "=secret" in open(str(project.ran) + ".env").read().splitlines()
    assert ("WANDB_API_KEY" in values_of("--env", arguments)) == (runtime != "apptainer")
    assert "WANDB_API_KEY" not in values_of("--env", project.started(ENCORE_RUNTIME=chosen))


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


def test_linked_data_in_a_folder_of_raw_is_mounted_where_it_lies(project):
    data = project.elsewhere("imagenet")
    (project.root / "raw" / "imagenet").mkdir(parents=True)
    (project.root / "raw" / "imagenet" / "train").symlink_to(data)
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


@pytest.mark.parametrize(
    ("chosen", "options"),
    [
        ({}, ["--net", "--network", "none"]),
        ({"ENCORE_NETWORK": "none"}, ["--net", "--network", "none"]),
        ({"ENCORE_NETWORK": "host"}, []),
        ({"ENCORE_NETWORK": "bridge"}, ["--net", "--network", "bridge"]),
    ],
)
def test_apptainer_gets_no_network_unless_asked(project, chosen, options):
    """Without `--net`, `--network` would have no effect."""
    project.write("encore-cuda101.sif")
    arguments = project.started(ENCORE_RUNTIME=project.runtimes["apptainer"], **chosen)
    assert [word for word in arguments if word.startswith("--net")] == options[:2]
    assert values_of("--network", arguments) == options[2:]


@pytest.mark.parametrize("runtime", ["docker", "podman"])
def test_no_network_unless_asked(project, runtime):
    chosen = {"ENCORE_RUNTIME": project.runtimes[runtime]}
    assert values_of("--network", project.started(**chosen)) == ["none"]
    assert values_of("--network", project.started(ENCORE_NETWORK="", **chosen)) == ["none"]
    assert values_of("--network", project.started(ENCORE_NETWORK="host", **chosen)) == ["host"]


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
        # A shell that was started with Ctrl-C ignored (a suite in the background) could not trap it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
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
