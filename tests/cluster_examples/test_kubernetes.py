"""The examples for Kubernetes: valid by its schemas, read by kubectl, sound in what they name and start."""

from __future__ import annotations

import http.server
import importlib.util
import json
import os
import shutil
import subprocess
import threading

import pytest
import yaml

from checks.size import PROJECT
from tests.outside_programs import lacking

FOLDER = PROJECT / "cluster" / "kubernetes"
FILES = sorted(FOLDER.glob("*.yaml"))
KINDS = {
    ("", "v1"): {"services": "Service"},
    ("apps", "v1"): {"deployments": "Deployment"},
    ("batch", "v1"): {"jobs": "Job"},
    ("networking.k8s.io", "v1"): {"networkpolicies": "NetworkPolicy"},
}


def objects(path):
    return list(yaml.safe_load_all(path.read_text()))


def pods(path):
    """{kind/name: the pod's description} of whatever starts pods."""
    found = {f"{one['kind']}/{one['metadata']['name']}": one["spec"] for one in objects(path)}
    return {name: spec["template"] for name, spec in found.items() if "template" in spec}


POD = [(path, name) for path in FILES for name in pods(path)]


@pytest.fixture
def validate():
    if importlib.util.find_spec("kubernetes_validate") is None:
        lacking("kubernetes-validate is not installed: `make faults` does it")
    import kubernetes_validate

    def problems(value):
        """None, or what the schema of the newest Kubernetes says against it."""
        try:
            kubernetes_validate.validate(value, kubernetes_validate.latest_version(), strict=True)
        except kubernetes_validate.ValidationError as error:
            return error.message
        return None

    return problems


@pytest.fixture
def kubectl(tmp_path):
    """Runs kubectl with a server that only says which kinds of objects there are."""
    if shutil.which("kubectl") is None:
        lacking("kubectl is not installed")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Discovery) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()

        def run(*words):
            command = ["kubectl", f"--server=http://127.0.0.1:{server.server_port}", *map(str, words)]
            environment = {**os.environ, "HOME": str(tmp_path), "KUBECONFIG": "/dev/null"}
            return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)

        yield run
        server.shutdown()


