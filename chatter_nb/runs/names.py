"""The words of a text that its voice guesses at: listed, heard before the run, put right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from chatter_nb.base.errors import shorten, shown
from chatter_nb.base.project import project_root, resolve_path, shown_path
from chatter_nb.base.wording import count
from chatter_nb.engines.models import pick_engine
from chatter_nb.params.runs import KNOBS, SpeakParams
from chatter_nb.runs.saying import sayings_of
from chatter_nb.runs.speak import generate_tts, sample_of
from chatter_nb.runs.speak_texts import chosen_part, cleaned, read_texts
from chatter_nb.runs.speakers import of_a_part, speakers_in
from chatter_nb.runs.unspeakable import WORD, unknown_of
from chatter_nb.text.lexicon import add_entries
from chatter_nb.text.sentences import base_of, sentences
from chatter_nb.text.spoken.say import Change, with_changes

_FRAME = "{0}. It is {0}."  # a voice says a word alone less evenly, and in under a second
_VOICE = ("voice", "voices_dir", "outputs_dir", "language", "device", "precision", "engine_path")
_NEAR_CHARS, _SHOWN_CHARS = 400, 160  # of a word's sentence: looked for on each side, shown


class Name(NamedTuple):
    """A word, its number, its first sentence, and the phonemes that hibari would say."""

    word: str
    times: int
    sentence: str
    sounds: str = ""


def names_in(params: SpeakParams, most: int = 20) -> tuple[list[Name], str]:
    """The words that the voice guesses at, the most frequent first, and a sentence on them.

    For hibari these are words in no dictionary, for other engines those of them that have a capital
    or a foreign letter; without those that `replacements` and `lexicon` say. Loads no model; linear
    in the text. Raises `InputError` for files that cannot be read.
    """
    from chatter_nb.engines.hibari_text import Reader

    choice = pick_engine(params.engine, may_fetch=False)
    saying = sayings_of(params, choice.entry).main
    if base_of(saying.language) != "en":
        cure = "put the names that you know into a lexicon yourself"
        return [], f"language {shown(saying.language)} has no list of words here: {cure}"
    times, first = Counter[str](), dict[str, str]()
    is_hibari = choice.name == "hibari"
    for source in read_texts(params):
        text = cleaned(chosen_part(source, params), params, saying.language)
        spans = speakers_in(text, of_a_part(params), saying.language).spans
        rest = _blanked(text, (span[:2] for span in spans if span.kind == "mark"))
        for _, finder in saying.finders:
            rest = _blanked(rest, ((found.start, found.end) for found in finder.find(rest)))
        for word, number in unknown_of(rest).guessed.items():
            if is_hibari or word != word.lower() or not word.isascii():
                times[word] += number
        for match in WORD.finditer(rest):
            if match[0] in times and match[0] not in first:
                first[match[0]] = _sentence(text, match.start())
    says = Reader().phonemes if is_hibari else lambda word: ""
    names = [Name(word, n, first.get(word, ""), says(word)) for word, n in times.most_common(most)]
    rest = f", the {len(names)} most frequent here" if len(names) < len(times) else ""
    return names, f"the voice guesses at {count(len(times), 'word')}{rest}"


def _blanked(text: str, places: Iterable[tuple[int, int]]) -> str:
    """The text with spaces at places, which are in order."""
    return with_changes(text, [Change(a, b, " " * (b - a), "") for a, b in places])


def heard(params: SpeakParams, said: str, cancelled: Callable[[], bool] | None = None) -> Path:
    """The audio file of a word in the voice of `params`, two seconds: made once, and kept."""
    values = {name: getattr(params, name) for name in (*_VOICE, "checkpoint", *KNOBS)}
    voice = SpeakParams(**values | {"engine": pick_engine(params.engine).name, "text": said})
    sample, kept = sample_of(voice, _FRAME.format(said))
    return (kept or generate_tts(sample, cancelled=cancelled)).files[0]


def lexicon_of(params: SpeakParams) -> Path:
    """The file for new words: the first lexicon, else one beside the document or in the project."""
    if params.lexicon:
        return resolve_path(params.lexicon[0])
    beside = resolve_path(params.text_file).parent if params.text_file else project_root()
    return beside / "lexicon.yaml"


def enter(params: SpeakParams, said: Mapping[str, str]) -> tuple[SpeakParams, list[str]]:
    """The parameters with respellings by word in their lexicon; see `add_entries`."""
    path = lexicon_of(params)
    lexicon = params.lexicon or (shown_path(path),)
    return params.model_copy(update={"lexicon": lexicon}), add_entries(path, said)


def _sentence(text: str, at: int) -> str:
    """The sentence around a place."""
    start = max(text.rfind("\n\n", 0, at) + 1, at - _NEAR_CHARS)
    for part in sentences(text[start : at + _NEAR_CHARS].partition("\n\n")[0], "en"):
        start += len(part)
        if start > at:
            return shorten(" ".join(part.split()), _SHOWN_CHARS)
    return ""
