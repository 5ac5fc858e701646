"""How a run's texts are said by its engine: `replacements`, then `lexicon`, then `normalize`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from chatter_nb.base.errors import InputError, listed, shown
from chatter_nb.base.project import resolve_path
from chatter_nb.base.speakers import NARRATOR
from chatter_nb.base.wording import count
from chatter_nb.engines.registry import TTS_ENGINES, EngineEntry
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.roles import params_of
from chatter_nb.text.books.document import Book
from chatter_nb.text.chunking import Chunk, composed, plain
from chatter_nb.text.lexicon import Entry, read_lexicon, sounds_in
from chatter_nb.text.replacing import Finder, rule
from chatter_nb.text.spoken.say import BOOK, LEXICON, REPLACEMENTS, choose_rules, divided
from chatter_nb.text.spoken.saying import Saying


@dataclass(frozen=True)
class Sayings:
    """How the texts of a run are said: by those speakers who have a language of their own, and by
    all others. `notes` are on what the engine cannot use.
    """

    main: Saying
    own: Mapping[str, Saying] = field(default_factory=dict)
    notes: Sequence[str] = ()

    @property
    def language(self) -> str:
        """The language of the text."""
        return self.main.language

    def said(self, parts: Sequence[Chunk]) -> list[Chunk]:
        """Parts of a sentence, with what their speaker says for their texts."""
        saying = self.own.get(parts[0].speaker, self.main)
        texts = [plain(part.text) for part in parts]
        pairs = zip(parts, divided(saying.say("".join(texts)), texts), strict=True)
        return [replace(part, language=saying.language).as_said(spoken) for part, spoken in pairs]


def sayings_of(params: SpeakParams, engine: EngineEntry, books: Sequence[Book] = ()) -> Sayings:
    """How the engine says the texts of a run.

    What the `books` say of their words comes after the run's own. Raises `InputError` for lexicons
    that cannot be read, and for unknown rules.
    """
    files = [entry for file in params.lexicon for entry in read_lexicon(resolve_path(file))]
    for entry in files:
        if entry.engine and entry.engine not in TTS_ENGINES:
            wrong = f"engine {shown(entry.engine)} is none of {', '.join(TTS_ENGINES)}"
            raise InputError(f"lexicon: {entry.word}: {wrong}")
    language = params.language or engine.languages[0]
    spoken = {who: params_of(params, who)[0].language for who in (NARRATOR, *params.cast)}
    known = {own for own in spoken.values() if own in engine.languages}
    by_language = {
        each: _saying(params, engine, each, files, books) for each in (language, *sorted(known))
    }
    own = {who: by_language[own][0] for who, own in spoken.items() if own in known - {language}}
    notes = dict.fromkeys(note for _, notes in by_language.values() for note in notes)
    return Sayings(by_language[language][0], own, tuple(notes))


def _saying(
    params: SpeakParams,
    engine: EngineEntry,
    language: str,
    files: Sequence[Entry],
    books: Sequence[Book],
) -> tuple[Saying, list[str]]:
    """How the engine says texts of a language, and notes on what it cannot use."""
    replacements = (rule(*map(composed, pair)) for pair in params.replacements.items())
    finders, notes = [(REPLACEMENTS, Finder(replacements))], list[str]()
    of_books = (entry for book in books for entry in book.lexicon)
    unused = dict[str, list[str]]()
    for name, entries in ((LEXICON, files), (BOOK, of_books)):
        held = [entry for entry in entries if entry.holds(engine.name, language)]
        said = [(entry, _said_by(engine, entry, is_own=name == LEXICON)) for entry in held]
        finders.append((name, Finder(entry.rule(how) for entry, how in said if how)))
        unused[name] = [entry.word for entry, how in said if not how]
    given = [place[2:] for book in books for _, block in book.blocks for place in block.phonemes]
    marks = {how: _sounds(engine, *how) for how in set(given)}
    sounds = {how: mark for how, mark in marks.items() if mark}
    if words := unused[LEXICON]:
        notes.append(
            f"lexicon: {engine.name} takes no phonemes, so that it reads {listed(words)} as "
            "written: give these words a `say` too"
        )
    if left := sum(how not in sounds for how in given) + len(unused[BOOK]):
        why = "it knows them in IPA or X-SAMPA, of English" * engine.takes_phonemes
        told = f"{count(left, 'word')} whose sounds the book gives"
        notes.append(f"{told} are said by {engine.name} as written: {why or 'it takes none'}")
    chosen = choose_rules(params.normalize, engine.name)
    return Saying(language, chosen, finders, sounds), notes


def _said_by(
    engine: EngineEntry, entry: Entry, *, is_own: bool
) -> str | Callable[[str], str] | None:
    """What the engine is given for an entry's word; None if it cannot use the entry."""
    if not engine.takes_phonemes or not (entry.ipa or entry.arpabet):
        return entry.say or None
    try:
        return partial(_mark(entry.ipa, entry.arpabet), entry.word)
    except InputError as error:
        if is_own:
            raise InputError(f"lexicon: {entry.word}: {error}") from None
        return entry.say or None


def _mark(ipa: str = "", arpabet: str = "") -> Callable[..., str]:
    """What makes of a word and its ending the mark of these phonemes. Raises `InputError`."""
    from chatter_nb.engines.hibari_phonemes import mark, of_arpabet, of_ipa

    phonemes = of_ipa(ipa) if ipa else of_arpabet(arpabet)
    return lambda word, ending="": mark(word, phonemes, ending)


def _sounds(engine: EngineEntry, said: str, alphabet: str) -> Callable[[str], str] | None:
    """What makes of a word the mark of its sounds; None if the engine cannot use them."""
    ways = sounds_in(said, alphabet)
    try:
        return _mark(**ways) if ways and engine.takes_phonemes else None
    except InputError:
        return None
