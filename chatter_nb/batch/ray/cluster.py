"""Ray's cluster: reached or started, what its machines have, and what a worker gets of it."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from chatter_nb.base.errors import ParamError, UnavailableError
from chatter_nb.batch.params import BatchParams

INSTALL_RAY = "pip install -c constraints.txt -e '.[ray]'"

_HERE = ("", "local")  # addresses that mean a cluster of this machine's own
_STORE_BYTES = 80 * 2**20  # Ray's least: only outcomes travel, results go through the folder
_KNOCK_S = 10.0
_STARTS, _TOO_SLOW = 5, "timed out during startup"
_PRINTS = "_worker_logs_enabled"  # a name of Ray's own; without it, it prints as ever
_PICK_MOST_S = 600.0  # a cluster that grows on demand takes minutes


def import_ray() -> Any:
    if find_spec("ray") is None:
        raise UnavailableError(f"ray is not installed; install with: {INSTALL_RAY}")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its makers
    import ray

    return ray


@contextmanager
def connected(params: BatchParams) -> Iterator[bool]:
    """Ray, started or joined, and left again; as it is, if this process has it already.

    Whether it is ours: with it, all that was started on it ends.
    """
    ray = import_ray()
    if ray.is_initialized():
        yield False
        return
    with _told_nothing():
        try:
            _connect(params)
            yield True
        finally:
            ray.shutdown()


@contextmanager
def _told_nothing() -> Iterator[None]:
    """Ray prints its errors into our stdout, `log_to_driver` or not: `--json` would be no JSON.

    What matters of them is in the outcomes.
    """
    worker = sys.modules["ray"]._private.worker
    before = getattr(worker, _PRINTS, True)
    setattr(worker, _PRINTS, False)
    try:
        yield
    finally:
        setattr(worker, _PRINTS, before)


def _connect(params: BatchParams) -> None:
    settings: dict[str, Any] = {"address": params.ray_address or "local"}
    if params.ray_address in _HERE:
        settings["include_dashboard"] = False
        settings["object_store_memory"] = _STORE_BYTES
        settings["num_cpus"] = max(os.cpu_count() or 1, params.workers)
    try:
        _knock(params.ray_address)
        start(**settings)
    except (OSError, ImportError, RuntimeError, ValueError) as error:
        where = f"at {params.ray_address}" if params.ray_address else "on this machine"
        raise UnavailableError(f"no Ray cluster {where}: {last_line(error)}") from error


def start(**settings: Any) -> None:
    """`ray.init`, and again where its 30 s are over before a busy machine has started all of it.

    Ray has no setting for them. Raises what `ray.init` raises, and `RuntimeError` if it is too slow
    every time.
    """
    ray = import_ray()
    for _ in range(_STARTS):
        try:
            ray.init(**settings, log_to_driver=False, logging_level=logging.ERROR)
            return
        except Exception as error:  # that very class is raised
            if _TOO_SLOW not in str(error):
                raise
            ray.shutdown()
    raise RuntimeError(f"it did not start within 30 s, {_STARTS} times: the machine is too busy")


def _knock(address: str) -> None:
    """Raises `OSError` where nobody answers: Ray itself goes on trying for ten minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK_S).close()


def last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


@dataclass(frozen=True)
class Share:
    """How many workers, and what Ray sets aside for each."""

    workers: int
    cpus: int
    gpus: float

    def __str__(self) -> str:
        cores = "1 core" if self.cpus == 1 else f"{self.cpus} cores"
        return cores + (f" and {self.gpus:g} GPU" if self.gpus else "")


def share_out(
    params: BatchParams, jobs: int, machines: Sequence[Mapping[str, float]], *, use_gpus: bool
) -> Share:
    """Divide a cluster's machines among workers; `machines` are Ray's resources of each.

    With `workers` left at 1, every GPU gets a worker (two at `gpus_per_worker` 0.5); every machine
    one, where no GPU is used. Raises `ParamError` for GPUs that no machine has.
    """
    gpus = _gpus_each(params, machines) if use_gpus or params.gpus_per_worker is not None else 0.0
    room = [int(machine.get("GPU", 0) / gpus + 1e-9) if gpus else 1 for machine in machines]
    if not any(room):
        there = ", ".join(f"{machine.get('GPU', 0):g}" for machine in machines)
        raise ParamError(f"gpus_per_worker {gpus:g}: the cluster's machines have {there or 'none'}")
    workers = max(1, min(params.workers if params.workers > 1 else sum(room), jobs))
    cores = min(int(machine.get("CPU", 1)) for machine in machines)
    a_machine = -(-workers // len(machines))
    return Share(workers, 1 if gpus else max(1, cores // a_machine), gpus)


def _gpus_each(params: BatchParams, machines: Sequence[Mapping[str, float]]) -> float:
    """GPUs for each worker: as asked, else one where the cluster has any."""
    gpus = params.gpus_per_worker
    if gpus is None:
        return 1.0 if any(machine.get("GPU", 0) >= 1 for machine in machines) else 0.0
    if gpus > 1 and gpus % 1:
        raise ParamError(f"gpus_per_worker {gpus:g}: Ray gives a share of one GPU, or whole ones")
    return gpus


def find_machines() -> list[Mapping[str, float]]:
    """Ray's resources of each machine that takes work; some heads take none."""
    found = [node["Resources"] for node in import_ray().nodes() if node["Alive"]]
    machines = [resources for resources in found if resources.get("CPU")]
    if not machines:
        raise UnavailableError("the Ray cluster has no machine that takes work: see `ray status`")
    return machines


def pick_engine(params: BatchParams, convert: bool) -> str:
    """What `auto` stands for where the runs will be made, for `plan_batch`'s `pick`.

    On this machine's own cluster it is asked here; on another, a task with a worker's GPUs is.
    """
    ray = import_ray()
    if params.ray_address in _HERE and not ray.is_initialized():
        return _pick_here(params, convert)
    with connected(params):
        share = share_out(params, 1, find_machines(), use_gpus=True)
        task = ray.remote(num_cpus=1, num_gpus=share.gpus)(_pick_there)
        try:
            return str(ray.get(task.remote(convert, share.gpus == 0), timeout=_PICK_MOST_S))
        except TimeoutError:
            told = f"no machine had {share} free for {_PICK_MOST_S:.0f} s"
        except ray.exceptions.RayError as error:
            told = last_line(error)
        raise UnavailableError(f"the Ray cluster cannot say which engine it has: {told}")


def _pick_here(params: BatchParams, convert: bool) -> str:
    if params.gpus_per_worker != 0:
        from chatter_nb.engines.models import pick_engine as pick

        return pick(convert=convert).name
    # Workers will see no GPU; this process may, and torch looks only once.
    code = (
        f"from chatter_nb.batch.ray.cluster import _pick_there; print(_pick_there({convert}, True))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if found.returncode:
        raise UnavailableError(found.stderr.strip().splitlines()[-1])
    return found.stdout.split()[-1]


def _pick_there(convert: bool, hide_gpus: bool) -> str:
    if hide_gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    from chatter_nb.engines.models import pick_engine as pick

    return pick(convert=convert).name
