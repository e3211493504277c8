"""What a process of a Ray cluster does: check that it is fit for a job, make its worker once, do units."""

from __future__ import annotations

import os
import pickle
import socket
import sys
from typing import NamedTuple

from encore.runtime import hardware
from encore.runtime.loaded_code import LoadedCode, difference
from encore.runtime.refusal import Refusal

MOST_RESULT_BYTES = 1 << 20
"""Of the pickled result of a unit: what is made goes to files, not through the process that asked for it."""
TOKEN = "token"
"""File in the job's folder that every node must see."""
PROCESS = "process-"
"""Beginning of the files in the job's folder that name the processes which do units: process-<id>-<node>."""
DONE, REFUSED = "done", "refused"

_made = {}
"""(worker, path of the job's TOKEN) of the job at hand, by the job's token."""


class Job(NamedTuple):
    """A map as its processes must know it."""

    token: str
    """Content of the file TOKEN."""
    directory: str
    """Working directory of the process that asked, absolute."""
    folder: str
    """Of the job, below `directory`: it holds TOKEN and what each node writes to be seen."""
    code: LoadedCode
    threads: int
    """Of numerical libraries."""
    gpu: bool
    """Whether each unit has a GPU of its own."""


def node_name(node):
    """How messages name a node: address or host, and the first digits of its id."""
    return "{} (node {})".format(socket.gethostname(), node[:8])


def report_fitness(packed):
    """Check this node for a Job (pickled) -> None, or why it is not fit; leaves a file `seen-<node>`."""
    job = pickle.loads(packed)
    try:
        _become_fit(job)
        with open(os.path.join(job.folder, "seen-" + _node()), "w", encoding="utf-8") as file:
            file.write(job.token)
    except Refusal as refusal:
        return str(refusal)
    except OSError as error:
        return "{} cannot write to {} ({}): let every node read and write the project's folder".format(
            node_name(_node()), os.path.join(job.directory, job.folder), error.strerror
        )
    return None


def do_unit(token, references, unit):
    """Do one unit -> (DONE or REFUSED, result or text) pickled.

    references: [of the Job, of the factory of the worker], which are fetched once a process.
    """
    try:
        worker, path = _worker_of(token, references)
        try:
            open(path).close()  # which asks network storage again, unlike a look for the name
        except OSError as error:
            raise Refusal(
                "{} no longer sees {} ({}): the run that asked has ended, or the storage is gone".format(
                    node_name(_node()), path, error.strerror
                )
            ) from None
        result = DONE, worker(unit)
    except Refusal as refusal:
        result = REFUSED, str(refusal)
    packed = pickle.dumps(result, protocol=4)
    if len(packed) > MOST_RESULT_BYTES:
        text = "a unit's result has {} bytes, {} are allowed: write it to a file that every node sees".format(
            len(packed), MOST_RESULT_BYTES
        )
        packed = pickle.dumps((REFUSED, text), protocol=4)
    return packed


def _worker_of(token, references):
    if token not in _made:
        import ray

        _made.clear()  # the worker of an earlier job, and its memory
        job = pickle.loads(ray.get(references[0]))
        _become_fit(job)
        open(os.path.join(job.folder, "{}{}-{}".format(PROCESS, os.getpid(), _node())), "w").close()
        worker = ray.cloudpickle.loads(ray.get(references[1]))()  # Python 3.7's pickle is too old for it
        _made[token] = worker, os.path.join(job.directory, job.folder, TOKEN)
    return _made[token]


def _become_fit(job):
    """Make this process like the one that asked; Refusal, naming the node, where that cannot be."""
    where = node_name(_node())
    try:
        os.chdir(job.directory)
        with open(os.path.join(job.folder, TOKEN), encoding="utf-8") as file:
            found = file.read()
    except OSError as error:
        found = error.strerror
    if found != job.token:
        raise Refusal(
            "{} does not see {} as the others do ({}): put the project on storage that every node has at the "
            "same path".format(where, os.path.join(job.directory, job.folder), found)
        )
    if job.directory not in sys.path:
        sys.path.insert(0, job.directory)
    differs = difference(job.code)
    if differs is not None:
        raise Refusal(
            "{} would run other code ({}): give every node the same project and environment".format(
                where, differs
            )
        )
    if "torch" in job.code.versions:
        import torch

        torch.set_num_threads(job.threads)
    if job.gpu:
        objection = hardware.objection_here()
        if objection is not None and not hardware.accepted():
            raise Refusal("{}: {}; or run anyway with --accept-hardware".format(where, objection))


def _node():
    import ray

    return ray.get_runtime_context().get_node_id()
