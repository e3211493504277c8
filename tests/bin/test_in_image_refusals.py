"""bin/in-image: what it refuses, in one line, with nothing run."""

import os

import pytest

from tests.bin.launcher_project import LOCK, LOCK_DIGEST
from tests.bin.scripts import (
    ordinary_user,
    script,
    tools_only,
)


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


def test_a_cluster_without_a_network(project):
    line = project.refused(ENCORE_CLUSTER="10.0.0.1:6379")
    assert line.endswith("but the container has no network: set ENCORE_NETWORK=host too")


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
