"""One walk over a tree of (X)HTML: its blocks in order, what is skipped, and where ids begin.

An inline element adds no space; a block element ends a paragraph. Nothing visible is lost: text is
in a block, or in what was skipped.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from lxml import etree

from chatter_nb.text.books.document import Block, Skipped, count_words
from chatter_nb.text.books.skips import kind_of
from chatter_nb.text.line import DIRECTION_END, DIRECTION_START, GOES_ON, without_breaks

_OPS, _SSML = "{http://www.idpf.org/2007/ops}", "{http://www.w3.org/2001/10/synthesis}"
_BLOCK_NAMES = (  # as HTML's rendering rules list them
    "address article aside blockquote body caption center dd details dialog dir div dl dt fieldset "
    "figcaption figure footer form h1 h2 h3 h4 h5 h6 header hgroup hr html legend li listing main "
    "menu nav ol optgroup option p pre search section summary table tbody tfoot thead tr ul"
)
_INVISIBLE_NAMES = (  # never rendered as text
    "head title script style template noscript noframes audio video canvas iframe datalist rp desc "
    "metadata meta link base select textarea meter progress annotation annotation-xml"
)
_BLOCKS, _INVISIBLE = frozenset(_BLOCK_NAMES.split()), frozenset(_INVISIBLE_NAMES.split())
_KINDS = {"li": "list item", "dt": "list item", "dd": "list item", "tr": "table row", "pre": "code"}
_HEADING = re.compile("h[1-6]")
_HIDDEN_STYLE = re.compile(r"(?:^|;)\s*display\s*:\s*none\b", re.IGNORECASE)
_SPACES = re.compile(r"[ \t\n\r\f]+")  # HTML's; a no-break space is a character
# A note's mark: a link inside the book that is only "12", "a" or "†"; without <sup>: "[12]" or "†".
_MARK = re.compile(r"[\[(]?(?:\d{1,4}|[a-z]|[ivxlc]{1,6}|[*†‡§¶‖]{1,4})[\])]?")
_PERSONA, _DIRECTION = "z3998:persona", "z3998:stage-direction"  # of plays
_BARE_MARK = re.compile(r"[*†‡§¶‖]{1,4}|\[(?:\d{1,4}|[*†‡§¶‖]{1,4})\]")


Owner = tuple[etree._Element, str]  # whose "text" or "tail" a text is


class _Around(NamedTuple):
    """What is known of the block that text belongs to."""

    kind: str
    level: int
    place: str
    is_pre: bool
    alphabet: str = ""  # of `ssml:ph`, which inner elements have too
    is_said: bool = False  # by an outer element's `ssml:ph`


@dataclass
class Walk:
    """The result of walks over documents, in their order.

    `ids` has the number of blocks before each element that has an id, by document and id. `owners`,
    if it is a list, gets those of each block's text; None in it is text of ours.
    """

    skip: Collection[str]
    headers: Collection[etree._Element] = ()  # elements to leave out under that name
    blocks: list[Block] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    ids: dict[tuple[str, str], int] = field(default_factory=dict)
    owners: list[list[Owner | None]] | None = None
    _document: str = ""
    _parts: list[str] = field(default_factory=list)  # of the block that is being read
    _owners: list[Owner | None] = field(default_factory=list)
    _around: _Around | None = None  # of its first part
    _phonemes: list[tuple[int, int, str, str]] = field(default_factory=list)
    _directions: list[tuple[int, int]] = field(default_factory=list)  # in the block, of a stage
    _in_persona: bool | None = None  # whether the last cell was one; None: the table had none yet
    _is_named: bool = False  # whether the block begins with a persona

    def run(self, root: etree._Element, document: str) -> None:
        self._document = document
        self._visit(root, _Around("paragraph", 0, "", False), "")
        self._flush()

    def _visit(self, node: etree._Element, around: _Around, path: str) -> None:
        name = tag_of(node)
        is_invisible = name in _INVISIBLE or _is_hidden(node, name)
        if kind := "invisible" if is_invisible else self._kind_to_skip(node, name):
            self._note_ids(node.iter("*"))
            if (words := count_words(text_of(node))) and not is_invisible:
                self.skipped.append(Skipped(kind, f"{self._document}#{path}", words))
            return
        self._note_ids([node])
        if name in _BLOCKS:
            self._flush()
            around = _inside(around, name, f"{self._document}#{path}")
        elif name == "br" and self._parts:
            self._parts.append("\n")
        elif name in ("td", "th") and self._parts:
            self._end_cell(around)
        types = attribute(node, _OPS, "epub", "type").split()
        if name in ("td", "th") and (self._in_persona is not None or _PERSONA in types):
            is_first = not self._parts and node.getnext() is not None
            self._in_persona = is_first and _PERSONA in types
        self._read(node, around, path, is_direction=_DIRECTION in types)
        if name in _BLOCKS:
            self._flush()
        if name == "table":
            self._in_persona = None

    def _read(
        self, node: etree._Element, around: _Around, path: str, *, is_direction: bool
    ) -> None:
        """Read an element's content, and note how it is said and where it is no speech."""
        alphabet = attribute(node, _SSML, "ssml", "alphabet") or around.alphabet
        ph = "" if around.is_said else attribute(node, _SSML, "ssml", "ph")
        around = around._replace(alphabet=alphabet, is_said=around.is_said or bool(ph))
        blocks = len(self.blocks)
        start = sum(map(len, self._parts)) if ph or is_direction else 0
        self._content(node, around, path)
        if ph and blocks == len(self.blocks):
            self._phonemes.append((start, sum(map(len, self._parts)), ph, alphabet))
        if is_direction and blocks == len(self.blocks):
            self._directions.append((start, sum(map(len, self._parts))))

    def _content(self, node: etree._Element, around: _Around, path: str) -> None:
        self._add(node.text, around, (node, "text"))
        number = 0
        for child in node:
            if isinstance(child.tag, str):
                number += 1
                self._visit(child, around, f"{path}/{number}")
            elif child.tag is etree.Entity:  # nothing defines it: read as browsers show it
                self._add(child.text, around)
            self._add(child.tail, around, (child, "tail"))

    def _add(self, text: str | None, around: _Around, owner: Owner | None = None) -> None:
        if not text:
            return
        text = without_breaks(text)
        if not around.is_pre:
            text = _SPACES.sub(" ", text)
            if self._parts and self._parts[-1].endswith((" ", "\n")):
                text = text.removeprefix(" ")
        if not self._parts:
            text = text.lstrip(" \t\n\r\f")
            self._around = around
        if text:
            self._parts.append(text)
            self._owners.append(owner)

    def _end_cell(self, around: _Around) -> None:
        """A comma after a table's cell, to hear where it ends, unless it has a mark of its own.

        After a play's persona it is a colon, which marks who speaks.
        """
        while self._in_persona and len(self._parts) > 1 and not self._parts[-1].strip():
            self._parts.pop()
        before = self._parts[-1].rstrip(" ")
        self._is_named = self._is_named or bool(self._in_persona)
        if before and before[-1] not in (":" if self._in_persona else ".,:;!?…\n"):
            self._parts[-1] = before
            self._add(": " if self._in_persona else ", ", around)
        elif before:
            self._parts[-1] = before + " "

    def _flush(self) -> None:
        if self._parts and self._around and self._in_persona and not self._is_named:
            self._end_cell(self._around)
        text = "".join(self._parts).rstrip()
        if text and self._around:
            kind, level, place = self._around[:3]
            is_speech = self._in_persona is not None and kind == "table row"
            opening = GOES_ON if is_speech and not self._is_named else ""
            bounded = opening + _bounded(text, self._directions)
            shift, text = len(bounded) - len(text), bounded
            kind = "verse" if kind == "paragraph" and "\n" in text else kind
            phonemes = tuple(
                (start + shift, end + shift, ph, alphabet)
                for start, end, ph, alphabet in self._phonemes
                if start < end <= len(text) - shift
            )
            self.blocks.append(Block(kind, text, place, level, phonemes))
            if self.owners is not None:
                self.owners.append(self._owners)
        self._parts, self._owners, self._phonemes, self._directions = [], [], [], []
        self._is_named = False

    def _kind_to_skip(self, node: etree._Element, name: str) -> str:
        if node in self.headers:
            kind = "headers"
        elif name in ("rt", "rtc"):
            kind = "ruby"
        else:
            types = attribute(node, _OPS, "epub", "type")
            kind = kind_of(types, node.get("role", ""), node.get("class", ""))
            if name == "a" and (kind == "notes" or (not kind and _is_note_mark(node))):
                kind = "note marks"
        return kind if kind in self.skip else ""

    def _note_ids(self, nodes: Iterable[etree._Element]) -> None:
        for node in nodes:
            for name in filter(None, (node.get("id"), node.get("name"))):
                self.ids.setdefault((self._document, name), len(self.blocks))


