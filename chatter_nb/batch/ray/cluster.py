"""Reaches or starts Ray's cluster, and divides its machines among workers."""

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
from chatter_nb.params.base import RunKind

INSTALL_RAY = "pip install -c constraints.txt -e '.[ray]'"

_HERE = ("", "local")  # the addresses for a cluster that is started on this machine
_STORE_BYTES = 80 * 2**20  # Ray's minimum: Ray carries outcomes only, the folder carries results
_KNOCK_S = 10.0
_STARTS, _TOO_SLOW = 5, "timed out during startup"
_PRINTS = "_worker_logs_enabled"  # a private variable of Ray
_PICK_MOST_S = 600.0  # a cluster that grows on demand takes minutes


def import_ray() -> Any:
    """The module `ray`. Raises `UnavailableError` if it is not installed."""
    if find_spec("ray") is None:
        raise UnavailableError(f"ray is not installed; install with: {INSTALL_RAY}")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # else Ray sends usage data to its makers
    import ray

    return ray


@contextmanager
def connected(params: BatchParams) -> Iterator[bool]:
    """Start or join Ray, and leave it at the end; yields True.

    Yields False if this process has joined Ray already: then Ray stays as it is.
    """
    ray = import_ray()
    if ray.is_initialized():
        yield False
        return
    with _quiet():
        try:
            _connect(params)
            yield True
        finally:
            ray.shutdown()


@contextmanager
def _quiet() -> Iterator[None]:
    """Stop Ray from printing errors to stdout, also with `log_to_driver=False`, beside the JSON.

    The outcomes contain the errors that matter.
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
    """`ray.init`, repeated if a busy machine does not start Ray within its fixed limit of 30 s.

    Raises the errors of `ray.init`, and `RuntimeError` after five starts that were too slow.
    """
    ray = import_ray()
    for _ in range(_STARTS):
        try:
            ray.init(**settings, log_to_driver=False, logging_level=logging.ERROR)
            return
        except Exception as error:  # Ray raises `Exception` itself
            if _TOO_SLOW not in str(error):
                raise
            ray.shutdown()
    raise RuntimeError(f"it did not start within 30 s, {_STARTS} times: the machine is too busy")


def _knock(address: str) -> None:
    """Raise `OSError` if nothing answers at the address: Ray would try for ten minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK_S).close()


def last_line(error: BaseException) -> str:
    """The last line of an error's text, or its class if it has no text."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


@dataclass(frozen=True)
class Share:
    """The number of workers, and what Ray reserves for each."""

    workers: int
    cpus: int
    gpus: float

    def __str__(self) -> str:
        cores = "1 core" if self.cpus == 1 else f"{self.cpus} cores"
        return cores + (f" and {self.gpus:g} GPU" if self.gpus else "")


def share_out(
    params: BatchParams, tasks: int, machines: Sequence[Mapping[str, float]], *, use_gpus: bool
) -> Share:
    """Divide a cluster's machines among workers; `machines` are Ray's resources of each machine.

    If `workers` is 1, every GPU gets one worker, or two with `gpus_per_worker` 0.5; without GPUs
    every machine gets one. Raises `ParamError` if no machine has the GPUs that a worker needs.
    """
    gpus = _gpus_each(params, machines) if use_gpus or params.gpus_per_worker is not None else 0.0
    room = [int(machine.get("GPU", 0) / gpus + 1e-9) if gpus else 1 for machine in machines]
    if not any(room):
        numbers = ", ".join(f"{machine.get('GPU', 0):g}" for machine in machines) or "none"
        raise ParamError(f"gpus_per_worker {gpus:g}: the cluster's machines have {numbers}")
    workers = max(1, min(params.workers if params.workers > 1 else sum(room), tasks))
    cores = min(int(machine.get("CPU", 1)) for machine in machines)
    a_machine = -(-workers // len(machines))
    return Share(workers, 1 if gpus else max(1, cores // a_machine), gpus)


def _gpus_each(params: BatchParams, machines: Sequence[Mapping[str, float]]) -> float:
    """GPUs for each worker: `gpus_per_worker` if it is set, else 1 if the cluster has GPUs."""
    gpus = params.gpus_per_worker
    if gpus is None:
        return 1.0 if any(machine.get("GPU", 0) >= 1 for machine in machines) else 0.0
    if gpus > 1 and gpus % 1:
        raise ParamError(f"gpus_per_worker {gpus:g}: Ray gives a share of one GPU, or whole ones")
    return gpus


def find_machines() -> list[Mapping[str, float]]:
    """Ray's resources of each machine that takes tasks; a head may take none."""
    nodes = [node["Resources"] for node in import_ray().nodes() if node["Alive"]]
    machines = [resources for resources in nodes if resources.get("CPU")]
    if not machines:
        raise UnavailableError("the Ray cluster has no machine that takes work: see `ray status`")
    return machines


def pick_engine(params: BatchParams, kind: RunKind) -> str:
    """The engine that `auto` stands for on the machines where the runs will be made.

    Another cluster is asked by a task that has the GPUs of a worker. Raises `UnavailableError` if
    it cannot answer.
    """
    ray = import_ray()
    if params.ray_address in _HERE and not ray.is_initialized():
        return _pick_here(params, kind)
    with connected(params):
        share = share_out(params, 1, find_machines(), use_gpus=True)
        task = ray.remote(num_cpus=1, num_gpus=share.gpus)(_pick_there)
        try:
            return str(ray.get(task.remote(kind, share.gpus == 0), timeout=_PICK_MOST_S))
        except TimeoutError:
            reason = f"no machine had {share} free for {_PICK_MOST_S:.0f} s"
        except ray.exceptions.RayError as error:
            reason = last_line(error)
        raise UnavailableError(f"the Ray cluster cannot say which engine it has: {reason}")


def _pick_here(params: BatchParams, kind: RunKind) -> str:
    if params.gpus_per_worker != 0:
        return _pick_there(kind, hide_gpus=False)
    # Workers will see no GPU. This process may see one, and torch looks for GPUs only once.
    module, call = "chatter_nb.batch.ray.cluster", f"_pick_there({kind!r}, True)"
    code = f"import {module} as cluster; print(cluster.{call})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if done.returncode:
        raise UnavailableError(done.stderr.strip().splitlines()[-1])
    return done.stdout.split()[-1]


def _pick_there(kind: RunKind, hide_gpus: bool) -> str:
    if hide_gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    from chatter_nb.engines.models import pick_engine as pick

    return pick(kind=kind).name
