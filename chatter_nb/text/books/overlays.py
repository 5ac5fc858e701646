"""An EPUB 3 that reads along: its sentences get spans, and media overlays say when they sound.

All else of the book stays: the other members byte for byte, its documents but for the spans (after
canonicalisation). A sentence gets one span where elements allow it, else one for each piece of
text; what was skipped inside it, such as a note's mark, stays outside of spans.
"""

from __future__ import annotations

import posixpath
import re
import shutil
import zipfile
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import accumulate, count, groupby, pairwise
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from lxml import etree

from chatter_nb.base.errors import InputError, shorten
from chatter_nb.text.books.archive import Archive
from chatter_nb.text.books.document import Book
from chatter_nb.text.books.epub import Package
from chatter_nb.text.books.walk import Owner, Walk
from chatter_nb.text.parsers import EDITING
from chatter_nb.text.sentences import sentences

_XHTML = "{http://www.w3.org/1999/xhtml}"
_FOLDER = "chatter-nb"  # beside the package
_SMIL = '<smil xmlns="http://www.w3.org/ns/SMIL" version="3.0"><body>\n{}</body></smil>\n'
_PAR = '<par><text src="{}#{}"/><audio src="{}.mp3" clipBegin="{}s" clipEnd="{}s"/></par>\n'
_MARKS = "\ufdd0\ufdd1"  # around pieces; Unicode keeps them for a program's own use
_INLINE = "a abbr b bdi bdo cite code dfn em i kbd mark q s samp small span strong sub sup u var"
_TAG = re.compile(r"<!--.*?-->|<\?.*?\?>|<(/?)([^<>/\s]+)[^<>]*?(/?)>", re.DOTALL)


class Word(NamedTuple):
    """A spoken word: its block and place in the book, its track (from 0) and its start there."""

    block: int
    place: int
    track: int
    start_ms: int


