"""How a run's texts are said by its engine: `replacements`, then `lexicon`, then `normalize`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial

from chatter_nb.base.errors import InputError, shorten
from chatter_nb.base.project import resolve_path
from chatter_nb.base.wording import count
from chatter_nb.engines.registry import EngineEntry
from chatter_nb.params.runs import SpeakParams
from chatter_nb.text.books.document import Book
from chatter_nb.text.chunking import composed
from chatter_nb.text.lexicon import Entry, read_lexicon, sounds
from chatter_nb.text.replacing import Finder, rule
from chatter_nb.text.spoken.say import BOOK, LEXICON, choose_rules
from chatter_nb.text.spoken.saying import REPLACEMENTS, Saying

_LISTED = 6


def saying_of(
    params: SpeakParams, engine: EngineEntry, language: str = "", books: Iterable[Book] = ()
) -> tuple[Saying, list[str]]:
    """How the engine says the texts of a run, and notes on what it cannot use.

    What the `books` say of their words comes after the run's own. Raises `InputError` for lexicons
    that cannot be read, and for unknown rules.
    """
    language = language or params.language or engine.languages[0]
    files = (entry for file in params.lexicon for entry in read_lexicon(resolve_path(file)))
    own = {e: _said_by(engine, e) for e in files if e.holds(engine.name, language)}
    books = list(books)
    of_books = {e: _tried(engine, e) for b in books for e in b.lexicon if e.holds("", language)}
    given = Counter(how[2:] for b in books for _, block in b.blocks for how in block.phonemes)
    marks = {how: _sounds(engine, *how) for how in given}
    replacements = (rule(*map(composed, pair)) for pair in params.replacements.items())
    finders = [
        (REPLACEMENTS, Finder(replacements)),
        (LEXICON, Finder(entry.rule(said) for entry, said in own.items() if said)),
        (BOOK, Finder(entry.rule(said) for entry, said in of_books.items() if said)),
    ]
    chosen = choose_rules(params.normalize, engine.name)
    known = {how: said for how, said in marks.items() if said}
    notes = _notes(engine, [entry.word for entry, said in own.items() if not said])
    left = sum(n for how, n in given.items() if how not in known)
    left += sum(not said for said in of_books.values())
    if left:
        why = "are of no alphabet and language that it knows"
        why = why if engine.takes_phonemes else "it takes none"
        told = f"{count(left, 'word')} whose sounds the book gives"
        notes.append(f"{told} are said by {engine.name} as written: {why}")
    return Saying(language, chosen, finders, known), notes


def _said_by(engine: EngineEntry, entry: Entry) -> str | Callable[[str], str] | None:
    """What the engine is given for an entry's word; None if it cannot use the entry."""
    if not engine.takes_phonemes:
        return entry.say or None
    if not (entry.ipa or entry.arpabet):
        return entry.say
    try:
        return partial(_mark(entry.ipa, entry.arpabet), entry.word)
    except InputError as error:
        raise InputError(f"lexicon: {entry.word}: {error}") from None


def _mark(ipa: str = "", arpabet: str = "") -> Callable[..., str]:
    """What makes of a word and its ending the mark of these phonemes. Raises `InputError`."""
    from chatter_nb.engines.hibari_phonemes import mark, of_arpabet, of_ipa

    phonemes = of_ipa(ipa) if ipa else of_arpabet(arpabet)
    return lambda word, ending="": mark(word, phonemes, ending)


def _tried(engine: EngineEntry, entry: Entry) -> str | Callable[[str], str] | None:
    """As `_said_by`, of an entry that its user has not written: unknown sounds are left."""
    try:
        return _said_by(engine, entry)
    except InputError:
        return entry.say or None


def _sounds(engine: EngineEntry, said: str, alphabet: str) -> Callable[[str], str] | None:
    """What makes of a word the mark of its sounds; None if the engine cannot use them."""
    ways = sounds(said, alphabet)
    try:
        return _mark(**ways) if ways and engine.takes_phonemes else None
    except InputError:
        return None


def _notes(engine: EngineEntry, unused: list[str]) -> list[str]:
    if not unused:
        return []
    more = f" and {len(unused) - _LISTED} more" if len(unused) > _LISTED else ""
    listed = ", ".join(shorten(word, 30) for word in unused[:_LISTED])
    return [
        f"lexicon: {engine.name} takes no phonemes, so that it reads {listed}{more} as written: "
        "give these words a `say` too"
    ]
