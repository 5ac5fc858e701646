"""What every call into a torch model needs around it.

Random numbers of its own, silence of upstream's modules, and a clear error where memory runs out.
Also how many chunks are decoded together unless the parameters say it. On a CPU that follows from
what the machine is, never from a timing or from what is free at the moment: the same machine
decodes the same number every time.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import traceback
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Literal
from unittest import mock

import psutil
import torch

from chatter_nb.base.errors import OutOfMemory
from chatter_nb.engines.chatterbox.cache import Layers
from chatter_nb.engines.gpu import full_float32, memory_is_full, return_memory

Precision = Literal["exact", "fast", "int8"]

# One call at a time: what another thread draws in between would be missing from our numbers, and
# of two that patch upstream's names the later would put the earlier's patch back for good.
_turn = threading.RLock()
# S3Gen's modules keep state during a call. Who needs both locks takes `_turn` first.
S3GEN_LOCK = threading.RLock()
_LONG_CHUNK = 800  # positions: the voice, 300 of text, 18 s of speech
_BIG_CARD = 40e9  # bytes
_OF_S3GEN = 2e9  # bytes that a batch of S3Gen needs beside T3
_SLACK = 0.8  # graphs, activations, and what torch's allocator cannot use
_OF_MODEL = 6e9  # bytes of a CPU's memory: the model, S3Gen at work, the system
# By instruction set, rows on up to two cores and on more. The fewer tokens a second the memory's
# bandwidth allows beside the arithmetic, the more rows are worth having.
_ON_CPU = {"AVX512": (16, 32), "AVX2": (32, 32)}
_ON_OTHER_CPU = (8, 8)  # not measured


def weights_dtype(device: str, precision: str) -> torch.dtype:
    """The type of weights: float32, or 16 bits under `precision` "fast".

    A model's numbers may overflow float16, so it is used only on a GPU without bfloat16. A CPU
    without bfloat16 stays at float32.
    """
    kind = device.partition(":")[0]
    if precision != "fast" or (kind == "cpu" and not cpu_has_bfloat16()):
        return torch.float32
    if kind == "mps" or (kind == "cuda" and torch.cuda.get_device_capability(device) < (8, 0)):
        return torch.float16
    return torch.bfloat16


def t3_dtype(device: str, precision: str) -> torch.dtype:
    """The type of the weights of T3's layers: `weights_dtype`, or int8 under that `precision`."""
    return torch.int8 if precision == "int8" else weights_dtype(device, precision)


def cpu_has_bfloat16() -> bool:
    """Whether the processor has instructions for bfloat16."""
    # No public name; without it (another torch, another processor) float32 stays.
    known = (
        getattr(torch.cpu, f"_is_{part}_supported", None) for part in ("avx512_bf16", "amx_tile")
    )
    return any(check() for check in known if check)


def free_bytes(device: torch.device) -> int:
    """Bytes that are free for tensors, those that torch has reserved included."""
    if device.type == "cuda":
        reserved = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + reserved
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    return psutil.virtual_memory().available


def one_at_a_time() -> AbstractContextManager[object]:
    """A lock: while it is held, other threads wait to use models."""
    return _turn


@contextmanager
def s3gen_turn(device: str | torch.device) -> Iterator[None]:
    """The lock of S3Gen, and full float32. T3 may run meanwhile: it has a lock of its own."""
    with S3GEN_LOCK, full_float32(str(device)):
        yield


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's global generators inside; outside they are as before.

    Upstream draws from them; a generator of our own cannot be passed.
    """
    with _turn:
        before = _states()
        try:
            torch.manual_seed(seed)
            yield
        finally:
            _set_states(before)


def _states() -> dict[str, Any]:
    states: dict[str, Any] = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state_all()
    if torch.backends.mps.is_available():
        states["mps"] = torch.mps.get_rng_state()
    return states


def _set_states(states: dict[str, Any]) -> None:
    torch.set_rng_state(states["cpu"])
    if "cuda" in states:
        torch.cuda.set_rng_state_all(states["cuda"])
    if "mps" in states:
        torch.mps.set_rng_state(states["mps"])


@contextmanager
def quiet_upstream() -> Iterator[None]:
    """Silence upstream's progress bars, prints and warnings inside."""
    from chatterbox.models.s3gen import flow_matching
    from chatterbox.models.t3 import t3

    loggers = [logging.getLogger(name) for name in ("chatterbox", "transformers", "root")]
    with _turn, contextlib.ExitStack() as patches:
        levels = [logger.level for logger in loggers]
        patches.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")  # of what newer torch and diffusers will remove
        for module in (t3, flow_matching):
            patches.enter_context(mock.patch.object(module, "tqdm", lambda items, **_: items))
        patches.enter_context(mock.patch.object(flow_matching, "print", create=True))
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


@contextmanager
def memory_explained(what: str, cure: str) -> Iterator[None]:
    """Raise `OutOfMemory` with `what` and `cure` where the device's memory runs out.

    The memory of the failed call is given back first.
    """
    try:
        yield
        return
    except RuntimeError as error:
        if not memory_is_full(error):
            raise
        # The frames of the failed call hold its tensors, and would while its error is kept.
        traceback.clear_frames(error.__traceback__)
    with _turn:  # not while another thread captures a graph
        return_memory()
    raise OutOfMemory(f"the memory is too small for {what}: {cure}")


def most_rows(device: torch.device) -> int:
    """The most rows that are worth having on a device, whatever its memory."""
    if device.type == "cuda":
        return 64 if torch.cuda.get_device_properties(device).total_memory >= _BIG_CARD else 16
    if device.type != "cpu":
        return 8
    few, many = _ON_CPU.get(torch.backends.cpu.get_cpu_capability(), _ON_OTHER_CPU)
    return few if torch.get_num_threads() <= 2 else many


def rows_that_fit(layers: Layers, lanes: int, room: int, idle_bytes: int) -> int:
    """How many chunks to decode together.

    On a GPU as many long ones as the free memory holds beside S3Gen, `idle_bytes` of an earlier
    call included; on a CPU a power of two that half of what the model leaves of all memory holds.
    `lanes` sequences belong to a chunk; their cache grows by `room` positions.
    """
    most, device = most_rows(layers.device), layers.device
    row = long_chunk_bytes(layers, lanes, room)
    if device.type == "cpu":
        fitting = max(1, int((total_bytes() - _OF_MODEL) / 2 / row))
        return min(most, 1 << (fitting.bit_length() - 1))
    free = free_bytes(device) + idle_bytes - _OF_S3GEN
    return max(1, min(most, int(free * _SLACK / row)))


def long_chunk_bytes(layers: Layers, lanes: int, room: int) -> int:
    """The size of a long chunk's cache, which grows by `room` positions."""
    a_position = 2 * layers.depth * layers.heads * layers.head_width * layers.dtype.itemsize
    return lanes * -(-_LONG_CHUNK // room) * room * a_position


def total_bytes(limit: Path = Path("/sys/fs/cgroup/memory.max")) -> int:
    """The machine's memory, or what a container's `limit` leaves of it."""
    total = int(psutil.virtual_memory().total)
    try:
        text = limit.read_text(encoding="ascii").strip()
    except OSError:  # no Linux, or no such limit
        return total
    return min(total, int(text)) if text.isdigit() else total