class ReadAlongBook(Package):
    """A book to be read along. Raises `InputError` if it is no EPUB 3, or reads along already."""

    def __init__(self, archive: Archive, book: Book, skip: Collection[str]) -> None:
        super().__init__(archive, EDITING)
        self._skip, self._blocks = skip, [block for _, block in book.blocks]
        self._members = [block.place.rpartition("#")[0] for block in self._blocks]
        self._nodes = {member: node for member, _, node in self._items.values()}
        if not self._package.get("version", "").startswith("3"):
            raise InputError("it is no EPUB 3")
        if any(node.get("media-overlay") for node in self._nodes.values()):
            raise InputError("it reads along already")

    def check(self, blocks: Iterable[int]) -> None:
        """Raise `InputError` for whatever would keep `write` from its work on these blocks."""
        for name in self._archive.NameToInfo:
            self._archive.member(name)
        for member in dict.fromkeys(self._members[block] for block in blocks):
            self._document(member)

    def write(
        self, target: Path, words: Sequence[Word], tracks: dict[Path, int], language: str, by: str
    ) -> None:
        """Write the book: its words, in order; its tracks, mp3 files with their lengths in ms."""
        infos, base, total_ms = self._archive.NameToInfo, posixpath.dirname(self._opf), 0
        spoken: dict[str, dict[int, list[tuple[int, int]]]] = {}
        for number, word in enumerate(words):
            blocks = spoken.setdefault(self._members[word.block], {})
            blocks.setdefault(word.block, []).append((word.place, number))
        with zipfile.ZipFile(target, "w") as out:
            for name in sorted(infos, key=lambda name: name != "mimetype"):
                if name not in (*spoken, self._opf):
                    _put(out, infos[name], self._archive.member(name))
            for at, (member, blocks) in enumerate(spoken.items()):
                content, spans = self._spanned(member, blocks, language)
                _put(out, infos[member], content)
                link = quote(posixpath.relpath(member, posixpath.join(base, _FOLDER)))
                pars = list(_pars(link, spans, words, [*tracks.values()]))
                smil = _SMIL.format("".join(par for par, _ in pars))
                id_, info = self._add_item(f"{at}.smil", "application/smil+xml")
                _put(out, info, smil)
                self._nodes[member].set("media-overlay", id_)
                length_ms = sum(length_ms for _, length_ms in pars)
                self._add_meta("duration", f"{length_ms / 1000}s", refines=f"#{id_}")
                total_ms += length_ms
            for at, path in enumerate(tracks):
                _, info = self._add_item(f"{at}.mp3", "audio/mpeg")
                with path.open("rb") as source, out.open(info, "w") as copy:
                    shutil.copyfileobj(source, copy)
            self._add_meta("duration", f"{total_ms / 1000}s")
            if by:
                self._add_meta("narrator", by)
            _put(out, infos[self._opf], _xml(self._package))

    def _add_item(self, name: str, media_type: str) -> tuple[str, zipfile.ZipInfo]:
        id_, href = f"{_FOLDER}-{name}", f"{_FOLDER}/{name}"
        self._add("manifest", "item", {"id": id_, "href": href, "media-type": media_type})
        return id_, zipfile.ZipInfo(posixpath.join(posixpath.dirname(self._opf), href))

    def _add_meta(self, name: str, text: str, **refines: str) -> None:
        self._add("metadata", "meta", {"property": f"media:{name}", **refines}, text)

    def _add(self, parent: str, tag: str, attributes: dict[str, str], text: str = "") -> None:
        node = next(self._package.iter(f"{{*}}{parent}"))
        etree.SubElement(node, node.tag.replace(parent, tag), attributes).text = text or None

    def _document(self, member: str) -> tuple[etree._Element, list[list[Owner | None]]]:
        """The root of a document, and the owners of its blocks' texts."""
        root, walk = self._archive.xml(member, EDITING), Walk(self._skip, owners=[])
        walk.run(root, member)
        first = self._members.index(member)
        texts = [block.text for block in self._blocks[first : first + len(walk.blocks)]]
        is_plain = root.tag.startswith(_XHTML) and set(_MARKS).isdisjoint(_xml(root))
        has_entities = next(root.iter(etree.Entity), None) is not None
        if (
            not is_plain
            or has_entities
            or member not in self._nodes
            or [b.text for b in walk.blocks] != texts
        ):
            raise InputError(f"its member {shorten(member, 80)!r} is no XHTML without entities")
        return root, walk.owners or []

    def _spanned(
        self, member: str, blocks: dict[int, list[tuple[int, int]]], language: str
    ) -> tuple[str, list[tuple[str, int]]]:
        """A document with spans; each one's id and first word, and the first after the document.

        `blocks` have the places and numbers of their words.
        """
        (root, owners), first = self._document(member), self._members.index(member)
        names = {node.get("id") for node in root.iter("*")}
        ids = (id_ for number in count(1) if (id_ := f"cn-{number}") not in names)
        pieces = [
            (block, *piece)
            for block, own in blocks.items()
            for piece in _mark(owners[block - first], self._blocks[block].text, own, language)
        ]
        last = blocks[max(blocks)][-1][1]
        texts, spans = re.split(f"[{_MARKS}]", _xml(root)), []  # each second text is a piece's
        tag = f"{root.prefix}:span" if root.prefix else "span"
        gaps = accumulate(bool(_TAG.sub("", text).strip()) for text in texts[:-1:2])  # skipped
        numbered = zip(count(1, 2), pieces, gaps, strict=False)
        for _, run in groupby(numbered, key=lambda piece: (*piece[1][:2], piece[2])):
            whole = [(at, word) for at, (*_, word), _ in run]
            ends = _ends(texts, whole[0][0], whole[-1][0])
            for part in [whole] if ends else [[piece] for piece in whole]:
                if spoken := [word for _, word in part if word is not None]:
                    spans.append((next(ids), spoken[0]))
                    before, after = texts[part[0][0] - 1], texts[part[-1][0] + 1]
                    start, end = ends or (len(before), 0)
                    opening = f'<{tag} id="{spans[-1][0]}">'
                    texts[part[0][0] - 1] = before[:start] + opening + before[start:]
                    texts[part[-1][0] + 1] = f"{after[:end]}</{tag}>{after[end:]}"
        return "".join(texts), [*spans, ("", last + 1)]


