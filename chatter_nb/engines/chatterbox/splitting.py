"""A chunk that never ends is split, made again in parts, and joined. Not here: the model.

An autoregressive model now and then misses its end token and babbles up to the token limit. That
audio is never used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from chatter_nb.audio.join import Joiner, trim_edges
from chatter_nb.audio.reading import Signal
from chatter_nb.base.errors import EngineError
from chatter_nb.base.hashing import chunk_seed
from chatter_nb.engines.base import ChunkInfo, ChunkPart
from chatter_nb.text.chunking import split_chunks

MAX_DEPTH = 3  # eighths of a chunk of 280 characters are half a sentence
MIN_CHARS = 20
PART_SHARE = 0.6  # of the text: a little over half, to split two sentences where they meet

Say = Callable[[str, int], Signal | None]


def say_or_split(
    text: str, seed: int, say: Say, *, sample_rate: int, language: str
) -> tuple[Signal, ChunkInfo]:
    """The audio of `say(text, seed)`, or of joined parts where `say` returns None (no end).

    A text that is too short to be split is tried again with another seed. Raises `EngineError` if
    that does not end either.
    """
    calls = 0

    def counted(text: str, seed: int) -> Signal | None:
        nonlocal calls
        calls += 1
        return say(text.strip(), seed)  # parts keep the space that joins them

    spoken = list(_parts(text, seed, counted, language, depth=0))
    if len(spoken) == 1:
        return spoken[0][1], ChunkInfo(attempts=calls)
    audio, parts = _joined(spoken, sample_rate)
    return audio, ChunkInfo(attempts=calls, parts=parts)


def _parts(
    text: str, seed: int, say: Say, language: str, depth: int
) -> Iterator[tuple[str, Signal, int]]:
    """Yield (text, audio, pause after it in ms) of each part of the text."""
    audio = say(text, seed)
    if audio is not None:
        yield text, audio, 0
        return
    if len(text.strip()) < 2 * MIN_CHARS or depth == MAX_DEPTH:
        yield text, _second_try(text, seed, say), 0
        return
    limit = max(MIN_CHARS, round(len(text) * PART_SHARE))
    halves = split_chunks(text, chunk_chars=limit, language=language)
    rest = text[len(text.rstrip()) :]  # the space after it, which splitting drops
    for position, half in enumerate(halves):
        own_seed = chunk_seed(seed=seed, text=half.spoken, occurrence=position, take=0)
        own_text = half.text + (rest if half is halves[-1] else "")
        *first, last = _parts(own_text, own_seed, say, language, depth + 1)
        yield from first
        yield last[0], last[1], half.pause_ms


def _second_try(text: str, seed: int, say: Say) -> Signal:
    audio = say(text, chunk_seed(seed=seed, text=text, occurrence=0, take=1))
    if audio is None:
        raise EngineError(
            f"the model did not end on {text.strip()!r}, nor on a second try: raise "
            "max_new_tokens, reword it, or ask for another take of this chunk (takes)"
        )
    return audio


def _joined(
    spoken: list[tuple[str, Signal, int]], sample_rate: int
) -> tuple[Signal, tuple[ChunkPart, ...]]:
    blocks: list[Signal] = []
    joiner = Joiner(blocks.append, sample_rate=sample_rate)
    for index, (_, audio, pause_ms) in enumerate(spoken):
        last = index == len(spoken) - 1
        joiner.add(
            index, trim_edges(audio, sample_rate=sample_rate), pause_ms=0 if last else pause_ms
        )
    spans = joiner.finish(len(spoken)).spans
    parts = tuple(
        ChunkPart(text, span.start_samples, span.end_samples)
        for (text, _, _), span in zip(spoken, spans, strict=True)
    )
    return np.concatenate(blocks), parts
