"""EPUB 2 and 3 to books: container, package, contents (nav, else NCX, else headings), spine."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from lxml import etree

from chatter_nb.base.errors import InputError, shorten
from chatter_nb.text.books.archive import Archive, resolve
from chatter_nb.text.books.document import (
    Block,
    Book,
    Chapter,
    Cover,
    Place,
    Skipped,
    count_words,
    divide,
    divide_at_headings,
)
from chatter_nb.text.books.html import parse_xhtml
from chatter_nb.text.books.walk import Walk, attribute, tag_of, text_of

_OPS = "{http://www.idpf.org/2007/ops}"
_CONTAINER = "META-INF/container.xml"
_XHTML = ("application/xhtml+xml", "text/html", "application/x-dtbook+xml", "text/x-oeb1-document")
_LEXICON = "application/pls+xml"
_FEWEST_ENTRIES = 3  # of a page that is a table of contents
_LISTED = 5  # names in a note


@dataclass(frozen=True)
class _Item:
    """A line of the manifest: a member of the archive."""

    member: str
    media_type: str
    properties: tuple[str, ...]


@dataclass(frozen=True)
class _Entry:
    """An entry of the contents, and where it leads."""

    title: str
    level: int
    member: str
    fragment: str


@dataclass(frozen=True)
class _Package:
    """What the package document (OPF) says."""

    root: etree._Element
    items: dict[str, _Item]
    spine: tuple[tuple[_Item, bool], ...]  # with whether it is in the reading order
    notes: tuple[str, ...]

    def member(self, *, properties: str = "", id_: str | None = None) -> str:
        """The member with a property, or of an id; "" without one."""
        item = self.items.get(id_ or "")
        having = (item.member for item in self.items.values() if properties in item.properties)
        return next(having, "") if properties else item.member if item else ""

    def metadata(self, name: str) -> list[str]:
        return [text for node in self.root.iter(f"{{*}}{name}") if (text := text_of(node))]


def read_epub(path: Path, skip: Collection[str]) -> Book:
    """The book in an EPUB. Raises `InputError` for what is damaged, encrypted, or no EPUB."""
    with Archive(path) as archive:
        archive.check_encryption()
        package = _package(archive)
        notes = list(package.notes)
        entries = _contents(archive, package, notes)
        walks = _walk_all(archive, package, skip, entries, notes)
        cover = _cover(archive, package)
    blocks = [block for walk in walks for block in walk.blocks]
    titles = package.metadata("title") or [""]
    language = (package.metadata("language") or [""])[0]
    book = Book(
        title=titles[0],
        author=", ".join(package.metadata("creator")),
        language=language,
        date=(package.metadata("date") or [""])[0],
        description=(package.metadata("description") or [""])[0],
        cover=cover,
        chapters=divide_at_headings(blocks, titles[0]),
        skipped=tuple(skip for walk in walks for skip in walk.skipped),
        lexicons=tuple(i.member for i in package.items.values() if i.media_type == _LEXICON),
    )
    if entries:
        book = replace(book, chapters=_chapters(blocks, walks, entries, notes))
    return replace(book, notes=tuple(notes))


def _package(archive: Archive) -> _Package:
    if _CONTAINER not in archive:
        raise InputError(f"it is no EPUB: {_CONTAINER} is missing")
    files = [node.get("full-path") for node in archive.xml(_CONTAINER).iter("{*}rootfile")]
    opf = next(filter(None, files), None)
    if not opf:
        raise InputError(f"it is no EPUB: {_CONTAINER} names no package")
    root = archive.xml(resolve("", opf)[0])
    items = {}
    for node in root.iter("{*}item"):
        member, _ = resolve(opf, node.get("href", ""))
        properties = tuple(node.get("properties", "").split())
        items[node.get("id", "")] = _Item(member, node.get("media-type", ""), properties)
    missing: list[str] = []
    spine: dict[str, tuple[_Item, bool]] = {}  # each document once: some list every heading of it
    for node in root.iter("{*}itemref"):
        item = items.get(node.get("idref", ""))
        if item is None or item.member not in archive:
            missing.append(item.member if item else node.get("idref", ""))
        elif item.media_type in _XHTML or item.member.lower().endswith((".xhtml", ".html", ".htm")):
            spine.setdefault(item.member, (item, node.get("linear") != "no"))
    if not spine:
        raise InputError("it has no reading order: its package names no document that is there")
    notes = [f"in the reading order, but not in the file: {_listed(missing)}"] if missing else []
    return _Package(root, items, tuple(spine.values()), tuple(notes))


def _contents(archive: Archive, package: _Package, notes: list[str]) -> list[_Entry]:
    """The entries of the contents, in their order, each once; none if there is no table."""
    nav = package.member(properties="nav")
    spine = next(package.root.iter("{*}spine"), None)
    ncx = package.member(id_=None if spine is None else spine.get("toc"))
    by_type = (
        i.member for i in package.items.values() if i.media_type == "application/x-dtbncx+xml"
    )
    ncx = ncx or next(by_type, "")
    for member, entries_of in ((nav, _nav_entries), (ncx, _ncx_entries)):
        if member:
            try:
                root, _ = parse_xhtml(archive.read(member))
            except InputError as error:
                notes.append(f"its contents cannot be read: {error}")
                continue
            if entries := list(dict.fromkeys(entries_of(root, member))):
                return [_found(entry, package) for entry in entries]
    return []


def _found(entry: _Entry, package: _Package) -> _Entry:
    """The entry; if its document is not there, it leads to the one of the same name elsewhere."""
    members = [item.member for item, _ in package.spine]
    if entry.member in members:
        return entry
    name = PurePosixPath(entry.member).name
    same = [m for m in members if PurePosixPath(m).name == name]
    return replace(entry, member=same[0]) if same else entry


def _nav_entries(root: etree._Element, member: str) -> Iterator[_Entry]:
    for nav in root.iter("*"):
        if tag_of(nav) == "nav" and "toc" in attribute(nav, _OPS, "epub", "type").split():
            for item in nav.iter("*"):
                if tag_of(item) == "li":
                    level = sum(tag_of(around) == "li" for around in item.iterancestors()) + 1
                    yield from _entry_of(item, level, member, "a", "href", ("a", "span"))


def _ncx_entries(root: etree._Element, member: str) -> Iterator[_Entry]:
    for point in root.iter("*"):
        if tag_of(point) == "navpoint":
            level = sum(tag_of(around) == "navpoint" for around in point.iterancestors()) + 1
            yield from _entry_of(point, level, member, "content", "src", ("navlabel",))


def _entry_of(
    item: etree._Element, level: int, member: str, link: str, where: str, labels: Sequence[str]
) -> Iterator[_Entry]:
    """The entry of an item: its own link, else (a part's name) the first one inside it."""
    links = (node.get(where, "") for node in item.iter("*") if tag_of(node) == link)
    target = resolve(member, next(links, ""))
    title = next((text_of(node) for node in item if tag_of(node) in labels), "")
    if target[0]:
        yield _Entry(title, level, *target)


def _walk_all(
    archive: Archive,
    package: _Package,
    skip: Collection[str],
    entries: Sequence[_Entry],
    notes: list[str],
) -> list[Walk]:
    """The walks over the documents of the spine, in order."""
    wanted: dict[str, set[str]] = {}
    for entry in entries:
        wanted.setdefault(entry.member, set()).add(entry.fragment)
    targets = {(entry.member, entry.fragment) for entry in entries}
    walks, repaired = [], []
    for item, is_linear in package.spine:
        root, was_repaired = parse_xhtml(archive.read(item.member))
        repaired += [item.member] if was_repaired else []
        whole = "" if is_linear else "nonlinear"
        if _is_contents(root, item.member, targets):
            whole = "contents"
        walk = Walk(item.member, skip, wanted.get(item.member, set()))
        if whole in skip:
            text = text_of(_body(root))
            walk.skipped += [Skipped(whole, Place(item.member), count_words(text), text[:40])]
        else:
            walk.run(root)
        walks.append(walk)
    if repaired:
        notes.append(f"not well-formed, and read as HTML: {_listed(repaired)}")
    return walks


def _chapters(
    blocks: Sequence[Block], walks: Sequence[Walk], entries: Sequence[_Entry], notes: list[str]
) -> tuple[Chapter, ...]:
    """A chapter for each entry, in the order of the text."""
    firsts: dict[str, int] = {}
    walk_of: dict[str, Walk] = {}
    total = 0
    for walk in walks:
        firsts.setdefault(walk.document, total)
        walk_of.setdefault(walk.document, walk)
        total += len(walk.blocks)
    placed = [
        (firsts[entry.member] + walk_of[entry.member].ids.get(entry.fragment, 0), entry)
        for entry in entries
        if entry.member in walk_of
    ]
    placed.sort(key=lambda pair: pair[0])
    if lost := [entry.title for entry in entries if entry.member not in walk_of]:
        notes.append(f"the contents name what is not in the reading order: {_listed(lost)}")
    vague = [e.title for _, e in placed if e.fragment and e.fragment not in walk_of[e.member].ids]
    if vague:
        notes.append(f"no such place, so their documents' beginnings: {_listed(vague)}")
    chapters = divide(blocks, [(start, entry.title, entry.level) for start, entry in placed])
    kinds = [""] * (len(chapters) - len(placed)) + [
        max(walk_of[e.member].skipped, key=lambda s: s.words, default=Skipped("", Place(), 0)).kind
        for _, e in placed
    ]
    return tuple(
        chapter if chapter.blocks else replace(chapter, skipped=kind)
        for chapter, kind in zip(chapters, kinds, strict=True)
    )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(shorten(name, 60) for name in names[:_LISTED]) + more


def _is_contents(root: etree._Element, member: str, targets: Set[tuple[str, str]]) -> bool:
    """Whether a document is a table of contents: it leads to half of its targets, and is links."""
    links = [node for node in root.iter("*") if tag_of(node) == "a" and node.get("href")]
    leads_to = {resolve(member, link.get("href")) for link in links} & targets
    if len(leads_to) < max(_FEWEST_ENTRIES, len(targets) / 2):
        return False
    return 3 * sum(count_words(text_of(a)) for a in links) >= 2 * count_words(text_of(_body(root)))


def _body(root: etree._Element) -> etree._Element:
    return next((node for node in root.iter("*") if tag_of(node) == "body"), root)


def _cover(archive: Archive, package: _Package) -> Cover | None:
    named = (m.get("content") for m in package.root.iter("{*}meta") if m.get("name") == "cover")
    member = package.member(properties="cover-image") or package.member(id_=next(named, None))
    items = {item.member: item for item in package.items.values()}
    if not member or member not in archive or not items[member].media_type.startswith("image/"):
        return None
    return Cover(archive.read(member), items[member].media_type)
