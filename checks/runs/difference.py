"""How one stage of two runs differs: in what came out, and in what went in, by kind of cause."""

from __future__ import annotations

from checks.recipe import HELD_OUT, MACHINE_KEYS
from checks.runs.stage_record import DEVICE_FACTS

DATA, RECIPE, CODE = "data", "recipe", "code"
ENVIRONMENT, HARDWARE, CHANCE = "environment", "hardware", "chance"
SETTING = "setting"
"""A parameter of how a run runs and cuts its files, as `workers`: of the recipe, but the last to suspect."""

KINDS = (DATA, RECIPE, CODE, ENVIRONMENT, HARDWARE, CHANCE, SETTING)
"""In the order in which one is named as the cause where several differ: the first explains the most."""

# Records about a run, not what later stages or claims rest on; and copies of what metrics and models say.
RECORDS = ("fingerprints/", "plots/", "evidence/", "report/")
SEEDS = ("seed", "subset_seed")
HARDWARE_FACTS = ("architecture", *DEVICE_FACTS)
OTHER_FACTS = ("cores", "machine", "revision", "dirty", "seed", "finished")
"""Facts that decide no number by themselves; what the code is, the digests of its files say."""

NAMES = {
    "libraries.PIL": "Pillow",
    "libraries.yaml": "PyYAML",
    "jpeg": "JPEG library",
    "libjpeg_turbo": "libjpeg-turbo",
    "c_library": "C library",
    "raqm": "Raqm",
    "freetype": "FreeType",
    "python": "Python",
    "cuda": "CUDA",
    "cudnn": "cuDNN",
    "cpu_capability": "CPU capability",
    "blas": "BLAS kernels",
    "blas_threads": "BLAS threads",
}
SHOWN = 3
NOTHING = object()


def output_differences(one, other):
    """What of a stage's outputs differs between two StageRecords, a text each; times, logs, plots and
    fingerprints never count."""
    return [
        *_input_differences(one, other),
        *_manifest_differences(one, other),
        *_file_differences(one, other),
        *metric_differences(one, other),
    ]


def metric_differences(one, other):
    """The texts `file: key a → b (+c)` of one stage's metrics that differ, of a file the largest first."""
    texts = []
    for file in sorted(one.metrics.keys() & other.metrics.keys()):
        a, b = one.metrics[file], other.metrics[file]
        keys = [key for key in sorted(a.keys() & b.keys()) if a[key] != b[key]]
        keys.sort(key=lambda key: -abs(b[key] - a[key]) / max(abs(a[key]), abs(b[key])))
        changes = [number_change(key, a[key], b[key]) for key in keys]
        changes += [f"{key} only in one" for key in sorted(a.keys() ^ b.keys())]
        if changes:
            texts.append(f"{file}: {listing(changes)}")
    return texts


def number_change(key, before, after):
    """`key a → b (+c)`."""
    return f"{key} {before:.6g} → {after:.6g} ({after - before:+.3g})"


def not_comparable(one, other):
    """The folders of which nobody can say whether they differ: they hold logs, and one run has not the files
    any more."""
    return [
        path
        for path in _compared(one, other)
        if _same(one.outs[path], other.outs[path]) is None
        and path not in one.manifests.keys() & other.manifests
    ]


def causes(one, other):
    """{kind: [texts]} of what went into a stage and differs between two StageRecords, outputs of earlier
    stages left out: where those differ, the earlier stage is the first that does."""
    found = {kind: [] for kind in KINDS}
    _by_file(one, other, found)
    for key, before, after in _changes(one.params, other.params):
        found[_kind_of_parameter(key)].append(_change(key, before, after))
    ways = _changes({"command": one.cmd}, {"command": other.cmd})
    found[ENVIRONMENT if one.cmd.split()[1:] == other.cmd.split()[1:] else CODE] += [
        _change(*way) for way in ways
    ]
    _by_fact(one, other, found)
    return {kind: texts for kind, texts in found.items() if texts}


def unknown(one, other):
    """What only one of two StageRecords tells of the hardware, or that it alone has a fingerprint."""
    if bool(one.fingerprint) != bool(other.fingerprint):
        return ["the fingerprint (environment and hardware)"]
    keys = sorted(key for key in one.fingerprint.keys() ^ other.fingerprint.keys() if key in HARDWARE_FACTS)
    return [NAMES.get(key, key) for key in keys]


def listing(texts, shown=SHOWN):
    """The first few texts and how many more there are."""
    texts = list(texts)
    more = f" and {len(texts) - shown} more" if len(texts) > shown else ""
    return ", ".join(texts[:shown]) + more


