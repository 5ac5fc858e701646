"""How a run's texts are said by its engine: `replacements`, then `lexicon`, then `normalize`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from chatter_nb.base.errors import InputError, shorten
from chatter_nb.base.project import resolve_path
from chatter_nb.engines.registry import EngineEntry
from chatter_nb.params.runs import SpeakParams
from chatter_nb.text.chunking import Chunk, plain
from chatter_nb.text.lexicon import Entry, read_lexicon
from chatter_nb.text.replacing import Finder, Rule, rule
from chatter_nb.text.spoken.say import LEXICON, choose_rules
from chatter_nb.text.spoken.saying import Saying

_LISTED = 6


@dataclass(frozen=True)
class Sayings:
    """How the texts of a run are said: by those speakers who have a language of their own, and by
    all others. `notes` are on entries that the engine cannot use.
    """

    main: Saying
    own: Mapping[str, Saying] = field(default_factory=dict)
    notes: Sequence[str] = ()

    @property
    def language(self) -> str:
        """The language of the text."""
        return self.main.language

    def said(self, chunk: Chunk) -> Chunk:
        """The chunk with what its speaker says for its text, in the speaker's language."""
        saying = self.own.get(chunk.speaker, self.main)
        return replace(chunk, language=saying.language).as_said(saying.say(plain(chunk.text)))


def sayings_of(params: SpeakParams, engine: EngineEntry) -> Sayings:
    """How the engine says the texts of a run.

    Raises `InputError` for lexicons that cannot be read, and for unknown rules.
    """
    own, notes = dict[str, Saying](), list[str]()
    language = params.language or engine.languages[0]
    main, on_main = _saying(params, engine, language)
    for speaker, member in params.cast.items():
        if member.language not in (None, language):
            own[speaker], on_own = _saying(params, engine, member.language or "")
            notes += on_own
    return Sayings(main, own, tuple(dict.fromkeys([*on_main, *notes])))


def _saying(params: SpeakParams, engine: EngineEntry, language: str) -> tuple[Saying, list[str]]:
    rules, unused = list[Rule](), list[str]()
    for entry in (entry for file in params.lexicon for entry in read_lexicon(resolve_path(file))):
        if not entry.holds(engine.name, language):
            continue
        said = _said_by(engine, entry)
        if said is None:
            unused.append(entry.word)
        else:
            rules.append(entry.rule(said))
    own = (rule(word, said) for word, said in params.replacements.items())
    finders = [("replacements", Finder(own)), (LEXICON, Finder(rules))]
    chosen = choose_rules(params.normalize, engine.name)
    return Saying(language, chosen, finders), _notes(engine, unused)


def _said_by(engine: EngineEntry, entry: Entry) -> str | Callable[[str], str] | None:
    """What the engine is given for an entry's word; None if it cannot use the entry."""
    if not engine.takes_phonemes:
        return entry.say or None
    if not (entry.ipa or entry.arpabet):
        return entry.say
    from chatter_nb.engines.hibari_phonemes import mark, of_arpabet, of_ipa

    try:
        phonemes = of_ipa(entry.ipa) if entry.ipa else of_arpabet(entry.arpabet)
    except InputError as error:
        raise InputError(f"lexicon: {entry.word}: {error}") from None
    return partial(mark, entry.word, phonemes)


def _notes(engine: EngineEntry, unused: list[str]) -> list[str]:
    if not unused:
        return []
    more = f" and {len(unused) - _LISTED} more" if len(unused) > _LISTED else ""
    listed = ", ".join(shorten(word, 30) for word in unused[:_LISTED])
    return [
        f"lexicon: {engine.name} takes no phonemes, so that it reads {listed}{more} as written: "
        "give these words a `say` too"
    ]
