"""How hibari would read a text, checked before any audio is made: what it leaves out or fails at.

hibari passes in silence over letters that it does not know, over words that its tagger takes for
punctuation, and over the end of a word that is in no dictionary. A user must know of each loss.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from hibari import Hibari
from hibari.g2p import FALLBACK_PIECE, G2P, Context
from hibari.g2p.normalize import normalize

from chatter_nb.base.budget import ask
from chatter_nb.base.errors import ChatterError, shorten
from chatter_nb.engines.refusal import bare, counted, unspeakable

# A symbol that is said in this many places is taken to be said in the rest of a long text.
CONTEXTS_A_SYMBOL = 400
_WORDS_SHOWN = 12
# Currency, mathematical and other symbols (emoji among them): meant to be said, unlike marks.
_SYMBOLS = ("Sc", "Sm", "So")
_MICRO = "\u00b5\u03bc"  # the sign and the letter: "5 µm"
_POWER = re.compile(r"(?<!\w)\w*\d[⁰¹²³⁴-⁹]+")
_APOSTROPHES = str.maketrans("\u02bc\u02bb\u02b9\u2032", "''''")
# hibari loses no word in plain letters, up to its longest word, and fails at none. Sentences of
# plain words, most of a book, need not be read.
_PLAIN_WORD = r"[A-Za-z]{1,24}(?![A-Za-z])"
_PLAIN = re.compile(rf"(?:{_PLAIN_WORD}|[\s,.;:!?()\"“”'’‘—–-])*+")
_EMOJI = re.compile(".\ufe0f")  # a letter shown as a picture: ℹ️, Ⓜ️
_RATED_AS_GUESS = 2  # hibari's rating of a word that is in no dictionary


@dataclass
class _Losses:
    """Words that hibari does not say as they are written, with their number of occurrences."""

    unreadable: Counter[str] = field(default_factory=Counter)  # hibari fails at them
    silent: Counter[str] = field(default_factory=Counter)  # they have no sound
    passed_over: Counter[str] = field(default_factory=Counter)  # silent, with their context
    shortened: Counter[str] = field(default_factory=Counter)  # they lose letters

    def notes(self) -> Iterator[str]:
        if self.passed_over:
            shown = counted(self.passed_over, _WORDS_SHOWN)
            yield f"hibari passes over a word or number in {shown}: to hear it, use replacements"
        if self.shortened:
            shown = counted(self.shortened, _WORDS_SHOWN)
            yield f"hibari leaves letters out of {shown}: to hear them, use replacements"


class Reader:
    """Reads texts as hibari does with this `g2p`, and reports what is lost; needs no model."""

    def __init__(self, g2p: G2P | None = None) -> None:
        self._g2p = g2p or G2P()
        self._sounds = lru_cache(CONTEXTS_A_SYMBOL)(self._sounds_of)

    def check(self, text: str) -> list[str]:
        """Returns notes on text that is not said as it is written.

        Raises `Unspeakable` for text that is not said at all: it names every letter and word, and
        has a `replacements:` block. Each line of `text` is read by itself.
        """
        text = plain(text)
        letters = self._foreign_letters(text)
        losses = self._read_sentences(text, letters)
        problems = []
        if letters:
            problems.append(
                f"engine 'hibari' would leave out or spell {counted(letters)}: it speaks English. "
                "Replace them (replacements) or choose engine: chatterbox-multilingual"
            )
        if losses.unreadable:
            problems.append(
                f"engine 'hibari' cannot read {counted(losses.unreadable, _WORDS_SHOWN)}: write "
                "its digits as 0 to 9, at most 36 in a number, or other words (replacements)"
            )
        if losses.silent:
            problems.append(
                f"engine 'hibari' would leave out {counted(losses.silent, _WORDS_SHOWN)}: it "
                "knows no sound for it. Write it in English letters (replacements)"
            )
        if problems:
            raise unspeakable(problems, text, letters.keys(), losses.unreadable + losses.silent)
        return [*self._notes(text.split(), text), *losses.notes()]

    def guessed(self, words: Counter[str]) -> Counter[str]:
        """The words that are in no dictionary of hibari's, with their numbers: it guesses them."""
        word_of, context = self._g2p.lexicon.get_word, Context()
        known = {word for word in words if word_of(plain(word), "NN", None, context)[0]}
        unknown = {word: times for word, times in words.items() if word not in known}
        return Counter({w: n for w, n in unknown.items() if w.isalpha() or self._is_guess(w)})

    def phonemes(self, word: str) -> str:
        """How hibari would say a word, in its phonemes (misaki's, near to IPA)."""
        ask("how hibari reads it")
        return str(self._g2p(plain(word)))

    def _is_guess(self, word: str) -> bool:
        """Whether a part of a word is guessed: "don't" and "Anna's" are no words of the list."""
        tokens = self._g2p.phonemize_tokens(self._g2p.tokenize(plain(word)))
        return any(token.rating == _RATED_AS_GUESS for token in tokens)

    def _foreign_letters(self, text: str) -> Counter[str]:
        """Letters and digits of other scripts, which hibari passes over or spells: 你, Ж."""
        chars = Counter(text)
        foreign = {c: n for c, n in chars.items() if c.isalnum() and not c.isascii()}
        return Counter({c: n for c, n in foreign.items() if not self._says_letter(c)})

    def _says_letter(self, char: str) -> bool:
        if char in _MICRO or unicodedata.category(char) == "Lm":  # ˈ ː ʰ: marks, not letters
            return True
        latin = "LATIN" in unicodedata.name(unicodedata.normalize("NFKC", char)[0], "")
        return latin or (char.isnumeric() and bool(self._sounds(char)))

    def _read_sentences(self, text: str, letters: Counter[str]) -> _Losses:
        """What is lost, apart from `letters`, without which it is read, and without their marks."""
        losses = _Losses()
        marks = {c for c in set(text) if unicodedata.category(c)[0] == "M"} if letters else set()
        said = text.translate(dict.fromkeys(map(ord, {*letters, *marks})))
        for line, times in Counter(said.split("\n")).items():
            for sentence in Hibari.split_sentences(line):
                if _PLAIN.fullmatch(sentence):
                    continue
                try:
                    tokens = self._tokens(sentence)
                except ChatterError:
                    raise
                except Exception:  # IndexError, KeyError, ValueError: it depends on the word
                    for word in self._failing_words(sentence):
                        losses.unreadable[word] += times
                    continue
                for token in tokens:
                    self._look_at(token, sentence, times, losses)
        return losses

    def _look_at(self, token: Any, sentence: str, times: int, losses: _Losses) -> None:
        if self._loses_letters(token):
            losses.shortened[_word_of(token.text, sentence)] += times
        elif _is_silent(token) and token.text.isascii():  # it was taken for punctuation
            losses.passed_over[_around(token.text, sentence)] += times
        elif _is_silent(token):
            losses.silent[_word_of(token.text, sentence)] += times

    def _tokens(self, sentence: str) -> list[Any]:
        ask("how hibari reads it")
        g2p = self._g2p
        tokens: list[Any] = g2p.phonemize_tokens(g2p.tokenize(normalize(sentence)))
        return tokens

    def _failing_words(self, sentence: str) -> list[str]:
        """Words that fail alone, and words that fail beside their neighbours."""
        words = ["", *sentence.split(), ""]
        odd = [at for at, word in enumerate(words) if not _PLAIN.fullmatch(word)]
        failing = {at for at in odd if self._sounds(words[at]) is None}
        for at in odd:
            beside = failing.isdisjoint((at - 1, at, at + 1))
            if beside and self._sounds(" ".join(words[at - 1 : at + 2])) is None:
                failing.add(at)
        return [bare(words[at]) for at in sorted(failing)] or [shorten(sentence, 60)]

    def _loses_letters(self, token: Any) -> bool:
        """Whether hibari guesses the sound of a token from only some of its letters."""
        if token.rating != _RATED_AS_GUESS or _is_silent(token):
            return False
        known, longest = self._g2p.oov.cin, self._g2p.oov.maxlen
        pieces = [piece for piece in FALLBACK_PIECE.findall(token.text) if piece[0].isalpha()]
        letters = [[c for c in piece if c.isalpha()] for piece in pieces]
        return any(
            len(word) > longest
            or any(c not in known and unicodedata.category(c) != "Lm" for c in word)
            for word in letters
        )

    def _notes(self, words: list[str], text: str) -> Iterator[str]:
        if unsaid := self._unsaid_symbols(words):
            yield f"hibari passes over {' '.join(sorted(unsaid))}: to hear them, use replacements"
        if power := _POWER.search(text):
            yield f"hibari reads the power in {power[0]!r} as digits: use replacements"

    def _unsaid_symbols(self, words: list[str]) -> set[str]:
        """Symbols that make no difference to the sound of the words around them, in some place."""
        unsaid: set[str] = set()
        tried: Counter[str] = Counter()
        for before, word, after in zip(["", *words], words, [*words[1:], ""], strict=False):
            symbols = {c for c in word if c in _MICRO or unicodedata.category(c) in _SYMBOLS}
            context = f"{before} {word} {after}"
            for char in symbols - unsaid:
                tried[char] += 1
                without = f"{before} {word.replace(char, ' ')} {after}"
                if tried[char] < CONTEXTS_A_SYMBOL and (
                    self._sounds(context) == self._sounds(without)
                ):
                    unsaid.add(char)
        return unsaid

    def _sounds_of(self, text: str) -> tuple[str, ...] | None:
        """Phonemes without marks and stresses; None if hibari fails."""
        ask("how hibari reads it")
        try:
            parts = list(map(self._g2p, Hibari.split_sentences(text)))
        except Exception:
            return None
        return tuple(char for part in parts for char in part if char.isalpha())


def plain(text: str) -> str:
    """Text in the characters that hibari knows: plain apostrophes, Roman numerals as letters."""
    return "".join(
        unicodedata.normalize("NFKC", char) if unicodedata.category(char) == "Nl" else char
        for char in text.translate(_APOSTROPHES)
    )


def _is_silent(token: Any) -> bool:
    """Whether a token has a letter or digit, but no sound."""
    has_letters = any(map(str.isalnum, _EMOJI.sub("", token.text)))
    return has_letters and not any(map(str.isalpha, token.phonemes or ""))


def _word_of(part: str, sentence: str) -> str:
    """The word of a sentence that holds `part`; `part` itself if hibari spelled it otherwise."""
    words = [bare(word) for word in sentence.split() if part in word]
    return part if part in words or not words else words[0]


def _around(part: str, sentence: str) -> str:
    at = max(0, sentence.find(part))
    return repr(sentence[max(0, at - 15) : at + len(part) + 15])
