"""How many chunks are decoded together unless the parameters say it.

On a CPU it follows from what the machine is, never from a timing or from what is free at the
moment: the same machine decodes the same number every time.
"""

from __future__ import annotations

from pathlib import Path

import psutil
import torch

from chatter_nb.engines.chatterbox.cache import Layers
from chatter_nb.engines.chatterbox.device import free_bytes

_LONG_CHUNK = 800  # positions: the voice, 300 of text, 18 s of speech
_BIG_CARD = 40e9  # bytes
_OF_S3GEN = 2e9  # bytes that a batch of S3Gen needs beside T3
_SLACK = 0.8  # graphs, activations, and what torch's allocator cannot use
_OF_MODEL = 6e9  # bytes of a CPU's memory: the model, S3Gen at work, the system
# By instruction set, rows on up to two cores and on more. The fewer tokens a second the memory's
# bandwidth allows beside the arithmetic, the more rows are worth having.
_ON_CPU = {"AVX512": (16, 32), "AVX2": (32, 32)}
_ON_OTHER_CPU = (8, 8)  # not measured


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
