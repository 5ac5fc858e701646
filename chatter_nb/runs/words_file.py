"""`<output>.words.json`: the words of an output, their places in the text and times in the file.

A list of objects with `word`, as it is spoken; `chunk`, its number in run.json; `text_start` and
`text_end`, its place in that chunk's text, in characters; `start_s` and `end_s`; `source`, who says
so: the engine by its name, or "aligner".
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import accumulate
from pathlib import Path
from typing import Any

from chatter_nb.audio.words import WordTime
from chatter_nb.base.disk import check_way, part_path, remove, writing
from chatter_nb.runs.record import ChunkRecord, file_record
from chatter_nb.text.places import place_words

_DECIMALS = 4  # 0.1 ms, two samples


class SideFile:
    """A text beside the audio of an output, under a temporary name until `commit`."""

    def __init__(self, path: Path, unfinished: ExitStack) -> None:
        check_way(path)
        self.path, self.part = path, part_path(path)
        unfinished.callback(remove, self.part)  # after `commit` there is none

    def write(self, parts: Iterable[str | None]) -> bool:
        """Write its parts; no file, and False, if one is None. Raises `OutputError`."""
        with writing(self.path), self.part.open("w", encoding="utf-8", newline="\n") as file:
            for part in parts:
                if part is None:
                    return False
                file.write(part)
        self.record = file_record(self.part, self.path.name)
        return True

    def commit(self) -> None:
        """Give the file its name."""
        with writing(self.path):
            os.replace(self.part, self.path)


def word_lines(chunks: Iterable[Iterable[Any] | None]) -> Iterator[str | None]:
    """The words of all chunks as JSON, a line each; None for a chunk without times of its words."""
    before = "[\n"
    for words in chunks:
        if words is None:
            yield None
        for word in words or ():
            yield before + json.dumps(word, ensure_ascii=False)
            before = ",\n"
    yield "\n]\n" if before == ",\n" else "[]\n"


def joined_words(
    words: Sequence[WordTime],
    text: str,
    records: Sequence[ChunkRecord],
    trimmed_s: float,
    source: str,
) -> Iterator[dict[str, Any]]:
    """The words of a chunk of the plan, as they are in the file of the output.

    `text` is the chunk's, shown. It has several `records` if it was split; their texts add up to
    it. `trimmed_s` is how much was cut off the front of its audio.
    """
    starts = [0, *accumulate(len(record.text) for record in records)]
    first_s, last_s = records[0].start_s, records[-1].end_s
    at = 0
    for word, place in zip(words, place_words([w.text for w in words], text), strict=True):
        while place.start >= starts[at + 1] and at + 1 < len(records):
            at += 1
        times_s = (first_s - trimmed_s + time_s for time_s in (word.start_s, word.end_s))
        start_s, end_s = (round(min(max(first_s, t), last_s), _DECIMALS) for t in times_s)
        yield {
            "word": word.text,
            "chunk": records[at].index,
            "text_start": place.start - starts[at],
            "text_end": min(place.end, starts[at + 1]) - starts[at],
            "start_s": start_s,
            "end_s": end_s,
            "source": source,
        }
