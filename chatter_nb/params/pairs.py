"""Pairs of words as people write them: `Siobhan: Shivawn` or `Siobhan = Shivawn`; JSON and YAML.

Every parameter that is a mapping is read here, so that its spelling is the same on every surface.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from chatter_nb.base.errors import ParamError, shown
from chatter_nb.base.project import parse_yaml

CURE = "write a pair a line, such as Siobhan = Shivawn or Siobhan: Shivawn"

# A word or what is said for it, whole in quotes or braces: it begins and ends where such a part
# can. No quote that may begin a part lies inside another, so that the search is linear.
_QUOTED = re.compile(
    r"""(?m)((?:^|[,:=])[ \t]*)"""
    r"""("(?:[^"\\\n]|\\.)*"|'(?:(?!')(?:[^'\n]|'')+)?'|\{[^{}\n]*\})(?=[ \t]*(?:$|[,:=]))"""
)
_SIGN = re.compile(r"(?:^|(?<=\s))=(?=\s|$)|:(?=\s|$)")
_BARE = re.compile(r"=")  # divides where there is no other sign
_COMMA = re.compile(r",(?=[^,]*(?:=|:(?:\s|$)))")  # another pair may begin after it
_BRACES = re.compile(r"(\{[^{}\n]*\})[ \t]*,?")
_PLAIN = re.compile(r"""(?!\s|["'{])[^,:=\r\n]+(?<!\s)""")  # needs no quotes


def as_pairs(value: Any) -> Any:
    """The pairs in a text; other values unchanged. Raises `ValueError` as `read_pairs` does."""
    return read_pairs(value) if isinstance(value, str) else value


def as_numbers(value: Any) -> Any:
    """As `as_pairs`, with the whole numbers in a text read as such."""
    pairs = as_pairs(value)
    if not isinstance(value, str):
        return pairs
    return {k: int(v) if re.fullmatch(r"\d{1,9}", str(v)) else v for k, v in pairs.items()}


def read_pairs(text: str) -> dict[str, Any]:
    """The pairs in a text, one a line; or all in braces, as JSON and YAML have them.

    On a line, a comma ends a pair if another sign follows. Of a pair the first `: ` or ` = ` is the
    sign; quotes protect, and what is said may be a mapping in braces. Raises `ValueError` for a
    pair without a sign, and for a word that is given twice.
    """
    if text.lstrip().startswith("{"):
        return _in_braces(text)
    return unique(map(_pair, _entries(text)))


def pairs_text(pairs: Mapping[str, Any]) -> str:
    """Pairs as lines that `read_pairs` reads, in quotes where they need them."""
    return "\n".join(f"{_written(word)} = {_written(said)}" for word, said in pairs.items())


def _entries(text: str) -> Iterator[tuple[str, str]]:
    """Each pair as it is written, and with its quoted parts masked: they hold no sign, no comma."""
    masked = _QUOTED.sub(lambda part: part[1] + "_" * len(part[2]), text)
    for line in re.finditer(r"[^\r\n]+", masked):
        start, end = line.span()
        for comma in _COMMA.finditer(masked, start, end):
            if _sign(masked[start : comma.start()]):
                yield text[start : comma.start()], masked[start : comma.start()]
                start = comma.end()
        if masked[start:end].strip():
            yield text[start:end], masked[start:end]


def _pair(entry: tuple[str, str]) -> tuple[str, Any]:
    text, masked = entry
    sign = _sign(masked)
    if sign is None:
        raise ValueError(f"{shown(text.strip())} has no : or = between two words; {CURE}")
    said = text[sign.end() :].strip()
    braces = _BRACES.fullmatch(said)
    word = _unquoted(text[: sign.start()].strip())
    return word, _in_braces(braces[1]) if braces else _unquoted(said)


def _sign(masked: str) -> re.Match[str] | None:
    return _SIGN.search(masked) or _BARE.search(masked)


def _in_braces(text: str) -> dict[str, Any]:
    try:
        pairs: Any = json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError):
        try:
            pairs = parse_yaml(text, where="the text in braces")
        except ParamError as error:
            raise ValueError(f"{CURE}; {error}") from None
    return dict(pairs)


def unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Pairs as a mapping. Raises `ValueError` for a word that is given twice."""
    found: dict[str, Any] = {}
    for word, said in pairs:
        if word in found:
            raise ValueError(f"{shown(word)} is given twice: keep one")
        found[word] = said
    return found


def _unquoted(text: str) -> str:
    """A part of a pair without its quotes; a comma after them belongs to no part."""
    bare = text.removesuffix(",").rstrip()
    if not bare or bare[0] == "{" or not _QUOTED.fullmatch(bare):
        return text
    if bare[0] == "'":
        return bare[1:-1].replace("''", "'")
    try:
        return str(json.loads(bare, strict=False))
    except ValueError:  # an escape that JSON does not know
        return bare[1:-1]


def _written(part: Any) -> str:
    values = part.model_dump(mode="json") if isinstance(part, BaseModel) else part
    if isinstance(values, Mapping):
        given = {name: value for name, value in values.items() if value not in (None, "", [])}
        if given.keys() != {"voice"}:
            return json.dumps(given, ensure_ascii=False)
        values = given["voice"]
    text = str(values)
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)
