"""Turns Markdown into plain text, as a reader would say it."""

from __future__ import annotations

import re
from collections.abc import Callable, Set

from markdown_it import MarkdownIt
from markdown_it.token import Token

from chatter_nb.base.errors import InputError
from chatter_nb.text.line import CHAPTER_BREAK

_MAX_NESTING = 100  # levels; a list takes two, a quotation one
_NESTED = ("list_item_open", "blockquote_open")
_VOID = frozenset({"br", "img", "wbr"})  # HTML elements that have no closing tag
# Settings, a "name: value" first, then only such lines, their continuations, lists and comments.
_FRONT_MATTER = re.compile(
    r"\A---[ \t]*\n[\w-]+:.*\n(?:(?:[\w-]+:|[ \t]+\S|- |#).*\n|[ \t]*\n)*?---[ \t]*\n"
)
_TABLE_RULE = re.compile(
    r"^[ \t]*(?:\|[ \t]*)?(?::?-{3,}:?[ \t]*\|[ \t]*)+(?::?-{3,}:?[ \t]*)?$", re.MULTILINE
)
_TABLE_ROW = re.compile(r"^[ \t]*\|(.+)\|[ \t]*$", re.MULTILINE)
# "[name]: http://…" names a link's target; "[note]: something" and footnotes "[^1]: …" are text.
_NOT_A_TARGET = re.compile(
    r"^ {0,3}\[(?=\^|[^\]\n]+\]:(?!\s*(?:[a-z][a-z0-9+.-]*://|mailto:|www\.|[/#<.])))",
    re.MULTILINE | re.IGNORECASE,
)
# A tag, not "a <b and c> d": attributes have values.
_ELEMENT = re.compile(r"</?([a-zA-Z][a-zA-Z0-9]*)(?:\s+[\w:-]+\s*=[^<>]*|\s*/?)>")
_TAG = re.compile(rf"<!--.*?-->|{_ELEMENT.pattern}", re.DOTALL)


def markdown_to_text(markdown: str) -> str:
    """A Markdown text as a reader would say it: no markup, no link targets, no word lost.

    Headings of the first two levels begin a chapter; numbers of lists and footnotes stay; a table's
    row is a paragraph; front matter (settings between two lines of dashes at the top) is left out.
    """
    source = _FRONT_MATTER.sub("", markdown.replace("\r\n", "\n").replace("\r", "\n"))
    source = _TABLE_ROW.sub(_row_text, _TABLE_RULE.sub("", source))
    blocks: list[str] = []
    number = ""
    parser = MarkdownIt("commonmark", {"maxNesting": _MAX_NESTING})
    for token in parser.parse(_NOT_A_TARGET.sub(r"\\[", source)):
        if token.type in _NESTED and token.level >= _MAX_NESTING - 1:
            raise InputError(  # the parser passes over what stands deeper
                f"Markdown's lists and quotations are more than {_MAX_NESTING // 2 - 1} deep: "
                "take out some of the levels, or save it as .txt"
            )
        if token.type == "heading_open" and token.tag in ("h1", "h2") and blocks:
            blocks.append(CHAPTER_BREAK)
        elif token.type == "list_item_open" and token.info:
            number += f"{token.info}{token.markup} "
        elif token.type in _SPOKEN_BLOCKS:
            blocks.append(number + _SPOKEN_BLOCKS[token.type](token))
            number = ""
        elif token.type == "list_item_close" and number:  # an item that is only its number
            blocks.append(number.strip())
            number = ""
    return "\n\n".join(blocks)


def _row_text(row: re.Match[str]) -> str:
    return "\n" + ", ".join(cell.strip() for cell in row[1].split("|")) + "\n"


def _inline_text(token: Token) -> str:
    children = token.children or []
    tags = [_TAG.fullmatch(child.content) for child in children if child.type == "html_inline"]
    closed = {tag[1].lower() for tag in tags if tag and tag[0].startswith("</")}
    opened = {tag[1].lower() for tag in tags if tag and tag[1] and not tag[0].startswith("</")}
    return "".join(_child_text(child, markup=(closed & opened) | _VOID) for child in children)


def _child_text(child: Token, *, markup: Set[str]) -> str:
    if child.type in ("softbreak", "hardbreak"):
        return "\n"
    if child.type == "html_inline":  # <br> is a break, <b>…</b> markup, <String> what is written
        tag = _TAG.fullmatch(child.content)
        if tag is None or (tag[1] and tag[1].lower() not in markup):
            return child.content
        return "\n" if (tag[1] or "").lower() == "br" else ""
    return child.content


def _html_text(token: Token) -> str:
    """The text without tags and comments. A comment that is not closed is text."""
    head, arrow, rest = token.content.rpartition("-->")
    return _TAG.sub(" ", head + arrow) + _ELEMENT.sub(" ", rest)


def _fence_text(token: Token) -> str:
    """The code, and before it an opening line of several words: prose, not a language's name."""
    words = token.info.strip()
    return f"{words}\n{token.content}" if " " in words and "=" not in words else token.content


_SPOKEN_BLOCKS: dict[str, Callable[[Token], str]] = {
    "inline": _inline_text,
    "fence": _fence_text,
    "code_block": lambda token: token.content,
    "html_block": _html_text,
}
