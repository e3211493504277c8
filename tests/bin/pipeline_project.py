"""A project whose dvc is a fake, for tests of what starts its stages several at a time."""

import os

from tests.bin.scripts import copy_of, run, script

NEEDED = {
    "inputs": [],
    "generate": ["inputs"],
    "train@big-50": ["generate"],
    "train@big-ibn": ["generate"],
    "extract": ["train@big-50", "train@big-ibn"],
    "relabel": [],
}
DVC = """
echo "start $@ on ${CUDA_VISIBLE_DEVICES-none}" >>"$LOG"
case "$1 $2" in
  'status --quiet') exit "$STATUS" ;;
  'config cache.shared') echo "${SHARED-}" ;;
  'dag --dot') printf 'strict digraph {\\n'; cat "$GRAPH"; echo '}' ;;
esac
case "$*" in *"$BROKEN"*) exit 1 ;; esac
sleep 0.1
echo "end $@ on ${CUDA_VISIBLE_DEVICES-none}" >>"$LOG"
"""


class Pipelines:
    """A project with bin/ and a fake dvc that logs each start and end."""

    def __init__(self, folder):
        self.folder = folder
        for name in ("mini", "pipeline", "on-free-gpu"):
            copy_of("bin/" + name, folder)
        script(folder / "programs" / "dvc", DVC)
        for name in ("dvc.yaml", "mini/dvc.yaml"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text("")

    def run(self, *command, status="1", broken="nothing", prefix="mini/dvc.yaml:", **variables):
        """Run a script of bin/ -> (its result, the lines of the log). prefix: of dvc's names of stages."""
        (self.folder / "graph").write_text(_graph(prefix))
        log = self.folder / "log"
        log.write_text("")
        known = {
            "PATH": os.pathsep.join([str(self.folder / "programs"), os.environ["PATH"]]),
            "LOG": log,
            "GRAPH": self.folder / "graph",
            "STATUS": status,
            "BROKEN": broken,
            "MAKEFLAGS": "n",
        }
        result = run(self.folder / "bin" / command[0], *command[1:], **dict(known, **variables))
        return result, log.read_text().splitlines()


def stages_of(log, pipeline="mini/dvc.yaml"):
    """[(start or end, stage, the GPUs that it was given)] of the lines of a log."""
    lines = [line.split() for line in log if "--single-item" in line]
    assert all(words[1:4] == ["--wait-for-lock", "repro", "--single-item"] for words in lines)
    assert all(words[4].startswith(pipeline + ":") for words in lines)
    return [(words[0], words[4][len(pipeline) + 1 :], words[6]) for words in lines]


def most_at_once(made):
    """How many stages ran at once at most; every one after what it needs, or an AssertionError."""
    running = most = 0
    acts = [(act, name) for act, name, _ in made]
    for place, (act, name) in enumerate(acts):
        running += 1 if act == "start" else -1
        most = max(most, running)
        if act == "start":
            assert all(("end", one) in acts[:place] for one in NEEDED[name])
    return most


def _graph(prefix):
    nodes = ['"{}{}";\n'.format(prefix, name) for name in NEEDED]
    edges = [
        '"{0}{1}" -> "{0}{2}";\n'.format(prefix, one, name)
        for name, needed in NEEDED.items()
        for one in needed
    ]
    return "".join(nodes + edges)
