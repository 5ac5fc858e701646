"""PerTh's watermark: all audio of Chatterbox carries it, as upstream's audio does.

Blocks of at most a minute are marked on their way to the file, rather than each chunk: PerTh is
called less often, and short chunks carry the mark as well as long ones. There is no switch.
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
from chatter_nb.engines.gpu import full_float32, memory_is_full

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


def _load(device: str) -> _Marker:
    # PerTh prints which weights it loaded, and pkg_resources warns at each import.
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        import perth

        if perth.PerthImplicitWatermarker is None:  # it swallowed an ImportError of pkg_resources
            raise UnavailableError(f"PerTh, the watermark, cannot load: {CURE}")
        return _Marker(perth.PerthImplicitWatermarker(device=device), device)


class _Marker:
    """Calls PerTh without the graph that training needs; on the CPU where the GPU is full."""

    def __init__(self, marker: Any, device: str) -> None:
        self._marker, self._device = marker, device

    def apply_watermark(self, signal: Signal, sample_rate: int) -> Signal:
        return self._call("apply_watermark", signal, sample_rate=sample_rate)

    def get_watermark(self, signal: Signal, sample_rate: int, *, round: bool = True) -> Signal:
        return self._call("get_watermark", signal, sample_rate=sample_rate, round=round)

    def _call(self, method: str, signal: Signal, **options: Any) -> Signal:
        import torch

        try:
            with torch.inference_mode(), full_float32(self._device):
                return getattr(self._marker, method)(signal, **options)
        except RuntimeError as error:  # it is gone before the next try, and with it what it held
            if self._device == "cpu" or not memory_is_full(error):
                raise
        return getattr(load_perth("cpu"), method)(signal, **options)


def mark(signal: Signal, sample_rate: int, *, perth: Any = None) -> Signal:
    """The signal with a watermark, of the same length; silence is returned unchanged.

    PerTh cuts a signal to a multiple of its hop, so zeros are added at the end before the call.
    """
    if peak(signal) < _SILENT_PEAK:
        return signal
    padded = np.pad(signal, (0, sample_rate // 10))
    result = (perth or load_perth()).apply_watermark(padded, sample_rate=sample_rate)
    if len(result) < len(signal) or not np.isfinite(peak(result)):
        raise EngineError(f"PerTh made {len(result)} samples of {len(padded)}, or no numbers")
    return result[: len(signal)].astype(np.float32)


def marked(signal: Signal, engine: Any) -> Signal:
    """The signal as `engine`'s files have it: with a watermark, if they are marked."""
    if not engine.watermarked:
        return signal
    return mark(signal, engine.sample_rate, perth=load_perth(engine.device))


class Watermark:
    """Stands between a joiner and a file: marks audio block by block, in flat memory.

    Call `chunk_end` after the last samples of a chunk: blocks end there if possible. With
    `at_once` every chunk is a block and is passed on at once, because somebody is listening.
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
        """Take samples; pass on a block once it and the context after it are complete."""
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

    def begin_anew(self) -> None:
        """Pass on the rest: the next samples are marked without a look at those before."""
        self.finish()
        self._before = self._before[:0]

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
