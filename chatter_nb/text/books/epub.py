"""EPUB 2 and 3 to books: container, package, contents (nav, else NCX, else headings), spine."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence, Set
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from lxml import etree

from chatter_nb.base.errors import InputError, listed
from chatter_nb.text.books.archive import Archive, resolve
from chatter_nb.text.books.document import (
    Book,
    Chapter,
    Skipped,
    count_words,
    divide,
    divide_at_headings,
)
from chatter_nb.text.books.html import parse_xhtml
from chatter_nb.text.books.walk import Walk, attribute, tag_of, text_of
from chatter_nb.text.lexicon import Entry, read_pls
from chatter_nb.text.parsers import STRICT

_OPS = "{http://www.idpf.org/2007/ops}"
_CONTAINER, _ENCRYPTION = "META-INF/container.xml", "META-INF/encryption.xml"
_FONT_SCRAMBLING = {"http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC"}
_NCX = "application/x-dtbncx+xml"
_FEWEST_ENTRIES = 3  # of a page that is a table of contents
_WORD = re.compile(r"\w+")


class _Entry(NamedTuple):
    """An entry of the contents, and where it leads: member and fragment."""

    title: str
    level: int
    target: tuple[str, str]


def read_epub(path: Path, skip: Collection[str]) -> Book:
    """The book in an EPUB. Raises `InputError` for what is damaged, encrypted, or no EPUB."""
    with Archive(path) as archive:
        return _Reader(archive, skip).book()


class Package:
    """The package of an EPUB, and its items by id. Raises `InputError` for an encrypted book."""

    def __init__(self, archive: Archive, parser: etree.XMLParser = STRICT) -> None:
        self._archive = archive
        is_there = _ENCRYPTION in archive.NameToInfo
        nodes = archive.xml(_ENCRYPTION).iter("{*}EncryptionMethod") if is_there else ()
        if not {node.get("Algorithm") for node in nodes} <= _FONT_SCRAMBLING:
            raise InputError(
                "it is encrypted (DRM), and cannot be read without its shop's reader: get an "
                "edition without copy protection"
            )
        files = [node.get("full-path") for node in archive.xml(_CONTAINER).iter("{*}rootfile")]
        self._opf = (files or [None])[0] or ""
        self._package = archive.xml(self._opf, parser)
        self._items: dict[str | None, tuple[str, str, etree._Element]] = {}
        for node in self._package.iter("{*}item"):
            member, _ = resolve(self._opf, node.get("href", ""))
            self._items[node.get("id")] = member, node.get("media-type", ""), node


class _Reader(Package):
    def __init__(self, archive: Archive, skip: Collection[str]) -> None:
        super().__init__(archive)
        self._skip, self._walk, self._notes = skip, Walk(skip), list[str]()
        self._lexicons: dict[str, str] = {}  # members that documents link, with their language

    def book(self) -> Book:
        entries = self._contents()
        self._read_spine({entry.target for entry in entries})
        names = ("title", "language", "date", "description")
        data = {name: next(map(text_of, self._package.iter(f"{{*}}{name}")), "") for name in names}
        by_heading = divide_at_headings(self._walk.blocks, data["title"])
        lexicon = tuple(self._lexicon())
        return Book(
            **data,
            author=", ".join(text_of(node) for node in self._package.iter("{*}creator")),
            cover=self._cover(),
            chapters=self._chapters(entries) or by_heading,
            skipped=tuple(self._walk.skipped),
            notes=tuple(self._notes),
            lexicon=lexicon,
        )

    def _contents(self) -> list[_Entry]:
        """The entries of nav, else of NCX, in their order, each once; none if there is no table."""
        items = self._items.values()
        tables = [name for name, _, node in items if "nav" in node.get("properties", "").split()]
        tables += [name for name, kind, _ in items if kind == _NCX]
        for member in tables:
            try:
                root, _ = parse_xhtml(self._archive.member(member))
            except InputError as error:
                self._notes.append(f"its contents cannot be read: {error}")
                continue
            if entries := list(dict.fromkeys(_entries(root, member))):
                return entries
        return []

    def _read_spine(self, targets: Set[tuple[str, str]]) -> None:
        missing, repaired = [], []
        for node in self._package.iter("{*}itemref"):
            idref = node.get("idref", "")
            member, media_type, _ = self._items.get(idref, (idref, "", None))
            if member not in self._archive.NameToInfo:
                missing.append(member)
                continue
            is_text = "html" in media_type or member.lower().endswith("html")
            if not is_text or (member, "") in self._walk.ids:  # some books list every heading
                continue
            root, was_repaired = parse_xhtml(self._archive.member(member))
            repaired += [member] if was_repaired else []
            self._lexicons |= dict(_lexicons(root, member))
            kind = "contents" if _is_contents(root, member, targets) else ""
            kind = "nonlinear" if node.get("linear") == "no" else kind
            self._walk.ids[member, ""] = len(self._walk.blocks)
            if kind and kind in self._skip:
                self._walk.skipped.append(Skipped(kind, member, count_words(text_of(root))))
            else:
                self._walk.run(root, member)
        self._note("in the reading order, but not in the file", missing)
        self._note("not well-formed, and read as HTML", repaired)
        if not self._walk.ids:
            raise InputError("it has no reading order: its package names no document that is there")

    def _chapters(self, entries: Sequence[_Entry]) -> tuple[Chapter, ...]:
        """A chapter for each entry, in the order of the text."""
        ids = self._walk.ids
        # As a Debian guide has it: the right name, a wrong folder.
        names = {PurePosixPath(name).name: name for name, fragment in reversed(ids) if not fragment}
        placed, lost, vague = [], [], []
        for entry in entries:
            member, fragment = entry.target
            member = member if (member, "") in ids else names.get(PurePosixPath(member).name, "")
            if not member:
                lost.append(entry.title)
                continue
            vague += [entry.title] if (member, fragment) not in ids else []
            placed.append((ids.get((member, fragment), ids[member, ""]), entry, member))
        self._note("the contents name what is not in the reading order", lost)
        self._note("no such place, so their documents' beginnings", vague)
        placed.sort(key=lambda place: place[0])
        starts = [(start, entry.title, entry.level) for start, entry, _ in placed]
        chapters = list(divide(self._walk.blocks, starts)) if placed else []
        first = len(chapters) - len(placed)
        spoken = {block.place.partition("#")[0] for block in self._walk.blocks}
        for number, (_, _, member) in enumerate(placed, first):
            if member not in spoken:
                parts = (p for p in self._walk.skipped if p.place.partition("#")[0] == member)
                largest = max(parts, key=lambda part: part.words, default=Skipped("", "", 0))
                chapters[number] = replace(chapters[number], skipped=largest.kind)
        return tuple(chapters)

    def _lexicon(self) -> Iterator[Entry]:
        """The entries of the linked lexicons whose words begin as a word of the book does."""
        words = {w.lower() for block in self._walk.blocks for w in _WORD.findall(block.text)}
        for member, language in self._lexicons.items():
            try:
                entries = read_pls(self._archive.member(member), f"lexicon {member}", language)
                yield from (e for e in entries if _WORD.findall(e.word)[0].lower() in words)
            except InputError as error:
                self._notes.append(f"its words are read as without it: {error}")

    def _cover(self) -> tuple[bytes, str] | None:
        metas = self._package.iter("{*}meta")
        named = [meta.get("content") for meta in metas if meta.get("name") == "cover"]
        for id_, (member, kind, node) in self._items.items():
            is_cover = "cover-image" in node.get("properties", "").split() or id_ in named
            if is_cover and kind.startswith("image/") and member in self._archive.NameToInfo:
                return self._archive.member(member), kind
        return None

    def _note(self, what: str, names: Sequence[str]) -> None:
        if names:
            self._notes.append(f"{what}: {listed(names, 5)}")


def _entries(root: etree._Element, member: str) -> Iterator[_Entry]:
    """Each item's title, and its link; without one (a part's name), the first link inside it."""
    for table in root.iter("*"):
        is_nav = tag_of(table) == "nav" and "toc" in attribute(table, _OPS, "epub", "type").split()
        item, link, href = ("li", "a", "href") if is_nav else ("navpoint", "content", "src")
        for node in table.iter("*") if is_nav or tag_of(table) == "navmap" else ():
            if tag_of(node) == item:
                level = 1 + sum(tag_of(outer) == item for outer in node.iterancestors())
                title = next((t for n in node if tag_of(n) != "ol" and (t := text_of(n))), "")
                targets = (n.get(href) for n in node.iter("*") if tag_of(n) == link and n.get(href))
                if (target := resolve(member, next(targets, "http:")))[0]:
                    yield _Entry(title, level, target)


def _lexicons(root: etree._Element, member: str) -> Iterator[tuple[str, str]]:
    """The lexicons that a document links, each with the language it is said to be in."""
    for link in root.iter("*"):
        is_one = tag_of(link) == "link" and "pronunciation" in link.get("rel", "").lower().split()
        if is_one and (target := resolve(member, link.get("href", ""))[0]):
            yield target, link.get("hreflang", "")


def _is_contents(root: etree._Element, member: str, targets: Set[tuple[str, str]]) -> bool:
    """Whether a document is a table of contents: it leads to half of its targets, and is links."""
    links = [node for node in root.iter("*") if tag_of(node) == "a" and node.get("href")]
    leads_to = {resolve(member, link.get("href")) for link in links} & targets
    if len(leads_to) < max(_FEWEST_ENTRIES, len(targets) / 2):
        return False
    return 3 * sum(count_words(text_of(a)) for a in links) >= 2 * count_words(text_of(root))