class Discovery(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        data = json.dumps(self._answer(self.path.partition("?")[0])).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _answer(self, path):
        if path == "/api":
            return {"kind": "APIVersions", "versions": ["v1"]}
        if path == "/apis":
            groups = [_group(name, version) for name, version in KINDS if name]
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
        name, version = path.split("/")[-2:]
        kinds = KINDS["" if name == "api" else name, version]
        resources = [
            {"name": plural, "kind": kind, "namespaced": True, "verbs": ["create"]}
            for plural, kind in kinds.items()
        ]
        group = version if name == "api" else f"{name}/{version}"
        return {"kind": "APIResourceList", "groupVersion": group, "resources": resources}

    def log_message(self, *_):
        pass


def _group(name, version):
    versions = {"groupVersion": f"{name}/{version}", "version": version}
    return {"name": name, "versions": [versions], "preferredVersion": versions}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_object_is_valid(path, validate):
    assert [validate(one) for one in objects(path)] == [None] * len(objects(path))


def test_what_the_schema_does_not_know_is_found(validate):
    job = next(one for one in objects(FOLDER / "train.yaml") if one["kind"] == "Job")
    job["spec"]["completion"] = 2
    assert "completion" in validate(job)
    del job["spec"]["completion"]
    job["spec"]["template"]["spec"]["containers"][0]["image"] = 7
    assert validate(job)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_kubectl_reads_it(path, kubectl):
    done = kubectl("create", "--dry-run=client", "--validate=false", "--output=name", "--filename", path)
    assert done.returncode == 0, done.stderr
    names = {name.partition("/")[2] for name in done.stdout.split()}
    assert names == {one["metadata"]["name"] for one in objects(path)}


def test_kubectl_finds_a_kind_that_does_not_exist(kubectl, tmp_path):
    text = (FOLDER / "train.yaml").read_text().replace("kind: Job", "kind: Jobs")
    (tmp_path / "x.yaml").write_text(text)
    done = kubectl("create", "--dry-run=client", "--validate=false", "--filename", tmp_path / "x.yaml")
    assert done.returncode != 0 and 'no matches for kind "Jobs"' in done.stderr


@pytest.mark.parametrize(("path", "name"), POD)
def test_pods_have_no_rights_and_no_network_but_each_other(path, name):
    template = pods(path)[name]
    labels, spec = template["metadata"]["labels"], template["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True and spec["securityContext"]["runAsUser"] > 0
    for container in spec["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["image"].startswith("registry.example.org/encore-cuda1")
        assert "limits" in container["resources"] and not any("value" not in one for one in container["env"])
        mounts = {mount["name"] for mount in container["volumeMounts"]}
        assert mounts == {volume["name"] for volume in spec["volumes"]} == {"project", "shared-memory"}
    (policy,) = [one["spec"] for one in objects(path) if one["kind"] == "NetworkPolicy"]
    chosen = policy["podSelector"]["matchLabels"]
    assert chosen.items() <= labels.items() and policy["policyTypes"] == ["Ingress", "Egress"]
    assert policy["ingress"] == [{"from": [{"podSelector": {"matchLabels": chosen}}]}]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_service_leads_to_the_pod_that_the_others_ask_for(path):
    (service,) = [one for one in objects(path) if one["kind"] == "Service"]
    assert service["spec"]["clusterIP"] == "None" and service["spec"]["publishNotReadyAddresses"] is True
    chosen = [
        name
        for name, pod in pods(path).items()
        if service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    ]
    assert len(chosen) == 1
    port = service["spec"]["ports"][0]["port"]
    told = " ".join(pod["spec"]["containers"][0]["args"][0] for pod in pods(path).values())
    name = service["metadata"]["name"]
    assert f"{name}-0.{name} --master_port {port} " in told or f"--address {name}:{port} " in told


def started(tmp_path, path, name, **variables):
    """What the shell of a pod starts, by a fake Python that notes it: a list of argument lists."""
    fake = tmp_path / "python"
    fake.write_text('#!/bin/sh\nprintf "%s\\n" "$@" "" >>"$NOTES"\n')
    fake.chmod(0o755)
    container = pods(path)[name]["spec"]["containers"][0]
    known = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "NOTES": str(tmp_path / "notes"), **variables}
    subprocess.run([*container["command"], *container["args"]], env=known, check=True)
    return [call.split("\n") for call in (tmp_path / "notes").read_text().rstrip("\n").split("\n\n")]


def test_each_pod_of_the_training_has_its_rank(tmp_path):
    path = FOLDER / "train.yaml"
    (words,) = started(tmp_path, path, "Job/encore-train", JOB_COMPLETION_INDEX="1")
    assert words[:2] == ["-m", "torch.distributed.run"] and words[-2:] == ["-m", "stages.drip.train"]
    options = dict(zip(words, words[1:], strict=False))
    (job,) = [one["spec"] for one in objects(path) if one["kind"] == "Job"]
    assert options["--nnodes"] == str(job["completions"]) == str(job["parallelism"])
    gpus = job["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"]
    assert options["--nproc_per_node"] == gpus and options["--node_rank"] == "1"
    assert job["completionMode"] == "Indexed" and job["template"]["spec"]["subdomain"] == "encore-train"


def test_the_head_starts_ray_and_the_stage_and_a_worker_joins(tmp_path):
    path = FOLDER / "generate.yaml"
    head, stage = started(tmp_path, path, "Job/encore-generate")
    assert head[:4] == ["-m", "ray.scripts.scripts", "start", "--head"]
    assert head[head.index("--include-dashboard") + 1] == "false"
    assert stage[:3] == ["-m", "stages.isc_track2.generate", "--cluster"] and stage[3].endswith(":6379")
    (tmp_path / "notes").unlink()
    (worker,) = started(tmp_path, path, "Deployment/encore-ray-workers")
    assert worker[worker.index("--address") + 1] == "encore-ray:6379" and "--block" in worker


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_stages_exist(path):
    words = path.read_text().split()
    stages = {
        after for word, after in zip(words, words[1:], strict=False) if word == "-m" and "stages" in after
    }
    assert stages
    for name in stages:
        assert (PROJECT / f"{name.replace('.', '/')}.py").is_file(), name
