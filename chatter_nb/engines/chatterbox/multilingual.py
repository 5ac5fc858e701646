"""Text for the multilingual model: upstream's tokenizer, without a network and with notes.

Upstream's constructor asks the hub for Cangjie and lets pkuseg download its model, for any
language. Here Cangjie comes from the checkpoint's folder, and pkuseg loads with the first Chinese.
"""

from __future__ import annotations

import json
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from chatterbox.models.tokenizers import tokenizer as upstream
from tokenizers import Tokenizer
from torch import Tensor

from chatter_nb.base.errors import InputError, UnavailableError
from chatter_nb.engines.chatterbox.loading import readable

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
    packages = [package for _, package, _ in _HELPERS.values()] + ["spacy-pkuseg"]
    here = []
    for package in packages:
        with suppress(PackageNotFoundError):
            here.append(f"+{package}{version(package)}")
    return "".join(here)


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
