"""The record of a chunk that had to be split: one for each of its parts."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import accumulate, pairwise
from typing import Any

from chatter_nb.engines.base import ChunkPart
from chatter_nb.runs.record import ChunkRecord


def in_parts(
    chunk: ChunkRecord, parts: Sequence[ChunkPart], trimmed_samples: int, rate: int
) -> list[ChunkRecord]:
    """A chunk's record, or one for each part that it had to be split into.

    Parts carry the first one's index in `split_from`, their texts add up to the chunk's.
    `trimmed_samples` were cut off the front of the audio that the parts' places refer to.
    """
    if not parts:
        return [chunk]
    texts = _spread(chunk.text, [part.text for part in parts])
    records = []
    for number, (part, text) in enumerate(zip(parts, texts, strict=True)):
        last = number == len(parts) - 1
        start_s = chunk.start_s + max(0, part.start_samples - trimmed_samples) / rate
        end_s = chunk.start_s + max(0, part.end_samples - trimmed_samples) / rate
        changes: dict[str, Any] = {
            "index": chunk.index + number,
            "text": text,
            "start_s": min(start_s, chunk.end_s),
            "end_s": chunk.end_s if last else min(end_s, chunk.end_s),
            "pause_ms": chunk.pause_ms if last else 0,
            "attempts": 0 if number else chunk.attempts,
            "split_from": chunk.index,
        }
        records.append(chunk.model_copy(update=changes))
    return records


def _spread(text: str, spoken: Sequence[str]) -> list[str]:
    """Cut `text` where its spoken parts end.

    It may hold layout characters that they lack, lack spaces that they have in long words, and have
    abbreviations that they have in full.
    """
    same = SequenceMatcher(None, "".join(spoken), text, autojunk=False).get_matching_blocks()
    ends = []
    for end in accumulate(len(part) for part in spoken[:-1]):
        block = max((one for one in same if one.a < end), key=lambda one: one.a, default=same[0])
        ends.append(block.b + min(end - block.a, block.size))
    return [text[a:b] for a, b in pairwise([0, *ends, len(text)])]
