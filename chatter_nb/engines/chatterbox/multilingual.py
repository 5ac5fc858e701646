"""Text for the multilingual model: upstream's tokenizer, without a network and with notes.

Upstream's constructor asks the hub for Cangjie and lets pkuseg download its model, for any
language. Here Cangjie comes from the checkpoint's folder, and pkuseg loads with the first Chinese.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from chatterbox.models.tokenizers import tokenizer as upstream
from tokenizers import Tokenizer
from torch import Tensor

from chatter_nb.base.errors import InputError, UnavailableError
from chatter_nb.base.version import installed_version
from chatter_nb.engines.chatterbox.loading import readable
from chatter_nb.engines.refusal import counted, unspeakable

# Upstream goes on without these, with a line in a log.
_HELPERS = {
    "ja": ("pykakasi", "pykakasi", "kanji cannot be read"),
    "he": ("dicta_onnx", "dicta-onnx", "vowels are guessed"),
    "ru": ("russian_text_stresser", "russian-text-stresser", "stress is guessed"),
}


def helper_notes(language: str) -> list[str]:
    """A note on the package that a language's text lacks here, with the command to install it."""
    if language not in _HELPERS:
        return []
    module, package, without = _HELPERS[language]
    if find_spec(module):
        return []
    return [f"{language}: without {package} {without}; pip install {package}"]


def helper_versions() -> str:
    """The installed helpers with versions: they change how a text is read."""
    packages = [*(package for _, package, _ in _HELPERS.values()), "spacy-pkuseg"]
    here = {package: installed_version(package) for package in packages}
    return "".join(f"+{package}{version}" for package, version in here.items() if version)


class GraphemeTokenizer(upstream.MTLTokenizer):
    """Upstream's tokenizer in two steps: `normalised`, then `tokens_of`."""

    def __init__(self, path: Path) -> None:
        self.tokenizer = Tokenizer.from_file(str(path))
        self.cangjie_converter = _Cangjie(path.parent / "Cangjie5_TC.json")
        self.check_vocabset_sot_eot()

    def normalised(self, text: str, language: str) -> str:
        """The text in lower case, NFKD and the language's reading: kana, jamo, Cangjie codes."""
        text = self.preprocess_text(text, language_id=language)
        reading = {
            "zh": self.cangjie_converter,
            "ja": upstream.hiragana_normalize,
            "he": upstream.add_hebrew_diacritics,
            "ko": upstream.korean_normalize,
            "ru": upstream.add_russian_stress,
        }.get(language)
        return reading(text) if reading else text

    def tokens_of(self, normalised: str, language: str) -> Tensor:
        """Text tokens, shape (1, n), the language's tag first."""
        tagged = f"[{language}]{normalised}".replace(" ", upstream.SPACE)
        return torch.IntTensor(self.tokenizer.encode(tagged).ids).unsqueeze(0)


class _Cangjie(upstream.ChineseCangjieConverter):
    def __init__(self, path: Path) -> None:
        self._path = path
        self.word2cj: dict[str, str] = {}
        self.cj2word: dict[str, list[str]] = {}
        self.segmenter: Any = None

    def __call__(self, text: str) -> str:
        if self.segmenter is None:
            self._read_codes()
            self.segmenter = _segmenter()
        return super().__call__(text)

    def _read_codes(self) -> None:
        if not self._path.is_file():
            raise InputError(f"Chinese needs {self._path}, which the checkpoint lacks: fetch it")
        with readable(self._path):
            for entry in json.loads(self._path.read_text(encoding="utf-8")):
                glyph, code = entry.split("\t")[:2]
                self.word2cj[glyph] = code
                self.cj2word.setdefault(code, []).append(glyph)


def _segmenter() -> Any:
    try:
        from spacy_pkuseg import pkuseg
    except ImportError:
        raise UnavailableError("Chinese needs a word segmenter: pip install spacy-pkuseg") from None
    try:
        return pkuseg()
    except Exception as error:  # it may download its model, and raises what its client does
        raise UnavailableError(
            f"spacy-pkuseg could not load its model ({error}): it is downloaded once, on first use"
        ) from error


_UNKNOWN = "[UNK]"
# One character, or a token that is spelled in brackets, such as Cangjie's [cj_a].
_PIECE = re.compile(r"\[[^\[\]\s]{1,12}\]|.", re.DOTALL)


class Alphabet:
    """The characters of a `tokenizers.Tokenizer` that maps all others to `[UNK]`."""

    def __init__(self, tokenizer: Any) -> None:
        unknown = tokenizer.token_to_id(_UNKNOWN)

        @cache
        def knows(piece: str) -> bool:
            if len(piece) > 1:
                return tokenizer.token_to_id(piece) is not None
            return piece.isspace() or unknown not in tokenizer.encode(piece).ids

        self._knows = knows

    def known(self, text: str) -> str:
        """The text; letters that the tokenizer lacks lose their accents, if that helps: é, e."""
        return "".join(self._in_place_of(char) for char in self._pieces(text))

    def check(self, text: str, *, who: str, original: str) -> list[str]:
        """Raise `Unspeakable` for letters and digits that it lacks; return notes on the rest.

        `text` is what the tokenizer gets for the `original`; the error names words of the original.
        """
        pieces = Counter(self._pieces(text))
        missing = sorted(char for char in pieces if not self._knows(char))
        lost = [c for c in missing if c.isalnum() and not self._knows_all(self._in_place_of(c))]
        if lost:
            letters = counted(Counter({char: pieces[char] for char in lost}))
            problem = (
                f"engine '{who}' has no token for {letters}: it would leave them out. Replace them "
                "(replacements), or choose the engine and language of the text "
                "(chatterbox-multilingual, language)"
            )
            raise unspeakable([problem], original, {*lost}, Counter())
        bare = [c for c in missing if c.isalnum()]
        silent = [c for c in missing if not c.isalnum()]
        notes = []
        if bare:
            notes.append(f"{who} reads {' '.join(bare)} without their accents")
        if silent:
            notes.append(f"{who} passes over {' '.join(silent)}: to hear them, use replacements")
        return notes

    def _pieces(self, text: str) -> Iterator[str]:
        for piece in _PIECE.findall(text):
            yield from [piece] if self._knows(piece) else piece

    def _in_place_of(self, char: str) -> str:
        if self._knows(char):
            return char
        plain = "".join(
            c for c in unicodedata.normalize("NFKD", char) if not unicodedata.combining(c)
        )
        return plain if plain and self._knows_all(plain) else char

    def _knows_all(self, text: str) -> bool:
        return all(map(self._knows, text))
