"""Which characters a tokenizer knows. Upstream drops the others without a message."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import Any

from chatter_nb.base.errors import InputError
from chatter_nb.engines.refusal import counted, with_block, words_with

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
        """Raise `InputError` for letters and digits that it lacks; return notes on the rest.

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
            raise InputError(with_block([problem], words_with({*lost}, original)))
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
