"""What the record of a run says of a chunk, and of the parts of a chunk that was split."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import accumulate, pairwise
from typing import Any

from chatter_nb.audio.join import Span
from chatter_nb.engines.base import ChunkPart
from chatter_nb.runs.choosing import Take
from chatter_nb.runs.record import ChunkRecord, TakeRecord


def chunk_record(
    index: int, take: Take, trials: Sequence[Take], span: Span, rate: int
) -> ChunkRecord:
    """The record of a whole chunk: the take that was kept, of these `trials` if it was checked."""
    planned = take.planned
    attempts = sum(trial.info.attempts for trial in trials or (take,))
    return ChunkRecord(
        index=index,
        key=planned.key,
        text=planned.chunk.text,
        document=planned.placed.document,
        start=planned.placed.start,
        end=planned.placed.end,
        source_text=planned.placed.source_text,
        chapter=planned.placed.chapter,
        place=planned.placed.place,
        start_s=span.start_samples / rate,
        end_s=span.end_samples / rate,
        pause_ms=planned.chunk.pause_ms,
        seed=planned.seed,
        take=planned.take,
        take_of=planned.take_of,
        attempts=attempts,
        cached=not attempts and planned.chunk.speakable,
        verdict=take.verdict.verdict if take.verdict else None,
        takes=_take_records(trials),
    )


def _take_records(takes: Sequence[Take]) -> tuple[TakeRecord, ...]:
    """The records of a chunk's takes; none if there is nothing to say."""
    records = tuple(take.record() for take in takes)
    if len(records) == 1 and not (records[0].findings or records[0].notes):
        return ()
    return records


def moved_parts(take: Take) -> list[ChunkPart]:
    """The parts of a take that was split, at their places in the audio without the take's cuts."""
    if not take.cuts:
        return list(take.info.parts)
    from chatter_nb.verify.cuts import moved_sample

    moved = []
    for part in take.info.parts:
        places = (part.start_samples, part.end_samples)
        start, end = (int(moved_sample(sample, take.cuts)) for sample in places)
        moved.append(ChunkPart(part.text, start, end))
    return moved


def split_record(
    chunk: ChunkRecord, parts: Sequence[ChunkPart], trimmed_samples: int, rate: int
) -> list[ChunkRecord]:
    """A record for each part of a chunk; for a chunk without parts, its own record.

    In each record `split_from` is the index of the first part; the texts add up to the chunk's. The
    parts' positions are those before `trimmed_samples` were cut off the front of the audio.
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
            "source_text": chunk.text if chunk.source_text is None else chunk.source_text,
            "start_s": min(start_s, chunk.end_s),
            "end_s": chunk.end_s if last else min(end_s, chunk.end_s),
            "pause_ms": chunk.pause_ms if last else 0,
            "attempts": 0 if number else chunk.attempts,
            "split_from": chunk.index,
            "takes": () if number else chunk.takes,
        }
        records.append(chunk.model_copy(update=changes))
    return records


def _spread(text: str, spoken: Sequence[str]) -> list[str]:
    """Cut `text` into pieces that correspond to its spoken parts.

    `text` may hold layout characters and abbreviations; the spoken parts have none, and have
    additional spaces in long words.
    """
    same = SequenceMatcher(None, "".join(spoken), text, autojunk=False).get_matching_blocks()
    ends = []
    for end in accumulate(len(part) for part in spoken[:-1]):
        earlier = [block for block in same if block.a < end]
        block = max(earlier, key=lambda block: block.a, default=same[0])
        ends.append(block.b + min(end - block.a, block.size))
    return [text[a:b] for a, b in pairwise([0, *ends, len(text)])]
