"""Fakes with the real interface, imported only on request: for this project's tests and yours."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from chatter_nb.audio.reading import Signal
from chatter_nb.base.errors import EngineError
from chatter_nb.engines import models
from chatter_nb.engines.base import ChunkInfo, ChunkRequest, Voice
from chatter_nb.engines.voices import Library

SECONDS_A_CHAR = 0.005


class ToneEngine:
    """A `SpeechEngine` that hums: length from the text, pitch from the seed, at once.

    `order` rearranges the requests, as an engine does that finishes several chunks together;
    `fail_at` names a chunk that raises. `spoken` lists the texts that were asked for.
    """

    name = "hibari"  # it stands in for the embedded voice: see `speaking_with`
    version = "tone"
    sample_rate = 24_000
    languages = ("en",)
    accepts = frozenset({"speed"})
    device = "cpu"
    precision = "exact"
    rows = 1
    typical_rtf = 0.001
    watermarked = False
    speaks_in_parts = False
    min_voice_s = None

    def __init__(
        self,
        *,
        order: Callable[[list[ChunkRequest]], list[ChunkRequest]] = list,
        fail_at: int | None = None,
    ) -> None:
        self.spoken: list[str] = []
        self._order = order
        self._fail_at = fail_at

    def prepare_voice(self, voice: str, library: Library) -> Voice:
        return Voice(voice or "tone", "tone")

    def check_text(self, text: str, language: str) -> list[str]:
        return []

    def synthesize(
        self, requests: Sequence[ChunkRequest]
    ) -> Iterator[tuple[int, Signal, ChunkInfo]]:
        for request in self._order(list(requests)):
            if request.index == self._fail_at:
                raise EngineError(f"the tone engine was told to fail at chunk {request.index}")
            self.spoken.append(request.text)
            yield request.index, self._hum(request), ChunkInfo()

    def _hum(self, request: ChunkRequest) -> Signal:
        seconds = len(request.text) * SECONDS_A_CHAR / request.knobs.get("speed", 1)
        time_s = np.arange(round(self.sample_rate * seconds)) / self.sample_rate
        pitch_hz = 200 + request.seed % 200
        return (0.3 * np.sin(2 * np.pi * pitch_hz * time_s)).astype(np.float32)


class SpoilingEngine:
    """A real engine whose takes of some seeds are spoiled: `spoilers` maps a seed to the fault.

    A spoiler gets the samples and the words with their times, and returns other samples. `seeds`
    lists the renderings in their order; with `knows_words=False` it gives no word times, like
    Chatterbox.
    """

    def __init__(self, engine: Any, *, knows_words: bool = True) -> None:
        self._engine = engine
        self._knows_words = knows_words
        self.spoilers: dict[int, Callable[[Signal, Any], Signal]] = {}
        self.seeds: list[int] = []
        self.version = "spoiling"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def synthesize(
        self, requests: Sequence[ChunkRequest], **options: Any
    ) -> Iterator[tuple[int, Signal, ChunkInfo]]:
        by_index = {request.index: request for request in requests}
        for index, audio, info in self._engine.synthesize(requests, **options):
            seed = by_index[index].seed
            self.seeds.append(seed)
            if seed in self.spoilers:
                audio = self.spoilers[seed](audio, info.words)
            words = info.words if self._knows_words and seed not in self.spoilers else None
            yield index, audio, replace(info, words=words)


@contextmanager
def speaking_with(engine: Any) -> Iterator[Any]:
    """Put a fake in the place of the embedded voice, for the length of the block."""
    before = dict(models._models)
    models._models["hibari"] = (("cpu", "", "exact"), engine)
    try:
        yield engine
    finally:
        models._models.clear()
        models._models.update(before)


@contextmanager
def holding(engine: ToneEngine) -> Iterator[threading.Event]:
    """Let the engine make no sound within the block; set once it has begun, it goes on after it."""
    plain, begun, go_on = engine.synthesize, threading.Event(), threading.Event()

    def synthesize(requests: Sequence[ChunkRequest]) -> Iterator[tuple[int, Signal, ChunkInfo]]:
        begun.set()
        go_on.wait(600)
        yield from plain(requests)

    engine.synthesize = synthesize  # type: ignore[method-assign]
    try:
        yield begun
    finally:
        go_on.set()
        engine.synthesize = plain  # type: ignore[method-assign]


def make_checkpoint(folder: Path | str, model: str = "chatterbox", **options: Any) -> Path:
    """Write a small Chatterbox checkpoint of random weights: see `random_checkpoints`.

    Imported on the first call: PyTorch and the upstream package are optional.
    """
    from chatter_nb.engines.chatterbox import random_checkpoints

    return random_checkpoints.make_checkpoint(folder, model, **options)


class NoWatermark:
    """PerTh's interface without its mark, to compare samples with upstream's."""

    def apply_watermark(self, signal: np.ndarray, sample_rate: int, **_: Any) -> np.ndarray:
        return signal

    def get_watermark(
        self, wm_signal: np.ndarray, sample_rate: int, round: bool = True, **_: Any
    ) -> np.ndarray:
        return np.zeros(1, np.float32)
