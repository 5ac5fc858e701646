"""Where the package's source lists words, by which tests hold that a fact stands in one place."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import chatter_nb

PACKAGE = Path(chatter_nb.__file__).parent


def modules_that_list(words, *, at_least: int, keys: bool = True) -> set[str]:
    """The modules with a list, tuple, set, `Literal` or, with `keys`, dict of so many words."""
    return {
        name
        for name, is_dict, texts in _listings()
        if len(texts & set(words)) >= at_least and (keys or not is_dict)
    }


@cache
def _listings() -> list[tuple[str, bool, frozenset[str]]]:
    """For each list in the package: its module, whether it is a dict, and the texts in it."""
    return [
        (path.relative_to(PACKAGE).as_posix(), isinstance(node, ast.Dict), frozenset(texts))
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if len(texts := set(_texts(node))) > 1
    ]


def _texts(node: ast.AST) -> Iterator[str]:
    parts = node.keys if isinstance(node, ast.Dict) else getattr(node, "elts", ())
    return (part.value for part in parts if _is_text(part))


def _is_text(part: ast.AST | None) -> bool:
    return isinstance(part, ast.Constant) and isinstance(part.value, str)
