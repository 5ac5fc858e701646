"""What of texts is said in other words than it is written: counts by rule, with examples."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from chatter_nb.base.errors import InputError, shorten
from chatter_nb.base.wording import count
from chatter_nb.engines.models import pick_engine
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.saying import saying_of
from chatter_nb.runs.speak_texts import chosen_part, split_text
from chatter_nb.text.chunking import Chunk, plain
from chatter_nb.text.files import TextSource
from chatter_nb.text.sentences import base_of
from chatter_nb.text.spoken.words import POINTS

_EXAMPLES, _EXAMPLE_CHARS = 2, 48
_LINES = 7  # of rules, under a heading
_WITH_EXAMPLE, _IN_NOTE = 3, 6  # rules, in the one line of a plan


@dataclass(frozen=True)
class InWords:
    """How many places each rule has put in words, and examples; the rule with most is first.

    `left` counts the numbers that stay as they are written, as no rule knows them in `language`.
    """

    language: str
    counts: dict[str, int]
    examples: dict[str, list[str]]
    left: int = 0

    def lines(self) -> list[str]:
        """A heading and a line for each rule: 8 lines at most; and one on what is left."""
        if not self.counts:
            return self.about_left()
        most = _LINES if len(self.counts) <= _LINES else _LINES - 1
        lines = [f"{name} {n:,}: {'; '.join(self.examples[name])}" for name, n in self._first(most)]
        lines = [f"  {line}" for line in [*lines, *self._others(most)]]
        return [f"put in words, {count(self.total, 'place')}:", *lines, *self.about_left()]

    def note(self) -> str:
        """All of it in a line; empty if nothing is put in words."""
        parts = [
            f"{name} {n:,}" + (f" ({self.examples[name][0]})" if at < _WITH_EXAMPLE else "")
            for at, (name, n) in enumerate(self._first(_IN_NOTE))
        ]
        return f"put in words: {', '.join([*parts, *self._others(_IN_NOTE)])}" if parts else ""

    def about_left(self) -> list[str]:
        """A sentence on the numbers that stay as they are written, if there are any."""
        if not self.left:
            return []
        code, numbers = f"'{base_of(self.language)}'", count(self.left, "number")
        knows = "only plain numbers" if base_of(self.language) in POINTS else "nothing"
        return [f"left as written: {numbers}; normalize knows {knows} in {code}"]

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def _first(self, most: int) -> list[tuple[str, int]]:
        return list(self.counts.items())[:most]

    def _others(self, most: int) -> list[str]:
        others = list(self.counts.values())[most:]
        return [f"{count(len(others), 'other rule')}, {sum(others):,}"] if others else []


def in_words(chunks: Iterable[Chunk], language: str) -> InWords:
    """What is put in words of chunks of a language."""
    counts, examples, left = Counter[str](), defaultdict[str, list[str]](list), 0
    for chunk in chunks:
        left += chunk.left
        written = plain(chunk.text) if chunk.changes else ""
        for change in chunk.changes:
            counts[change.rule] += 1
            own = examples[change.rule]
            parts = (written[change.start : change.end], change.said.strip())
            example = " → ".join(shorten(part, _EXAMPLE_CHARS) for part in parts)
            if len(own) < _EXAMPLES and example not in own:
                own.append(example)
    return InWords(language, dict(counts.most_common()), dict(examples), left)


def in_words_of(source: TextSource, params: SpeakParams) -> list[str]:
    """What a run would put in words of a document's chosen chapters, in lines; loads no voice.

    What keeps the run from it, such as a lexicon that cannot be read, is told in their place.
    """
    engine = pick_engine(params.engine, may_fetch=False).entry
    try:
        saying, notes = saying_of(params, engine)
        chunks = split_text(chosen_part(source, params), params, saying)[1]
    except InputError as error:
        return [str(error)]
    return [*notes, *in_words(chunks, saying.language).lines()]