def tag_of(node: etree._Element) -> str:
    """An element's name without its namespace, in lower case; "" for a comment."""
    return str(node.tag).rpartition("}")[2].lower() if isinstance(node.tag, str) else ""


def attribute(node: etree._Element, namespace: str, prefix: str, name: str) -> str:
    """An attribute of XHTML, or of the same read as HTML, which has prefixes only."""
    return node.get(namespace + name) or node.get(f"{prefix}:{name}") or ""


def text_of(node: etree._Element) -> str:
    """All text in an element, in one line."""
    return without_breaks(" ".join("".join(node.itertext()).split()))


def _inside(around: _Around, name: str, place: str) -> _Around:
    is_pre = around.is_pre or name in ("pre", "listing")
    if _HEADING.fullmatch(name):
        return around._replace(kind="heading", level=int(name[1]), place=place, is_pre=is_pre)
    return around._replace(kind=_KINDS.get(name, around.kind), place=place, is_pre=is_pre)


def _bounded(text: str, directions: Iterable[tuple[int, int]]) -> str:
    """The text with bounds around its stage directions, if whitespace or an edge is there."""
    opening = ""
    for start, end in directions:
        start += len(text[start:end]) - len(text[start:end].lstrip())
        end = start + len(text[start:end].strip())
        if start < end and f" {text}"[start].isspace() and f"{text} "[end].isspace():
            opening = opening if start else DIRECTION_START
            before = text[: start - 1] + DIRECTION_START if start else ""
            after = DIRECTION_END + text[end + 1 :] if end < len(text) else ""
            text = before + text[start:end] + after
    return opening + text


def _is_hidden(node: etree._Element, name: str) -> bool:
    is_closed = name == "dialog" and node.get("open") is None
    is_replaced = name == "object" and node.get("data") is not None
    is_hidden = node.get("hidden") is not None or _HIDDEN_STYLE.search(node.get("style", ""))
    return bool(is_closed or is_replaced or is_hidden)


def _is_note_mark(link: etree._Element) -> bool:
    """Whether a link inside the book is a note's mark for certain: raised, or in brackets."""
    text = "".join(link.itertext()).strip()
    if not text or len(text) > 8 or "#" not in link.get("href", ""):
        return False
    around = link.getparent()
    is_raised = tag_of(link[0]) == "sup" if len(link) else False
    is_raised = is_raised or (around is not None and tag_of(around) == "sup")
    return bool((_MARK if is_raised else _BARE_MARK).fullmatch(text))