def _mark(
    owners: Sequence[Owner | None], text: str, words: Sequence[tuple[int, int]], language: str
) -> Iterator[tuple[int, int | None]]:
    """Put marks around pieces of a block's texts; yields each one's sentence and first word.

    `words` are places in the block's `text` and numbers. A sentence without a word belongs to the
    one before it. Formulas and drawings get no marks: no span may stand there.
    """
    before = [0, *accumulate(not char.isspace() for char in text)]  # characters but spaces
    starts = [0, *accumulate(map(len, sentences(text, language)))]
    spoken = sorted({bisect_right(starts, place) - 1 for place, _ in words})
    edges = [before[starts[sentence]] for sentence in spoken[1:]]
    numbers, at = {before[place]: number for place, number in reversed(words)}, 0
    for owner in owners:
        source = getattr(*owner) if owner else ","
        chars = [match.start() for match in re.finditer(r"\S", source)]
        end = at + len(chars)
        parent: Any = owner and (owner[0] if owner[1] == "text" else owner[0].getparent())
        if owner and chars and parent.tag.startswith(_XHTML):
            cuts = [at, *edges[bisect_right(edges, at) : bisect_left(edges, end)], end]
            marked, done = "", 0
            for first, last in pairwise(cuts):
                start, stop = chars[first - at], chars[last - at - 1] + 1
                marked += source[done:start] + source[start:stop].join(_MARKS)
                done = stop
                own = (numbers[place] for place in range(first, last) if place in numbers)
                yield bisect_right(edges, first), next(own, None)
            setattr(*owner, marked + source[done:])
        at = end


def _ends(texts: Sequence[str], first: int, last: int) -> tuple[int, int] | None:
    """Where one span around pieces may begin and end in the texts around; None: nowhere."""
    opened, closed = list[str](), list[str]()
    for closes, name, is_empty in _TAG.findall("".join(texts[first : last + 1])):
        if closes and opened:
            opened.pop()
        elif name and not is_empty:
            (closed if closes else opened).append(name.rpartition(":")[2])
    head = re.search(rf"(?:<[^<>/?!][^<>]*(?<!/)>\s*){{{len(closed)}}}\Z", texts[first - 1])
    tail = re.match(rf"(?:\s*</[^<>]*>){{{len(opened)}}}", texts[last + 1])
    if head and tail and {*opened, *closed} <= {*_INLINE.split()}:
        return head.start(), tail.end()
    return None


def _pars(
    link: str, spans: Sequence[tuple[str, int]], words: Sequence[Word], lengths_ms: Sequence[int]
) -> Iterator[tuple[str, int]]:
    """Each clip and its length in ms. It lasts until the next, so that players do not jump."""
    for (id_, number), (_, after) in pairwise(spans):
        _, _, track, start_ms = words[number]
        is_last = after == len(words) or words[after].track != track
        end_ms = lengths_ms[track] if is_last else words[after].start_ms
        if start_ms < end_ms:
            par = _PAR.format(link, id_, track, start_ms / 1000, end_ms / 1000)
            yield par, end_ms - start_ms


def _xml(root: etree._Element) -> str:
    text = etree.tostring(root.getroottree(), encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}'


def _put(out: zipfile.ZipFile, like: zipfile.ZipInfo, content: bytes | str) -> None:
    """Write a member with the name, date and packing of another; `mimetype` is never packed."""
    info = zipfile.ZipInfo(like.filename, like.date_time)
    info.external_attr = like.external_attr
    info.compress_type = zipfile.ZIP_STORED if info.filename == "mimetype" else like.compress_type
    out.writestr(info, content)
