"""Pairs of words as people write them: `a = b` or `a: b`, one a line; also JSON and YAML."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from chatter_nb.base.errors import ParamError
from chatter_nb.base.project import parse_yaml

_SIGN = re.compile(r"=|:(?=\s|$)")
CURE = 'write a pair a line, such as Siobhan = Shivawn, or all in braces: {"name": "value"}'


def read_pairs(text: str) -> dict[str, Any] | None:
    """Return the pairs in a text; None if it is not written as pairs.

    A line is `a = b` or `a: b`; several pairs on a line stand in braces, as in JSON and in YAML.
    """
    if not text.strip():
        return {}
    if text.lstrip().startswith("{"):
        return _in_braces(text)
    pairs = [_pair(line) for line in text.splitlines() if line.strip()]
    return dict(pair for pair in pairs if pair) if all(pairs) else None


def pairs_text(pairs: Mapping[str, Any]) -> str:
    """Return pairs as lines that `read_pairs` reads; as JSON where a line would not do."""
    text = "\n".join(f"{name} = {value}" for name, value in pairs.items())
    return text if read_pairs(text) == dict(pairs) else json.dumps(pairs, ensure_ascii=False)


def _in_braces(text: str) -> dict[str, Any] | None:
    try:
        pairs: Any = json.loads(text)
    except (ValueError, RecursionError):
        try:
            pairs = parse_yaml(text, where="the pairs")
        except ParamError:
            return None
    return pairs if isinstance(pairs, dict) else None


def _pair(line: str) -> tuple[str, str] | None:
    sign = _SIGN.search(line)
    name = line[: sign.start()].strip() if sign else ""
    return (_unquoted(name), _unquoted(line[sign.end() :].strip())) if sign and name else None


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text
