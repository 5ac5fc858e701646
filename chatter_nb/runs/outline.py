"""What a run would speak, and how long it is, without model and store."""

from __future__ import annotations

from dataclasses import dataclass

from chatter_nb.engines.base import SpeechEngine
from chatter_nb.engines.checks import notes_on_language
from chatter_nb.engines.registry import EngineEntry
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.saying import Sayings
from chatter_nb.runs.speak_texts import chosen_part, read_texts, split_text
from chatter_nb.runs.speakers import of_a_part
from chatter_nb.text.files import TextSource
from chatter_nb.text.pace import chars_per_s
from chatter_nb.text.spoken.saying import Saying

OUTLINED_CHARS = 200_000  # takes 60 ms


@dataclass(frozen=True)
class Outline:
    """The size of a text: characters, chunks, seconds; an estimate unless `exact`."""

    chars: int
    chunks: int
    audio_s: float
    exact: bool = True
    notes: tuple[str, ...] = ()  # on its language, if the engine is known


def outline(params: SpeakParams, engine: EngineEntry | None = None) -> Outline:
    """The size of what a run would speak, at its language's usual pace, without model and store.

    A form calls it after every key: of a longer text only the first `OUTLINED_CHARS` are cut into
    chunks, and the rest is estimated. Raises `InputError` for a text that cannot be spoken.
    """
    language = params.language or "en"
    chars = chunks = 0
    audio_s, exact, notes = 0.0, True, dict[str, None]()
    for whole in read_texts(params):
        source = chosen_part(whole, params)
        share = min(1.0, OUTLINED_CHARS / max(1, len(source.text)))
        text = source.text
        if share < 1:
            text = text[: text.rfind(" ", 0, OUTLINED_CHARS)]
        part = TextSource(source.name, text, source.origin)
        pieces = split_text(part, of_a_part(params), Sayings(Saying(language))).chunks
        spoken_s = sum(len(chunk.text) for chunk in pieces) / chars_per_s(language)
        paused_s = sum(chunk.pause_ms for chunk in pieces) / 1000
        chars += len(source.text)
        chunks += round(len(pieces) / share)
        audio_s += (spoken_s / (params.speed or 1.0) + paused_s) / share
        exact = exact and share == 1.0
        notes |= dict.fromkeys(language_notes(text, params, engine) if engine else ())
    return Outline(chars, chunks, audio_s, exact, tuple(notes))


def language_notes(text: str, params: SpeakParams, engine: EngineEntry | SpeechEngine) -> list[str]:
    """A note with its cure if nobody set the language, and a text seems to be in another."""
    return [] if params.language else notes_on_language(text, engine.name, engine.languages[0])


def spoken_text(params: SpeakParams) -> str:
    """All that a run would speak, in one line. Raises `InputError` if it is nothing."""
    language = params.language or "en"
    chunks = [
        chunk
        for source in read_texts(params)
        for chunk in split_text(
            chosen_part(source, params), of_a_part(params), Sayings(Saying(language))
        ).chunks
    ]
    return " ".join(chunk.spoken for chunk in chunks if chunk.speakable)
