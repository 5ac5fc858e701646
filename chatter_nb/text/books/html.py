"""HTML and DOCX to books, and the parser of XHTML: no entities but HTML's own, no network."""

from __future__ import annotations

import codecs
import io
import re
import zipfile
from collections.abc import Collection, Iterator
from dataclasses import replace
from html.entities import html5
from pathlib import Path

from lxml import etree

from chatter_nb.base.errors import InputError
from chatter_nb.text.books.archive import Archive
from chatter_nb.text.books.document import Book, divide_at_headings
from chatter_nb.text.books.walk import Walk, tag_of, text_of
from chatter_nb.text.parsers import SAFE, STRICT

_DECLARATION = re.compile(r"^\s*<\?xml\b[^>]*\?>")
_CHARSET = re.compile(rb"""(?:charset|encoding)\s*=\s*["']?([\w.:-]+)""", re.IGNORECASE)
_ENTITY = re.compile(r"&(?!(?:amp|lt|gt|quot|apos);)([A-Za-z][A-Za-z0-9]{1,31});")
# HTML has no empty form of these: read as HTML, <title/> would swallow the document.
_EMPTY = re.compile(
    r"<(?!(?:area|base|br|col|embed|hr|img|input|link|meta|source|track|wbr)\b)"
    r"([A-Za-z][\w:-]*)((?:\s[^<>]*?)?)/>"
)
_CORE = "docProps/core.xml"
# Parts of a Word document that hold text, and elements around text that mammoth does not know.
_TEXTS = re.compile(r"word/(?:document|footnotes|endnotes)\w*\.xml")
_WRAPPERS = (
    *("{*}fldSimple", "{*}dir", "{*}bdo", "{*}ruby", "{*}rubyBase"),
    "{http://schemas.openxmlformats.org/officeDocument/2006/math}*",
)
_PARTS = {"article", "main", "section", "blockquote"}


def decode(data: bytes) -> str:
    """Markup as text: by its first bytes, as UTF-8, in the encoding it names, or as cp1252."""
    marks = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
    marks |= {b"<\0": "utf-16-le", b"\0<": "utf-16-be"}
    named = _CHARSET.findall(data[:2000])
    for encoding in (marks.get(data[:2], "utf-8-sig"), *(name.decode() for name in named)):
        try:
            return data.decode(encoding)
        except (ValueError, LookupError):  # as "undefined" and "idna" raise
            continue
    return data.decode("cp1252", errors="replace")


def parse_xhtml(data: bytes) -> tuple[etree._Element, bool]:
    """The root of XHTML, and whether it had to be repaired, as HTML. Raises `InputError`."""
    text = _DECLARATION.sub("", decode(data))
    text = _ENTITY.sub(lambda name: html5.get(f"{name[1]};", name[0]), text)
    try:
        return etree.fromstring(text.encode(), STRICT), False
    except (etree.XMLSyntaxError, ValueError):
        return parse_html(_EMPTY.sub(r"<\1\2></\1>", text)), True


def parse_html(text: str) -> etree._Element:
    """The root of HTML, repaired as browsers do. Raises `InputError` if it cannot be."""
    parser = etree.HTMLParser(encoding="utf-8", **SAFE)
    text = _DECLARATION.sub("", text).replace("\0", "").strip() or "<html></html>"
    try:
        root = etree.fromstring(text.encode(errors="replace"), parser)
    except (etree.LxmlError, ValueError):
        root = None
    faults = [error.message for error in parser.error_log if error.level_name == "FATAL"]
    if root is None or faults:  # as 256 levels: what comes after would be lost
        raise InputError(f"its HTML cannot be read whole: {', '.join(faults) or 'no element'}")
    return root


def read_html(path: Path, skip: Collection[str]) -> Book:
    """The article of a web page: <article> or <main>, else its body without what surrounds it."""
    data = path.read_bytes()
    if data.startswith((b"%PDF-", b"PK\3\4", b"\x89PNG", b"\xff\xd8")):
        raise InputError("it is no HTML: its bytes are of another format")
    is_xhtml = path.suffix.lower() == ".xhtml"
    root = parse_xhtml(data)[0] if is_xhtml else parse_html(decode(data))
    return _book_of_page(root, path.name, skip)


def read_docx(path: Path, skip: Collection[str]) -> Book:
    """A Word document. Its notes, which mammoth puts at its end, are skipped as `notes`."""
    import mammoth

    plain = io.BytesIO()
    with Archive(path) as archive, zipfile.ZipFile(plain, "w") as copy:
        for member in archive.NameToInfo:  # mammoth unpacks without a bound
            is_text = _TEXTS.fullmatch(member)
            data = _unwrapped(archive.xml(member)) if is_text else archive.member(member)
            copy.writestr(member, data)
        about = archive.xml(_CORE) if _CORE in archive.NameToInfo else ()
    no_image = mammoth.images.img_element(lambda image: {})
    try:
        result = mammoth.convert_to_html(plain, convert_image=no_image)
    except Exception as error:  # whatever mammoth meets in a damaged file
        raise InputError(f"it is no Word document, or a damaged one: {error!r}") from None
    root = parse_html(f"<html><body>{result.value}</body></html>")
    for note in root.xpath("//li[starts-with(@id, 'footnote-') or starts-with(@id, 'endnote-')]"):
        note.set("class", "footnote")
    found = {tag_of(node): text_of(node) for node in about}
    book = _book_of_page(root, path.name, skip)
    return replace(book, title=found.get("title", ""), author=found.get("creator", ""))


def _unwrapped(root: etree._Element) -> bytes:
    """A part of a Word document without the elements whose text mammoth would leave out."""
    for node in root.iter("{*}t"):  # a formula's too
        node.tag = root.tag.rpartition("}")[0] + "}t"
    etree.strip_elements(root, "{*}rt", with_tail=False)  # the reading of a ruby
    etree.strip_tags(root, *_WRAPPERS)
    return etree.tostring(root)


def _book_of_page(root: etree._Element, document: str, skip: Collection[str]) -> Book:
    walk = Walk(skip, set(_headers(root)) if "headers" in skip else ())
    walk.run(root, document)
    title = next((text_of(node) for node in root.iter("*") if tag_of(node) == "title"), "")
    chapters = divide_at_headings(walk.blocks, title)
    about = {"title": title, "language": root.get("lang", "")}
    return Book(**about, chapters=chapters, skipped=tuple(walk.skipped))


def _headers(root: etree._Element) -> Iterator[etree._Element]:
    """What is not the article: all outside of the largest <article> or <main> that holds most."""
    nodes = list(root.iter("*"))
    articles = [n for n in nodes if tag_of(n) in ("article", "main") or n.get("role") == "main"]
    article = max(articles, key=lambda node: len(text_of(node)), default=root)
    is_most = 2 * len(text_of(article)) > len(text_of(root))
    inside = {article, *article.iter("*"), *article.iterancestors()} if is_most else set(nodes)
    for node in nodes:
        name = tag_of(node)
        if name in ("header", "footer"):  # a part's header has its title, its footer a signature
            name = "" if {tag_of(outer) for outer in node.iterancestors()} & _PARTS else "nav"
        if node not in inside or name in ("nav", "aside"):
            yield node
