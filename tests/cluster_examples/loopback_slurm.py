"""Slurm on this machine alone: a controller and two nodes, each a daemon of its own, on 127.0.0.1."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scancel", "scontrol", "sinfo")
SECONDS = 60
CONFIGURATION = """ClusterName=encore
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
ReturnToService=2
GresTypes=gpu
InactiveLimit=0
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=2 RealMemory=1000 State=UNKNOWN
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=2 RealMemory=1000 State=UNKNOWN
PartitionName=all Nodes=n[1-2] Default=YES MaxTime=INFINITE State=UP
"""


def missing():
    """Why it cannot run here, or None."""
    if os.geteuid() != 0:
        return "the daemons of Slurm need root"
    absent = [name for name in PROGRAMS if _program(name) is None]
    return f"{', '.join(absent)} not installed" if absent else None


def _program(name):
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


class LoopbackSlurm:
    """A cluster of two nodes n1 and n2 below `folder`, used as a context manager."""

    def __init__(self, folder):
        self.folder = folder
        self._running = []

    def __enter__(self):
        folder = self.folder
        for name in ("state", "spool-n1", "spool-n2"):
            (folder / name).mkdir(parents=True)
        (folder / "munge.key").write_bytes(os.urandom(128))
        (folder / "munge.key").chmod(0o400)
        folder.chmod(0o755)
        host = socket.gethostname().partition(".")[0]
        text = CONFIGURATION.format(folder=folder, host=host, ports=_free_ports(3), user=getpass.getuser())
        (folder / "slurm.conf").write_text(text)
        munge = [
            "--foreground",
            "--force",
            f"--key-file={folder}/munge.key",
            f"--socket={folder}/munge.socket",
        ]
        munge += [f"--pid-file={folder}/munge.pid", f"--seed-file={folder}/munge.seed", "--num-threads=1"]
        self._start("munged", *munge)
        self._until(lambda: (folder / "munge.socket").exists(), "munged")
        self._start("slurmctld", "-D", "-f", f"{folder}/slurm.conf")
        for node in ("n1", "n2"):
            self._start("slurmd", "-D", "-N", node, "-f", f"{folder}/slurm.conf")
        self._until(lambda: self.run("sinfo", "-h", "-o", "%D %t").stdout.split() == ["2", "idle"], "slurm")
        return self

    def __exit__(self, *_):
        self.run("scancel", "--user", getpass.getuser())
        deadline = time.monotonic() + 10
        while (
            self.run("scontrol", "show", "step").stdout.startswith("StepId") and time.monotonic() < deadline
        ):
            time.sleep(0.1)
        for process in reversed(self._running):
            process.terminate()
        for process in self._running:
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def environment(self, **more):
        return {**os.environ, "SLURM_CONF": str(self.folder / "slurm.conf"), **more}

    def run(self, program, *words, cwd=None, **variables):
        """Run a program of Slurm to its end."""
        return subprocess.run(
            [_program(program), *map(str, words)],
            cwd=cwd,
            env=self.environment(**variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )

    def _start(self, name, *words):
        with open(self.folder / f"{name}.out", "ab") as out:
            self._running.append(
                subprocess.Popen([_program(name), *words], env=self.environment(), stdout=out, stderr=out)
            )

    def _until(self, reached, what):
        deadline = time.monotonic() + SECONDS
        while not reached():
            ended = [process.args[0] for process in self._running if process.poll() is not None]
            if ended or time.monotonic() > deadline:
                said = "\n".join(path.read_text()[-600:] for path in self.folder.glob("*.[lo][ou][gt]"))
                raise RuntimeError(f"{what} does not start ({', '.join(ended) or 'timeout'}):\n{said}")
            time.sleep(0.1)


def _free_ports(count):
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports
