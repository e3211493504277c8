"""What a run was made with: machine, interpreter, libraries, image."""

from __future__ import annotations

import json

from checks.provenance.graph import ref, refs
from checks.provenance.sbom import installed_sbom
from encore.runtime.refusal import Refusal

DISTRIBUTIONS = {"PIL": "pillow", "yaml": "pyyaml"}
"""What the package index calls a module that is imported by another name."""
NONE = ("none", None, "")
HARDWARE = ("processor", "cores", "cpu_capability", "device", "capability", "driver", "cuda", "cudnn")
SBOM = "application/vnd.cyclonedx+json"


class Environments:
    """The environments of a run's stages as entities, each with its SBOM."""

    def __init__(self, run, graph, files):
        self._run, self._graph, self._files = run, graph, files
        self.missing = []

    def machine(self, fingerprint):
        """The id of the machine that a stage ran on, known by a digest alone; None where nobody noted it."""
        name = fingerprint.get("machine")
        if name is None:
            return None
        identity = self._graph.add(
            f"#machine/{name}",
            "IndividualProduct",
            name=f"machine {name}",
            description="a digest tells machines apart without naming them",
            additionalProperty=[],
        )
        values = [
            self._graph.add(
                self._graph.distinct(f"#machine/{name}/{key}", fingerprint[key]),
                "PropertyValue",
                name=key,
                value=fingerprint[key],
            )
            for key in HARDWARE
            if fingerprint.get(key) not in NONE
        ]
        self._graph.extend(identity, "additionalProperty", values)
        return identity

    def environment(self, fingerprint):
        """The id of the environment that a stage ran in; None where its fingerprint is not there."""
        if "python" not in fingerprint:
            return None
        name = fingerprint.get("environment")
        name = "local" if name in NONE else name
        image = fingerprint.get("image_digest")
        python = fingerprint["python"]
        identity = self._graph.distinct(f"#environment/{name}", [image, python, fingerprint.get("platform")])
        self._graph.add(
            identity,
            "SoftwareApplication",
            name=f"environment {name}",
            softwareVersion=f"Python {python}, image {'none' if image in NONE else image}",
            operatingSystem=fingerprint.get("platform"),
            softwareRequirements=[],
            subjectOf=[],
        )
        libraries = {"python": python, **fingerprint.get("libraries", {})}
        self._graph.extend(
            identity, "softwareRequirements", [self._software(*one) for one in libraries.items()]
        )
        self._describe(identity, name, image, fingerprint)
        return identity

    def image(self, fingerprint):
        """The id of the image that a stage ran in, or None."""
        digest = fingerprint.get("image_digest")
        if digest in NONE:
            return None
        name = f"encore-{fingerprint.get('environment')}"
        return self._graph.add(
            f"#image/{digest.partition(':')[2] or digest}",
            "ContainerImage",
            name=name,
            additionalType=ref("https://w3id.org/ro/terms/workflow-run#DockerImage"),
            sha256=digest.partition(":")[2] or digest,
        )

    def _software(self, module, version):
        name = DISTRIBUTIONS.get(module, module)
        kind = "generic" if name == "python" else "pypi"
        return self._graph.add(
            f"#software/{name}-{version}",
            "SoftwareApplication",
            name=name,
            softwareVersion=str(version),
            identifier=f"pkg:{kind}/{name}@{version}",
        )

    def _describe(self, identity, name, image, fingerprint):
        """Add the SBOM of an environment to its entity, and say where there is none, or of something else."""
        path = f"sbom/{identity.partition('/')[2]}.cdx.json"
        if image in NONE:
            data, objection = installed_sbom(self._run, fingerprint)
        else:
            data, objection = self._image_sbom(name, image)
        if objection and objection not in self.missing:
            self.missing.append(objection)
        if data is not None:
            self._graph.add_file(
                path,
                data,
                name=f"SBOM of the environment {name}",
                encodingFormat=SBOM,
                description=objection or None,
                about=ref(identity),
            )
            self._graph.extend(identity, "subjectOf", [path])

    def _image_sbom(self, name, image):
        path = self._run.root / ".images" / name / "sbom.cdx.json"
        if not path.is_file():
            return None, f"no SBOM of the image of {name}: `make images` writes .images/{name}/sbom.cdx.json"
        data = path.read_bytes()
        try:
            named = json.dumps(json.loads(data).get("metadata", {}))
        except (AttributeError, RecursionError, ValueError) as error:
            raise Refusal(f"{path}: not an SBOM ({error}): write it again by `make images`") from None
        if image.partition(":")[2] in named:
            return data, ""
        return data, f"the SBOM of {name} does not name the image that the run used"


def tool_requirements(environment):
    """The property that ties a stage's program to its environment."""
    return None if environment is None else refs([environment])
