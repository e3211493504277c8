"""The locks: what an offline check notices, what drift looks like, and that the real ones are whole."""

import re
import stat
import zipfile

import pytest

from checks import locks
from checks.size import PROJECT
from encore.runtime.refusal import Refusal

PUBLISHED = """torch==1.7.1 torchvision==0.8.2 faiss-gpu==1.7.1 numpy==1.16.0 augly==0.1.4 h5py==3.4.0
pandas==1.3.3 scikit-image==0.18.3 scikit-learn==1.0 pillow==8.3.2 selectivesearch==0.4""".split()
CUDA_BUILD = {
    "cuda101": {"torch", "torchvision", "faiss-gpu"},
    "cuda118": {"torch", "torchvision", "faiss-cpu", "triton", "cmake", "lit"},
    "cpu": {"torch", "torchvision", "triton", "cuda-bindings", "cuda-pathfinder", "cuda-toolkit"},
}
FAKE_UV = """#!/bin/sh
echo "UV_DEFAULT_INDEX=$UV_DEFAULT_INDEX UV_EXTRA_INDEX_URL=$UV_EXTRA_INDEX_URL" "$@" >> "{log}"
for input; do test "$last" != --output-file || output=$input; last=$input; done
test "${{input##*/}}" != "$BROKEN" || {{ echo "no version of x" >&2; exit 1; }}
cat "${{input%.in}}.answer" > "$output"
"""


