"""PerTh's watermark, which all that Chatterbox makes carries, as upstream's does.

It is laid on blocks of at most a minute, on their way to the file, rather than on each chunk:
fewer calls, and short chunks carry it as well as long ones. There is no switch.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any

import numpy as np

from chatter_nb.audio.reading import Signal, peak
from chatter_nb.base.errors import EngineError, UnavailableError
from chatter_nb.engines import models

BLOCK_S = 60.0
CONTEXT_S = 0.5  # on both sides of a block, so that neighbours meet without a step
CURE = "pip install 'setuptools<81' resemble-perth"
_SILENT_PEAK = 1e-4  # PerTh has nothing to hide a mark in


def load_perth(device: str = "cpu") -> Any:
    """PerTh's marker and detector, on `device` if that is CUDA, else on the CPU.

    Raises `UnavailableError` with the cure if it cannot load.
    """
    place = device if device.startswith("cuda") else "cpu"
    return models.shared(("perth", place), lambda: _load(place))


def _load(device: str) -> Any:
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # of pkg_resources, at each import
        return _perth(device)


def _perth(device: str) -> Any:
    """PerTh prints which weights it loaded: stdout is for our own output."""
    import perth

    if perth.PerthImplicitWatermarker is None:  # it swallowed an ImportError of pkg_resources
        raise UnavailableError(f"PerTh, the watermark, cannot load: {CURE}")
    return _Marker(perth.PerthImplicitWatermarker(device=device))


class _Marker:
    """PerTh's own, without the graph that training would need. A GPU that is full lets the CPU do
    it.
    """

    def __init__(self, own: Any) -> None:
        self._own = own

    def apply_watermark(self, signal: Signal, sample_rate: int) -> Signal:
        import torch

        try:
            with torch.inference_mode():
                return self._own.apply_watermark(signal, sample_rate=sample_rate)
        except torch.OutOfMemoryError:
            pass  # the error is gone before the next try, and with it what it held
        return load_perth("cpu").apply_watermark(signal, sample_rate=sample_rate)

    def get_watermark(self, signal: Signal, sample_rate: int, *, round: bool = True) -> Signal:
        import torch

        with torch.inference_mode():
            return self._own.get_watermark(signal, sample_rate=sample_rate, round=round)


def mark(signal: Signal, sample_rate: int, *, perth: Any = None) -> Signal:
    """The signal with a watermark, as long as it was; silence stays as it is.

    PerTh shortens what it is given to a multiple of its hop: it gets zeros at the end for that.
    """
    if peak(signal) < _SILENT_PEAK:
        return signal
    padded = np.pad(signal, (0, sample_rate // 10))
    marked = (perth or load_perth()).apply_watermark(padded, sample_rate=sample_rate)
    if len(marked) < len(signal) or not np.isfinite(peak(marked)):
        raise EngineError(f"PerTh made {len(marked)} samples of {len(padded)}, or no numbers")
    return marked[: len(signal)].astype(np.float32)


class Watermark:
    """Between a joiner and a file: marks what passes, block by block, in flat memory.

    `chunk_end` says that what has been written ends a chunk: blocks end there if they can. With
    `at_once` every chunk is a block, as soon as it is here: somebody is listening.
    """

    def __init__(
        self,
        write: Callable[[Signal], object],
        *,
        sample_rate: int,
        device: str = "cpu",
        at_once: bool = False,
    ) -> None:
        self._write = write
        self._rate = sample_rate
        self._at_once = at_once
        self._perth = load_perth(device)
        self._context = round(CONTEXT_S * sample_rate)
        self._longest = round(BLOCK_S * sample_rate) - 2 * self._context
        self._before: Signal = np.zeros(0, np.float32)  # the last samples, as they came
        self._blocks: list[Signal] = []
        self._waiting = 0
        self._ends: list[int] = []  # of chunks, in samples from the first that waits

    def write(self, block: Signal) -> None:
        """Take samples; pass on a block when it, and what it is cut from, are here."""
        self._blocks.append(block)
        self._waiting += len(block)
        while self._waiting > self._longest + self._context:
            self._pass_on(max((e for e in self._ends if e <= self._longest), default=self._longest))

    def chunk_end(self) -> None:
        self._ends.append(self._waiting)
        if self._at_once:
            self.finish()

    def finish(self) -> None:
        """Pass on the rest."""
        while self._waiting:
            self._pass_on(min(self._waiting, self._longest))

    def _pass_on(self, samples: int) -> None:
        waiting = np.concatenate(self._blocks)
        after = waiting[samples : samples + self._context]
        surrounded = np.concatenate([self._before, waiting[:samples], after])
        marked = mark(surrounded, self._rate, perth=self._perth)
        self._write(marked[len(self._before) : len(self._before) + samples])
        self._before = waiting[max(0, samples - self._context) : samples]
        self._blocks = [waiting[samples:]]
        self._waiting -= samples
        self._ends = [end - samples for end in self._ends if end > samples]
