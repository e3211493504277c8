"""What `--cluster` does without a cluster: the default stays as it is, and mistakes are said at once."""

import socket
import subprocess
import sys

import pytest

from encore.runtime import shard_map
from encore.runtime.refusal import Refusal
from encore.runtime.shard_map import map_units, on_cluster, use_cluster
from encore.runtime.stage import stage_parser


@pytest.fixture(autouse=True)
def local_again(monkeypatch):
    yield
    use_cluster("local")


def test_the_default_runs_without_ray():
    code = (
        "import sys; sys.modules['ray'] = None\n"
        "from encore.runtime.stage import stage_parser\n"
        "from encore.runtime.shard_map import map_units\n"
        "stage_parser('', maps=True).parse_args([])\n"
        "assert list(map_units(lambda: abs, [-1, -2], 2)) == [1, 2]\n"
        "del sys.modules['ray']\n"
        "assert not [name for name in sys.modules if name.partition('.')[0] == 'ray']\n"
        "assert 'encore.runtime.cluster_map' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_stage_that_maps_takes_an_address(monkeypatch):
    monkeypatch.setattr(shard_map.importlib.util, "find_spec", lambda name: name)
    assert stage_parser("", maps=True).parse_args(["--cluster", "here:1"]).cluster == "here:1"
    assert on_cluster()
    stage_parser("", maps=True).parse_args(["--cluster", "local"])
    assert not on_cluster()


def test_the_variable_stands_for_the_flag(monkeypatch):
    monkeypatch.setattr(shard_map.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setenv("ENCORE_CLUSTER", "there:2")
    assert stage_parser("", maps=True).parse_args([]).cluster == "there:2"
    assert on_cluster()
    assert stage_parser("", maps=True).parse_args(["--cluster", "local"]).cluster == "local"
    assert not on_cluster()


def test_a_stage_that_does_not_map_refuses_the_flag_and_leaves_the_variable(monkeypatch):
    monkeypatch.setenv("ENCORE_CLUSTER", "there:2")
    assert stage_parser("").parse_args([]).cluster is None
    assert not on_cluster()
    with pytest.raises(Refusal, match="--cluster there:2: .* leave --cluster out"):
        stage_parser("").parse_args(["--cluster", "there:2"])


def test_an_empty_flag_is_refused_and_an_empty_variable_means_here(monkeypatch):
    for empty in ("", " "):
        with pytest.raises(Refusal, match="--cluster: empty: give host:port"):
            stage_parser("", maps=True).parse_args(["--cluster", empty])
        monkeypatch.setenv("ENCORE_CLUSTER", empty)
        assert stage_parser("", maps=True).parse_args([]).cluster == "local"
        assert not on_cluster()


def test_a_ray_that_does_not_import_is_one_line(monkeypatch, tmp_path):
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "__init__.py").write_text("raise ImportError('libstdc++ is\\nmissing')\n")
    monkeypatch.delitem(sys.modules, "ray", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    use_cluster("127.0.0.1:1")
    with pytest.raises(Refusal) as refusal:
        list(map_units(lambda: abs, [1], 1))
    said = str(refusal.value)
    assert said.startswith("--cluster 127.0.0.1:1: Ray is installed for " + sys.executable)
    assert "does not import (ImportError: libstdc++ is missing): install it again" in said


def test_without_ray_the_flag_says_what_to_install(monkeypatch):
    monkeypatch.setattr(shard_map.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(Refusal, match="Ray is not installed for .*: install the version"):
        use_cluster("auto")


def test_an_address_where_nothing_listens_is_said_at_once():
    pytest.importorskip("ray")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = "127.0.0.1:{}".format(free.getsockname()[1])
    use_cluster(address)
    with pytest.raises(Refusal, match="--cluster {}: nothing answers there".format(address)):
        list(map_units(lambda: abs, [1], 1))


def test_all_units_go_to_a_worker_that_reads_ahead():
    class Sums(shard_map.ReadingAhead):
        def __init__(self):
            self.calls = []

        def each(self, units):
            self.calls.append(units)
            return iter([unit + 1 for unit in units])

    worker = Sums()
    assert list(map_units(lambda: worker, range(4), 1)) == [1, 2, 3, 4]
    assert worker.calls == [[0, 1, 2, 3]]
    assert list(map_units(Sums, range(4), 2)) == [1, 2, 3, 4]
