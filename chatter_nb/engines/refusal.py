"""The error about letters and words that a voice cannot say, with the cure.

The cure is a `replacements:` block, ready to be put among the parameters. An error shows a bounded
number of letters and words, and counts the rest.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence, Set

from chatter_nb.base.errors import InputError, shorten

_LETTERS_SHOWN = 40
_WORDS_SHOWN = 20
_WORD_CHARS = 100  # longer ones are shortened, and not in the block
_LATIN = re.compile(r"LATIN (?:SMALL|CAPITAL) LETTER (AE|[A-Z])(?: WITH STROKE)?")
_LONG_NUMBER = re.compile(r"\d(?:,?\d){19,}")


class Unspeakable(InputError):
    """Text that an engine would leave out or fail at; `problems` says it in sentences.

    `letters` are as written, or as the engine reads them: lower case, NFKD. `words` are whole;
    `replaced` are those that a `replacements:` block must hold.
    """

    problems: Sequence[str]
    letters: Set[str]
    words: Set[str]
    replaced: Counter[str]

    def pattern(self, text: str) -> re.Pattern[str]:
        """What finds in `text` the letters, with the marks on them, and the words."""
        chars = set(text)
        lost = re.escape("".join(c for c in chars if not self.letters.isdisjoint(_parts(c))))
        marks = re.escape("".join(c for c in chars if unicodedata.category(c)[0] == "M"))
        words = "|".join(re.escape(w) for w in sorted(self.words, key=len)[::-1] if w in text)
        run = rf"(?:[{lost}][{marks}\u0300]*)+" if lost else "(?!)"
        return re.compile(rf"(?<![^\W_])(?:{words or '(?!)'})(?![^\W_])|{run}")


def unspeakable(
    problems: Sequence[str], text: str, letters: Set[str], words: Counter[str]
) -> Unspeakable:
    """The error about letters and words of `text`, with a `replacements:` block."""
    replaced = words_with(letters, text) + words
    error = Unspeakable("\n".join(filter(None, [*problems, replacements_block(replaced)])))
    error.problems, error.letters, error.words = problems, frozenset(letters), frozenset(words)
    error.replaced = replaced
    return error


def counted(items: Counter[str], shown: int = _LETTERS_SHOWN) -> str:
    """The items, the most frequent first, as text: "你 (2 times), 好 and 3 more"."""
    parts = [
        shorten(item, 60) + (f" ({times:,} times)" if times > 1 else "")
        for item, times in items.most_common(shown)
    ]
    return ", ".join(parts) + _more(len(items) - shown)


def words_with(letters: Set[str], text: str) -> Counter[str]:
    """The words of `text` that hold one of `letters`, also after lower-casing and NFKD."""
    if not letters:
        return Counter()
    words = Counter(map(bare, text.split()))
    return Counter({word: n for word, n in words.items() if not letters.isdisjoint(_parts(word))})


def bare(word: str) -> str:
    """A word without the punctuation around it, as `replacements` looks for it in a text."""
    start, end = 0, len(word)
    while start < end and not _of_word(word[start]):
        start += 1
    while end > start and not _of_word(word[end - 1]):
        end -= 1
    return word[start:end]


def replacements_block(words: Counter[str]) -> str:
    """YAML that replaces the words, with a proposal where there is an obvious replacement."""
    fitting = [(word, n) for word, n in words.most_common() if 0 < len(word) <= _WORD_CHARS]
    if not fitting:
        return ""
    lines = ["replacements:  # put what is to be said between the second quotes"]
    lines += [
        f"  {_quoted(word)}: {_quoted(_proposal(word))}" + (f"  # {n:,} times" if n > 1 else "")
        for word, n in fitting[:_WORDS_SHOWN]
    ]
    more = _more(len(words) - len(fitting[:_WORDS_SHOWN]))
    return "\n".join([*lines, *([f"  #{more}"] if more else [])])


def _proposal(word: str) -> str:
    """Separate digits, a letter's name, or ordinary letters for their variants; else empty."""
    if _LONG_NUMBER.search(word):
        return _LONG_NUMBER.sub(lambda number: " ".join(number[0].replace(",", "")), word)
    if len(word) == 1 and "LETTER " in (name := unicodedata.name(word, "")):
        called = name.rpartition("LETTER ")[2].lower()
        return called if called.isalpha() and not name.startswith("LATIN") else _ordinary(word)
    return _ordinary(word)


def _ordinary(word: str) -> str:
    digits = "".join(str(unicodedata.digit(char, char)) for char in word)
    plain = "".join(map(_base, unicodedata.normalize("NFKC", digits)))
    latin = all("LATIN" in unicodedata.name(char, "") for char in plain if char.isalpha())
    return plain if plain != word and latin else ""


def _base(char: str) -> str:
    """A Latin letter without its stroke, which is no accent to Unicode: Ł, L."""
    named = _LATIN.fullmatch(unicodedata.name(char, ""))
    return (named[1] if char.isupper() else named[1].lower()) if named else char


def _parts(word: str) -> set[str]:
    return {*word, *unicodedata.normalize("NFKD", word.lower())}


def _of_word(char: str) -> bool:
    return char.isalnum() or unicodedata.category(char)[0] == "M"


def _quoted(word: str) -> str:
    return json.dumps(word, ensure_ascii=False)


def _more(count: int) -> str:
    return f" and {count:,} more" if count > 0 else ""
