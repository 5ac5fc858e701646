"""How the texts of a run are said: its own words first, then its lexicon's, then the rules."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from chatter_nb.text.replacing import Finder, said_for
from chatter_nb.text.spoken.say import Change, Spoken, say


@dataclass(frozen=True)
class Saying:
    """What is said for texts of a `language`. `finders` have names, and come in their order.

    Each acts once on what those before it left, and never on what it put in. `sounds` returns what
    is said for a word by the sounds and the alphabet that a book gives.
    """

    language: str
    rules: Collection[str] = ()
    finders: Sequence[tuple[str, Finder]] = ()
    sounds: Mapping[tuple[str, str], Callable[[str], str]] = field(default_factory=dict)

    def say(self, text: str) -> Spoken:
        """What is said for a text, with every change. Linear in its length."""
        changes: list[Change] = []
        for name, finder in self.finders:
            found = [Change(f.start, f.end, said_for(f), name) for f in finder.find(text)]
            changes = sorted([*changes, *apart(found, changes)], key=lambda change: change.start)
        parts, all_changes, left, at = list[str](), list[Change](), 0, 0
        for change in [*changes, Change(len(text), len(text), "", "")]:
            rest = say(text[at : change.start], self.language, self.rules)
            left += rest.left
            parts += [rest.text, change.said]
            all_changes += [replace(c, start=c.start + at, end=c.end + at) for c in rest.changes]
            all_changes += [change] if change.rule else []
            at = change.end
        return Spoken("".join(parts), tuple(all_changes), left)


def apart(found: Iterable[Change], others: Sequence[Change]) -> Iterator[Change]:
    """The changes that share no character with one of the others, which are in order."""
    at = 0
    for change in found:
        while at < len(others) and others[at].end <= change.start:
            at += 1
        if at == len(others) or change.end <= others[at].start:
            yield change
