"""How a run's texts are said by its engine: `replacements`, then `lexicon`, then `normalize`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from chatter_nb.base.errors import InputError, shorten
from chatter_nb.base.project import resolve_path
from chatter_nb.engines.registry import EngineEntry
from chatter_nb.params.runs import SpeakParams
from chatter_nb.text.chunking import composed
from chatter_nb.text.lexicon import Entry, read_lexicon
from chatter_nb.text.replacing import Finder, Rule, rule
from chatter_nb.text.spoken.say import LEXICON, choose_rules
from chatter_nb.text.spoken.saying import Saying

_LISTED = 6


def saying_of(
    params: SpeakParams, engine: EngineEntry, language: str = ""
) -> tuple[Saying, list[str]]:
    """How the engine says the texts of a run, and notes on entries that it cannot use.

    Raises `InputError` for lexicons that cannot be read, and for unknown rules.
    """
    language = language or params.language or engine.languages[0]
    rules, unused = list[Rule](), list[str]()
    for entry in (entry for file in params.lexicon for entry in read_lexicon(resolve_path(file))):
        if not entry.holds(engine.name, language):
            continue
        said = _said_by(engine, entry)
        if said is None:
            unused.append(entry.word)
        else:
            rules.append(entry.rule(said))
    own = [rule(composed(word), composed(said)) for word, said in params.replacements.items()]
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