def kind_of_file(path):
    """The kind of cause that a file a stage depends on stands for."""
    path = path.lstrip("./")
    if path.startswith(("locks/", "containers/", "Dockerfile")):
        return ENVIRONMENT
    return CODE if path.endswith(".py") or path.startswith("bin/") else DATA


def _by_file(one, other, found):
    for path, before, after in _changes(one.deps, other.deps):
        kind, state = kind_of_file(path), ""
        if before is NOTHING or after is NOTHING:
            state = " (new)" if before is NOTHING else " (gone)"
        if state or kind != DATA:
            found[kind].append(path.lstrip("./") + state)


def _by_fact(one, other, found):
    """What both fingerprints tell, and tell otherwise; a library that one of them lacks was not needed."""
    for key, before, after in _changes(one.fingerprint, other.fingerprint):
        if before is NOTHING or after is NOTHING or key in OTHER_FACTS:
            continue
        kind = HARDWARE if key in HARDWARE_FACTS else ENVIRONMENT
        found[kind].append(_change(NAMES.get(key, key.removeprefix("libraries.")), before, after))
    seeds = [stage.fingerprint.get("seed", NOTHING) for stage in (one, other)]
    if NOTHING not in seeds and seeds[0] != seeds[1] and not found[CHANCE]:
        found[CHANCE].append(_change("seed", *seeds))


def _kind_of_parameter(key):
    *sections, last = key.split(".")
    if HELD_OUT in sections:
        return RECIPE  # what is measured, whose seed too
    if last in SEEDS:
        return CHANCE
    return SETTING if last in MACHINE_KEYS else RECIPE


def _changes(one, other):
    """(key, value in one, value in the other) of every key on which two mappings differ, sorted."""
    for key in sorted(one.keys() | other.keys()):
        before, after = one.get(key, NOTHING), other.get(key, NOTHING)
        if before is NOTHING or after is NOTHING or before != after:
            yield key, before, after


def _change(name, before, after):
    return f"{name} {_shown(before)} → {_shown(after)}"


def _shown(value):
    if value is NOTHING:
        return "none"
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return (text if len(text) <= 60 else text[:57] + "…") or "none"


def _input_differences(one, other):
    for name in sorted(one.inputs.keys() & other.inputs.keys()):
        before, after = one.inputs[name], other.inputs[name]
        keys = [key for key, *_ in _changes(before, after)]
        if "count" in keys:
            yield f"{name}: {before.get('count')} → {after.get('count')} pictures"
        elif keys:
            yield f"{name}: other {listing(NAMES_OF_INPUT.get(key, key) for key in keys)}"


NAMES_OF_INPUT = {"names_sha256": "names", "sha256": "content"}


def _manifest_differences(one, other):
    for folder in sorted(one.manifests.keys() & other.manifests.keys()):
        before, after = one.manifests[folder], other.manifests[folder]
        if (before.count, before.classes) != (after.count, after.classes):
            yield (
                f"{folder}: {before.count:,} → {after.count:,} images of {before.classes:,} → "
                f"{after.classes:,} classes"
            )
        elif before.digest != after.digest:
            yield f"{folder}: {before.count:,} images of other content"


def _file_differences(one, other):
    told = {text.partition(":")[0] for text in _manifest_differences(one, other)}
    for path in _compared(one, other):
        if path not in told and _same(one.outs[path], other.outs[path]) is False:
            yield f"{path}: other content"
    for path in sorted(one.outs.keys() ^ other.outs.keys()):
        if not path.startswith(RECORDS):
            yield f"{path}: written only in one"


def _compared(one, other):
    """The outputs of both whose digests are compared: those that are not compared by their numbers."""
    numbers = {*(one.metrics.keys() & other.metrics.keys())}
    named = one.inputs.keys() & other.inputs.keys()
    numbers |= {f"inputs/{name}.json" for name in named}
    paths = sorted(one.outs.keys() & other.outs.keys())
    return [path for path in paths if path not in numbers and not path.startswith(RECORDS)]


def _same(one, other):
    """Whether two Outs are the same; None where nobody can say: a folder may hold logs, and of one of the two
    only the digest over all its files is known, or dvc.lock says none."""
    if not (one.md5 and other.md5):
        return None
    if one.md5 == other.md5 and not (one.changed or other.changed):
        return True
    if one.content is not None and other.content is not None:
        return one.content == other.content
    return None if one.md5.endswith(".dir") else False
