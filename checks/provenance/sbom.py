"""The software bill of materials of the interpreter that runs here, for runs without an image."""

from __future__ import annotations

import datetime
import importlib.metadata
import platform
import re
import uuid
from functools import lru_cache

from checks.locks import lock, read_entries

HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
LOCKS = ("cpu", "assets")  # what `.venv` is made of


def installed_sbom(run, fingerprint):
    """(the bytes of a CycloneDX 1.6 SBOM of every distribution installed here, what to object to in it).

    Digests are those of the lock, where it has the version that is installed. The objection says where the
    interpreter here is not the one of the `fingerprint`; the SBOM describes the one here.
    """
    libraries = {"python": fingerprint["python"], **fingerprint.get("libraries", {})}
    other = sorted(name for name, version in libraries.items() if _here(name) not in (None, version))
    objection = (
        f"the SBOM is of the interpreter that made this crate, and the run had another {', '.join(other)}"
        if other
        else ""
    )
    return _sbom(run.root, run.times[1] or "1970-01-01T00:00:00+00:00", run.identity), objection


@lru_cache(maxsize=4)
def _sbom(root, time, identity):
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6
    from packageurl import PackageURL

    digests = _locked_digests(root)
    components = [
        Component(
            name=name,
            version=version,
            type=ComponentType.LIBRARY,
            bom_ref=f"{name}=={version}",
            purl=PackageURL("pypi", None, name, version),
            hashes=[
                HashType(alg=HashAlgorithm.SHA_256, content=one) for one in digests.get((name, version), ())
            ],
        )
        for name, version in sorted(_installed().items())
    ]
    python = Component(
        name=platform.python_implementation(),
        version=platform.python_version(),
        type=ComponentType.PLATFORM,
        bom_ref="python",
    )
    bom = Bom(
        components=components,
        serial_number=uuid.uuid5(identity, "sbom"),
        metadata=BomMetaData(component=python, timestamp=datetime.datetime.fromisoformat(time)),
    )
    bom.register_dependency(python, components)
    return JsonV1Dot6(bom).output_as_string(indent=1).encode("utf-8")


def _installed():
    """{normalised name: version} of the distributions of this interpreter."""
    return {
        _normal(found.metadata["Name"]): found.version
        for found in importlib.metadata.distributions()
        if found.metadata["Name"]
    }


def _locked_digests(root):
    """{(name, version): the SHA-256 of each of its files} of the locks of the local environment."""
    found = {}
    for path in (lock(root, name) for name in LOCKS):
        for pin, lines in read_entries(path.read_text(encoding="utf-8")).items() if path.is_file() else ():
            name, _, version = pin.partition(" ;")[0].partition("==")
            digests = [digest for line in lines for digest in HASH.findall(line)]
            found[_normal(name), version.strip()] = sorted(digests)
    return found


def _normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def _here(module):
    """The version of a module's distribution here, None where there is none to compare."""
    if module == "python":
        return platform.python_version()
    names = {"PIL": "pillow", "yaml": "pyyaml"}
    return _installed_versions().get(_normal(names.get(module, module)))


@lru_cache(maxsize=1)
def _installed_versions():
    return _installed()
