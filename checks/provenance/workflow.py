"""The pipeline as a workflow with its steps, and the run of each stage as an action."""

from __future__ import annotations

import importlib.metadata

from checks.provenance import parameters
from checks.provenance.graph import ref, refs
from checks.provenance.run import stage_times

COMPLETED = "http://schema.org/CompletedActionStatus"
ACTIVE = "http://schema.org/ActiveActionStatus"
WORKFLOW = ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"]
ENGINE, LANGUAGE, WHOLE_RUN, ENGINE_RUN = "#dvc", "#dvc-pipeline", "#run", "#engine-run"


class Workflow:
    """The workflow of a run and its actions, as entities of `graph`."""

    def __init__(self, run, graph, files, environments, discretion):
        self._run, self._graph, self._files = run, graph, files
        self._environments, self._discretion = environments, discretion

    def add(self, data):
        """Add everything; `data`: {path of its record: id of the raw data set}. Returns the workflow's id."""
        run, graph = self._run, self._graph
        stages = [self._stage(place, stage, data) for place, stage in enumerate(run.stages, 1)]
        actions, steps, tools, controls = zip(*stages, strict=True)
        workflow = self._workflow(steps, tools)
        results = sorted({recorded.path: recorded for recorded in self._measured()}.items())
        results = [(path, self._files.entity(recorded)) for path, recorded in results]
        sections = self._sections()
        self._slots(workflow, data, sections, results)
        begun, ended = run.times
        graph.add(
            WHOLE_RUN,
            "CreateAction",
            name=f"Run of {run.prefix or 'the published size'}",
            description=f"{len(run.stages)} stages run, {len(run.not_run)} not run",
            instrument=ref(workflow),
            agent=refs(self._machines()) or None,
            object=refs([*data.values(), *sections]),
            result=refs([identity for _, identity in results]),
            startTime=begun,
            endTime=ended,
            actionStatus=ACTIVE if run.not_run else COMPLETED,
        )
        graph.add(
            ENGINE_RUN,
            "OrganizeAction",
            name=f"DVC run of {run.prefix or 'the published size'}",
            instrument=ref(ENGINE),
            object=refs(controls),
            result=ref(WHOLE_RUN),
            startTime=begun,
            endTime=ended,
        )
        graph.root["mentions"] = refs([WHOLE_RUN, ENGINE_RUN, *actions])
        return workflow

    def _stage(self, place, stage, data):
        """Add one stage: (action, step, tool, control action)."""
        graph, fingerprint = self._graph, stage.fingerprint
        environment = self._environments.environment(fingerprint)
        image = self._environments.image(fingerprint)
        machine = self._environments.machine(fingerprint)
        tool = graph.add(
            f"#tool/{stage.name}",
            "SoftwareApplication",
            name=stage.name,
            description=stage.description,
            softwareVersion=revision(fingerprint),
            softwareRequirements=None if environment is None else ref(environment),
        )
        step = graph.add(
            f"#step/{stage.name}",
            "HowToStep",
            name=stage.name,
            description=stage.description,
            position=str(place),
            workExample=ref(tool),
        )
        begun, ended = stage_times(stage)
        wrote = [self._files.entity(recorded) for recorded in stage.wrote]
        for recorded, identity in zip(stage.wrote, wrote, strict=True):
            if recorded.path in data:
                graph.extend(identity, "about", [data[recorded.path]])
        raw = [data[recorded.path] for recorded in stage.wrote if recorded.path in data]
        read = [self._files.entity(recorded) for recorded in stage.read]
        told = [parameters.section(graph, self._discretion, *one) for one in sorted(stage.parameters.items())]
        action = graph.add(
            f"#run/{stage.name}",
            "CreateAction",
            name=f"Run of {stage.name}",
            description=self._discretion.clean(stage.command),
            instrument=ref(tool),
            agent=None if machine is None else ref(machine),
            object=refs([*raw, *read, *told]),
            result=refs(wrote),
            startTime=begun,
            endTime=ended,
            actionStatus=COMPLETED,
            containerImage=None if image is None else ref(image),
            resourceUsage=refs(self._usage(stage)) or None,
        )
        control = graph.add(
            f"#control/{stage.name}",
            "ControlAction",
            name=f"Orchestration of {stage.name}",
            instrument=ref(step),
            object=ref(action),
        )
        return action, step, tool, control

    def _usage(self, stage):
        units = {"wall_seconds": "SEC", "peak_memory_bytes": "AD"}  # UN/CEFACT: second, byte
        return [
            self._graph.add(
                f"#usage/{stage.name}/{key}",
                "PropertyValue",
                name=key,
                propertyID=key,
                unitCode=unit,
                value=str(stage.fingerprint[key]),
            )
            for key, unit in units.items()
            if key in stage.fingerprint
        ]

    def _workflow(self, steps, tools):
        graph = self._graph
        graph.add(
            LANGUAGE,
            "ComputerLanguage",
            name="DVC pipeline",
            alternateName="DVC",
            url=ref("https://dvc.org/"),
        )
        graph.add(
            ENGINE,
            "SoftwareApplication",
            name="DVC",
            url=ref("https://dvc.org/"),
            softwareVersion=_version("dvc"),
        )
        revisions = sorted({revision(stage.fingerprint) for stage in self._run.stages if stage.fingerprint})
        return self._files.hold(
            self._run.in_project("dvc.yaml"),
            WORKFLOW,
            name="the pipeline of every system",
            programmingLanguage=ref(LANGUAGE),
            version=", ".join(revisions) or "no git",
            step=refs(steps),
            hasPart=refs(tools),
        )

    def _slots(self, workflow, data, sections, results):
        graph = self._graph
        entity = graph.crate.dereference
        given = [
            parameters.formal_parameter(graph, entity(identity)["name"], "Dataset", identity)
            for identity in data.values()
        ]
        told = [entity(identity).properties()["exampleOfWork"]["@id"] for identity in sections]
        graph.extend(workflow, "input", [*given, *told])
        made = [parameters.formal_parameter(graph, path, "File", identity) for path, identity in results]
        graph.extend(workflow, "output", made)
        filled = [*data.values(), *(identity for _, identity in results)]
        for slot, filling in zip([*given, *made], filled, strict=True):
            entity(filling).properties()["exampleOfWork"] = ref(slot)

    def _sections(self):
        told = [one for stage in self._run.stages for one in sorted(stage.parameters.items())]
        return list(dict.fromkeys(parameters.section(self._graph, self._discretion, *one) for one in told))

    def _measured(self):
        """What the run was for: the metric files."""
        folder = self._run.in_project("metrics") + "/"
        return [one for stage in self._run.stages for one in stage.wrote if one.path.startswith(folder)]

    def _machines(self):
        found = (self._environments.machine(stage.fingerprint) for stage in self._run.stages)
        return [identity for identity in found if identity is not None]


def revision(fingerprint):
    """The git revision of a stage's code, and whether files differed from it."""
    text = str(fingerprint.get("revision", "unknown"))
    return f"{text} with changes" if fingerprint.get("dirty") else text


def _version(distribution):
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