def hashed(*pins):
    return "".join(f"{pin} \\\n    --hash=sha256:{i:064x}\n" for i, pin in enumerate(pins, 1))


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with made locks, and a `uv` that answers with `locks/<env>.answer`."""
    folder = tmp_path / "locks"
    folder.mkdir()
    for name in (*locks.ENVIRONMENTS, *locks.ALONE):
        include = "-r cuda101.in\n" if name == "cuda101-pandas" else ""
        (folder / f"{name}.in").write_text(
            f"# uv: --python-version 3.7.16 --exclude-newer 2021-11-02T00:00:00Z\n{include}numpy\ntorch\n"
        )
        (folder / f"{name}.answer").write_text(
            hashed("lit==1.0", "nvidia-nccl-cu11==2.0", "numpy==1.0 ; x == 'y'", "torch==2.0")
        )
    (folder / "cuda101.override").write_text("numpy==1.0\n")
    (tmp_path / "Dockerfile.cuda101").write_text("FROM base\nARG LOCK_DIGEST=none\nUSER encore\n")
    uv = tmp_path / "bin" / "uv"
    uv.parent.mkdir()
    uv.write_text(FAKE_UV.format(log=tmp_path / "uv.log"))
    uv.chmod(uv.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(locks, "find_uv", lambda: str(uv))
    locks.write_locks(tmp_path)
    return tmp_path


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def only_problem(project, resolve=False):
    problems = locks.check_locks(project, resolve)
    assert len(problems) == 1, problems
    assert "\n" not in problems[0]
    return problems[0]


def test_made_locks_pass_and_are_made_once(project):
    assert locks.check_locks(project, resolve=True) == []
    assert locks.write_locks(project) == []


def test_the_rest_lacks_the_cuda_build_alone(project):
    rest = locks.read_entries(locks.rest_lock(project, "cuda101").read_text())
    assert list(rest) == ["numpy==1.0 ; x == 'y'"]


def test_uv_gets_the_options_the_override_and_no_foreign_index(project, monkeypatch):
    monkeypatch.setenv("UV_EXTRA_INDEX_URL", "extra")
    monkeypatch.setenv("UV_DEFAULT_INDEX", "mirror")
    locks.resolve_input(project, "cuda101", str(project / "bin" / "uv"))
    call = (project / "uv.log").read_text().splitlines()[-1]
    assert call.startswith("UV_DEFAULT_INDEX=mirror UV_EXTRA_INDEX_URL= pip compile --no-config")
    assert "--python-version 3.7.16 --exclude-newer 2021-11-02T00:00:00Z --override" in call


def test_a_version_edited_by_hand(project):
    edit(locks.lock(project, "cuda118"), "nvidia-nccl-cu11==2.0", "nvidia-nccl-cu11==2.1")
    assert "locks/cuda118.txt was edited by hand" in only_problem(project)


def test_a_digest_edited_by_hand(project):
    edit(locks.lock(project, "assets"), "0001\n", "0007\n")
    assert "locks/assets.txt was edited by hand" in only_problem(project)


def test_a_missing_hash(project):
    text = locks.lock(project, "cpu").read_text()
    locks.lock(project, "cpu").write_text(text.replace(f" \\\n    --hash=sha256:{4:064x}", ""))
    assert "locks/cpu.txt: torch==2.0 has no hash" in only_problem(project)


@pytest.mark.parametrize(
    "line",
    [
        "--extra-index-url x",
        "-f wheels",
        "# from https://example.org",
        "numpy @ file:///x",
        "--find-links=x",
    ],
)
def test_a_host_named(project, line):
    edit(locks.lock(project, "cpu"), "numpy==", f"{line}\nnumpy==")
    assert any(
        "locks/cpu.txt:8 names a host or an index" in text for text in locks.check_locks(project, False)
    )


def test_a_line_that_no_lock_has(project):
    edit(locks.lock(project, "cpu"), "numpy==", "numpy>=")
    assert any("is no line of a lock" in problem for problem in locks.check_locks(project, False))


def test_a_rest_that_is_not_the_complete_lock_less_the_cuda_build(project):
    with locks.rest_lock(project, "cuda118").open("a") as file:
        file.write(hashed("torch==2.0"))
    assert "locks/cuda118-rest.txt is not the rest of cuda118.txt" in only_problem(project)


@pytest.mark.parametrize(
    ("changed", "stale"),
    [("cpu.in", ["cpu"]), ("cuda101.override", ["cuda101"]), ("cuda101.in", ["cuda101", "cuda101-pandas"])],
)
def test_an_input_changed_since(project, changed, stale):
    with (project / "locks" / changed).open("a") as file:
        file.write("scipy\n")
    problems = locks.check_locks(project, resolve=False)
    assert [problem.split(" ")[0] for problem in problems] == [f"locks/{name}.txt" for name in stale]
    assert all("is older than what it is made from" in problem for problem in problems)


def test_a_missing_lock_and_a_missing_include(project):
    locks.rest_lock(project, "cpu").unlink()
    assert "locks/cpu-rest.txt is missing" in only_problem(project)
    edit(project / "locks" / "cpu.in", "numpy", "-r gone.in")
    (project / "locks" / "cpu-rest.txt").touch()
    with pytest.raises(Refusal, match="includes gone.in, which is missing"):
        locks.check_locks(project, resolve=False)


def test_a_dockerfile_with_another_digest(project):
    path = project / "Dockerfile.cuda101"
    digest = locks.file_digest(locks.rest_lock(project, "cuda101"))
    assert path.read_text() == f"FROM base\nARG LOCK_DIGEST={digest}\nUSER encore\n"
    edit(path, digest, "0" * 64)
    assert "Dockerfile.cuda101: LOCK_DIGEST is not the digest of" in only_problem(project)
    assert locks.write_locks(project) == ["Dockerfile.cuda101"]
    path.write_text("FROM base\n")
    assert f"has no line `ARG LOCK_DIGEST={digest}`" in only_problem(project)


def test_drift_names_what_the_index_answers_otherwise(project):
    answer = project / "locks" / "cuda101.answer"
    answer.write_text(hashed("numpy==1.1 ; x == 'y'", "torch==2.0", "lit==1.0", "nvidia-nccl-cu11==2.0"))
    problem = only_problem(project, resolve=True)
    assert "without numpy==1.0 ; x == 'y', with numpy==1.1 ; x == 'y'" in problem
    assert "with other files of lit==1.0" in problem
    assert locks.check_locks(project, resolve=False) == []


def wheel(folder, version, text=""):
    """A wheel of the package `thing`, such as an index would give."""
    info = f"thing-{version}.dist-info"
    with zipfile.ZipFile(folder / f"thing-{version}-py3-none-any.whl", "w") as file:
        file.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: thing\nVersion: {version}\n{text}")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", "")


def test_a_newer_version_is_no_drift_but_a_changed_or_withdrawn_one_is(tmp_path, monkeypatch):
    index, folder = tmp_path / "index", tmp_path / "locks"
    index.mkdir(), folder.mkdir()
    wheel(index, "1.0")
    monkeypatch.setattr(locks, "ENVIRONMENTS", ())
    monkeypatch.setattr(locks, "ALONE", ("assets",))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    (folder / "assets.in").write_text(f"# uv: --no-index --find-links {index}\nthing\n")
    locks.write_locks(tmp_path)
    assert list(locks.read_entries(locks.lock(tmp_path, "assets").read_text())) == ["thing==1.0"]
    wheel(index, "1.1")
    assert locks.check_locks(tmp_path) == []
    wheel(index, "1.0", "Summary: another\n")
    assert "with other files of thing==1.0" in only_problem(tmp_path, resolve=True)
    (index / "thing-1.0-py3-none-any.whl").unlink()
    assert "without thing==1.0, with thing==1.1: run `make locks`" in only_problem(tmp_path, resolve=True)
    assert locks.write_locks(tmp_path) == ["locks/assets.txt"]
    assert list(locks.read_entries(locks.lock(tmp_path, "assets").read_text())) == ["thing==1.1"]


def test_an_input_that_does_not_resolve(project, monkeypatch):
    monkeypatch.setenv("BROKEN", "cpu.in")
    assert only_problem(project, resolve=True) == "locks/cpu.in does not resolve: no version of x"
    before = locks.lock(project, "cuda101").read_text()
    (project / "locks" / "cuda101.answer").write_text(hashed("numpy==9"))
    with pytest.raises(Refusal, match=r"cpu\.in does not resolve"):
        locks.write_locks(project)
    assert locks.lock(project, "cuda101").read_text() == before


def test_an_input_without_options(project):
    edit(project / "locks" / "cpu.in", "# uv: ", "# ")
    with pytest.raises(Refusal, match="a line `# uv:"):
        locks.write_locks(project)


def test_uv_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(locks.sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Refusal, match="`uv`, which makes the locks, is missing: run `make setup`"):
        locks.check_locks(tmp_path, resolve=True)


def test_the_locks_of_this_project():
    assert locks.check_locks(PROJECT, resolve=False) == []


@pytest.mark.parametrize("name", locks.ENVIRONMENTS)
def test_the_rest_of_this_projects_locks(name):
    complete = locks.read_entries(locks.lock(PROJECT, name).read_text())
    rest = locks.read_entries(locks.rest_lock(PROJECT, name).read_text())
    removed = {pin.split("==")[0] for pin in complete} - {pin.split("==")[0] for pin in rest}
    nvidia = {package for package in removed if package.startswith("nvidia-")}
    assert removed - nvidia == CUDA_BUILD[name.replace("-pandas", "").replace("-ray", "")]
    assert bool(nvidia) == (not name.startswith("cuda101"))
    assert all(complete[pin] == lines for pin, lines in rest.items())


def test_every_published_pin_is_locked():
    pins = set(locks.read_entries(locks.lock(PROJECT, "cuda101").read_text()))
    assert set(PUBLISHED) <= pins


def test_cuda101_pandas_differs_in_numpy_alone():
    plain, other = (
        locks.read_entries(locks.lock(PROJECT, name).read_text()) for name in ("cuda101", "cuda101-pandas")
    )
    assert set(plain) - set(other) == {"numpy==1.16.0"}
    assert set(other) - set(plain) == {"numpy==1.19.5"}
    assert {pin: plain[pin] for pin in plain if pin in other} == {p: other[p] for p in other if p in plain}


@pytest.mark.parametrize(("name", "ray"), [("cuda101", "ray==2.7.2"), ("cuda118", "ray==2.9.0")])
def test_the_ray_variants_add_ray_and_change_nothing(name, ray):
    plain, other = (
        locks.read_entries(locks.lock(PROJECT, found).read_text()) for found in (name, name + "-ray")
    )
    assert ray in set(other) - set(plain)
    assert {pin: other.get(pin) for pin in plain} == plain


def test_every_input_has_a_fixed_date():
    for path in sorted((PROJECT / "locks").glob("*.in")):
        assert re.search(r"^# uv: .*--exclude-newer \d{4}-\d\d-\d\dT00:00:00Z", path.read_text()), path
