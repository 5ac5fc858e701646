"""The texts that a run writes beside the audio of an output: its words with times, subtitles."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from chatter_nb.runs.choosing import Take
from chatter_nb.runs.record import ChunkRecord
from chatter_nb.runs.speak_plan import SpeechPlan
from chatter_nb.runs.subtitles import Timed, cues, written
from chatter_nb.runs.words_file import SideFile, joined_words, word_lines


def timed(
    plan: SpeechPlan,
    groups: Sequence[Sequence[ChunkRecord]],
    takes: Mapping[int, Take],
    trimmed: Mapping[int, int],
) -> Iterator[Timed]:
    """The records of each chunk of an output, and its words with places and times.

    `takes` are those in the file, and `trimmed` the samples cut off their front, by position.
    """
    for position, records in enumerate(groups):
        take = takes[position]
        if take.planned.chunk.speakable:
            kept = plan.store.words(take.planned.key)
            words = take.verdict.words if take.verdict else kept
            source = plan.engine.name if kept is not None else "aligner"
            more = (take.planned.chunk.text, records, trimmed[position] / plan.engine.sample_rate)
            yield records, None if words is None else joined_words(words, *more, source)


def write_texts(
    files: Sequence[SideFile], again: Callable[[], Iterator[Timed]], language: str
) -> bool:
    """Write the file of words and those of subtitles; returns whether times of words are known."""
    known = files[0].write(word_lines(words for _, words in again()))
    for file in files[1:]:
        file.write(written(file.path.suffix, cues(again(), language), known))
    return known
