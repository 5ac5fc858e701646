"""What somebody hears of an output while it is made, where chunks are heard in parts.

The files hold the chunks. The stream has a joiner and a watermark of its own, and of a chunk that
was heard in parts it has those: another rendering, which is kept in the store, so that the same
request sounds the same again.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from chatter_nb.audio.join import Joiner, fade_edges, find_edges, trim_edges
from chatter_nb.audio.reading import Signal
from chatter_nb.base.hashing import streamed_key
from chatter_nb.base.timing import Stopwatch
from chatter_nb.engines.base import ChunkInfo
from chatter_nb.engines.watermark import marked
from chatter_nb.runs.keys import PlannedChunk
from chatter_nb.runs.output import Marked, OnAudio
from chatter_nb.runs.speak_plan import SpeechPlan

_HELD_MS = 120.0  # of a chunk in parts: enough for any crossfade with the next chunk
_AGAIN_PAUSE_S = 0.5


def keeps_up(engine: Any) -> bool:
    """Whether an engine speaks faster than real time, as every CUDA card should."""
    rtf: float | None = engine.typical_rtf
    return engine.device.startswith("cuda") if rtf is None else rtf <= 1


class Listening:
    """The stream of one output: `on_audio` gets its samples, each with the watermark.

    Call `part` with what the engine makes of the chunk in turn, `keep` once that chunk is made, and
    `add` for every chunk, in any order; then `finish`. `streamed` are the positions of the chunks
    that were heard in parts, `warnings` what the run must tell.
    """

    def __init__(self, plan: SpeechPlan, on_audio: OnAudio, watch: Stopwatch) -> None:
        self._store, self._on_audio, self._watch = plan.store, on_audio, watch
        self._rate = plan.engine.sample_rate
        self._marked = Marked(plan, self._hear, watch, at_once=True)
        self._joiner = Joiner(
            self._marked.write,
            sample_rate=self._rate,
            crossfade_ms=plan.params.crossfade_ms,
            chunk_end=self._marked.chunk_end,
        )
        self._edges = _EdgeTrimmer(self._rate)
        self._pieces: list[Signal] = []  # of the chunk in turn, as heard so far
        self._early: dict[int, tuple[PlannedChunk, Signal]] = {}
        self._turn = 0
        self.streamed: set[int] = set()
        self.warnings: list[str] = []

    def part(self, samples: Signal) -> None:
        """Play the next samples of the chunk in turn."""
        self._pieces.append(samples)
        with self._watch.stage("join"):
            self._join(self._edges.add(samples), None)

    def keep(self, planned: PlannedChunk, audio: Signal, info: ChunkInfo) -> None:
        """Store what was heard of the chunk in turn, if that is in parts.

        A chunk whose parts broke off is heard again from its beginning: no word is lost.
        """
        if not self._pieces:
            return
        text = planned.chunk.spoken
        if not info.in_parts:
            self.warnings.append(
                "who listened heard the beginning of a chunk, and then all of it again: "
                f"{text[:60]!r}"
            )
            self.part(np.zeros(round(self._rate * _AGAIN_PAUSE_S), np.float32))
            self.part(audio)
        about = {
            "text": text,
            "seed": planned.seed,
            "take": planned.take,
            "streamed": True,
            "pieces_samples": [len(piece) for piece in self._pieces],
        }
        with self._watch.stage("store"):
            self._store.put(streamed_key(planned.key), np.concatenate(self._pieces), about)

    def add(self, position: int, planned: PlannedChunk, audio: Signal) -> None:
        """Take a chunk as it is in the files, its edges trimmed."""
        self._early[position] = planned, audio
        while self._turn in self._early:
            self._play(*self._early.pop(self._turn))
            self._turn += 1

    def finish(self) -> None:
        """Play what is held back."""
        self._joiner.finish(self._joiner.next_index)
        self._marked.finish()

    def _play(self, planned: PlannedChunk, audio: Signal) -> None:
        """The chunk in turn: the rest of its parts, or its parts from the store, or itself."""
        live, self._pieces = bool(self._pieces), []
        if not live:
            for piece in self._kept(planned):
                live = True
                self.part(piece)
        pause_ms = planned.chunk.pause_ms
        with self._watch.stage("join"):
            if not live:
                return self._join(audio, pause_ms)
            self._join(self._edges.finish(), pause_ms)
        self.streamed.add(self._turn)
        self._edges, self._pieces = _EdgeTrimmer(self._rate), []

    def _kept(self, planned: PlannedChunk) -> Iterator[Signal]:
        """The pieces of a chunk that was heard in parts before; none if it was not."""
        key = streamed_key(planned.key)
        with self._watch.stage("store"):
            entry = self._store.get(key)
        if key in self._store.damaged:
            self._store.damaged.remove(key)
            self.warnings.append(f"kept parts {key} were damaged: the chunk itself is heard")
        if entry:
            audio, about = entry
            self._store.touch(key)
            for start, end in pairwise(accumulate(about["pieces_samples"], initial=0)):
                yield audio[start:end]

    def _join(self, signal: Signal, pause_ms: float | None) -> None:
        if len(signal) or pause_ms is not None:
            self._joiner.add(self._joiner.next_index, signal, pause_ms=pause_ms)

    def _hear(self, block: Signal) -> None:
        with self._watch.stage("write"):
            self._on_audio(block)


def kept_part(plan: SpeechPlan) -> tuple[Signal, list[tuple[float, float, str]]]:
    """The beginning of a stopped run: the finished chunks of its first output up to a missing one.

    Returns the samples (mono float32), joined as in the files, and start, end (s) and text of each
    chunk.
    """
    rate, blocks = plan.engine.sample_rate, [np.zeros(0, np.float32)]
    joiner = Joiner(blocks.append, sample_rate=rate, crossfade_ms=plan.params.crossfade_ms)
    kept: list[PlannedChunk] = []
    for planned in plan.outputs[0].chunks:
        entry = plan.store.get(planned.key) if planned.chunk.speakable else (blocks[0], {})
        if entry is None:
            break
        audio = trim_edges(entry[0], sample_rate=rate)
        joiner.add(len(kept), audio, pause_ms=planned.chunk.pause_ms)
        kept.append(planned)
    joined = joiner.finish(len(kept))
    audio = np.concatenate(blocks)
    marks = [
        (span.start_samples / rate, span.end_samples / rate, planned.chunk.text)
        for span, planned in zip(joined.spans, kept, strict=True)
    ]
    return marked(audio, plan.engine), marks


class _EdgeTrimmer:
    """`trim_edges` for a signal that comes in pieces: what is loud is relative to the peak so far.

    A piece's quiet end is held back until a sound follows it, and so are the last `_HELD_MS`.
    """

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self._kept = round(sample_rate * _HELD_MS / 1000)
        self._held = np.zeros(0, np.float32)
        self._peak = 0.0
        self._begun = False

    def add(self, piece: Signal) -> Signal:
        """What is certain to be heard now; it may be empty."""
        self._peak = max(self._peak, float(np.abs(piece).max(initial=0.0)))
        self._held = np.concatenate([self._held, piece])
        start, end = find_edges(self._held, sample_rate=self._rate, loudest=self._peak)
        if not end:
            return self._held[:0]
        if not self._begun:
            self._begun = True
            self._held, end = self._held[start:], end - start
            self._held = fade_edges(self._held, sample_rate=self._rate, last=False)
        ready = max(0, end - self._kept)
        now, self._held = self._held[:ready], self._held[ready:]
        return now

    def finish(self) -> Signal:
        """The rest, with a fade at its end."""
        _, end = find_edges(self._held, sample_rate=self._rate, loudest=self._peak)
        return fade_edges(self._held[:end], sample_rate=self._rate, first=False)
