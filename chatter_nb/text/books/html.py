"""HTML and DOCX to books, and the parser of XHTML: no entities but HTML's own, no network."""

from __future__ import annotations

import codecs
import re
from collections.abc import Collection, Iterator
from html.entities import html5
from pathlib import Path

from lxml import etree

from chatter_nb.base.errors import InputError
from chatter_nb.text.books.archive import Archive, strict_parser
from chatter_nb.text.books.document import Book, divide_at_headings
from chatter_nb.text.books.walk import Walk, attribute, tag_of, text_of

_DECLARATION = re.compile(r"^\s*<\?xml\b[^>]*\?>")
_CHARSET = re.compile(rb"""(?:charset|encoding)\s*=\s*["']?([\w.:-]+)""", re.IGNORECASE)
_ENTITY = re.compile(r"&(?!(?:amp|lt|gt|quot|apos);)([A-Za-z][A-Za-z0-9]{1,31});")
# HTML has no empty form of these: read as HTML, <title/> would swallow the document.
_EMPTY = re.compile(
    r"<(?!(?:area|base|br|col|embed|hr|img|input|link|meta|source|track|wbr)\b)"
    r"([A-Za-z][\w:-]*)((?:\s[^<>]*?)?)/>"
)
_SECTIONS = {"article", "main", "section", "blockquote"}
_HEADER_ROLES = ("navigation", "banner", "contentinfo", "complementary", "search")


def decode(data: bytes) -> str:
    """Markup as text: by its mark, as UTF-8, by the encoding that it names, else as cp1252."""
    for mark, encoding in ((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")):
        if data.startswith(mark):
            return data.decode(encoding, errors="replace")
    named = _CHARSET.search(data[:2000])
    for encoding in ("utf-8-sig", named[1].decode() if named else "cp1252"):
        try:
            return data.decode(encoding)
        except (UnicodeDecodeError, LookupError):
            continue
    return data.decode("cp1252", errors="replace")


def parse_xhtml(data: bytes) -> tuple[etree._Element, bool]:
    """The root of XHTML, and whether it had to be repaired, as HTML. Raises `InputError`."""
    text = _ENTITY.sub(_entity, _DECLARATION.sub("", decode(data)))
    try:
        return etree.fromstring(text.encode(), strict_parser()), False
    except (etree.XMLSyntaxError, ValueError):
        return parse_html(_EMPTY.sub(r"<\1\2></\1>", text)), True


def parse_html(text: str) -> etree._Element:
    """The root of HTML, repaired as browsers do. Raises `InputError` if there is no element."""
    parser = etree.HTMLParser(
        encoding="utf-8", no_network=True, remove_comments=True, remove_pis=True
    )
    text = _DECLARATION.sub("", text).replace("\0", "")
    try:
        root = etree.fromstring(text.encode(errors="replace"), parser)
    except (etree.LxmlError, ValueError) as error:
        raise InputError(f"it holds no HTML: {error}") from None
    if root is None:
        raise InputError("it holds no HTML: no element is in it")
    return root


def read_html(path: Path, skip: Collection[str]) -> Book:
    """The article of a web page: <article> or <main>, else its body without what surrounds it."""
    data = path.read_bytes()
    is_xhtml = path.suffix.lower() == ".xhtml"
    root = parse_xhtml(data)[0] if is_xhtml else parse_html(decode(data))
    return _book_of_page(root, path.name, skip)


def read_docx(path: Path, skip: Collection[str]) -> Book:
    """A Word document. Its notes, which mammoth puts at its end, are skipped as `notes`."""
    import mammoth

    with Archive(path) as archive:  # its sizes are checked: mammoth unpacks without a bound
        for member in ("word/document.xml", "[Content_Types].xml"):
            archive.xml(member)
        about = archive.xml("docProps/core.xml") if "docProps/core.xml" in archive else None
    with path.open("rb") as file:
        try:
            result = mammoth.convert_to_html(
                file,
                external_file_access=False,
                convert_image=mammoth.images.img_element(_no_image),
            )
        except Exception as error:  # mammoth trusts its input
            raise InputError(f"it is no Word document, or a damaged one: {error!r}") from None
    root = parse_html(f"<html><body>{result.value}</body></html>")
    for note in root.xpath("//li[starts-with(@id, 'footnote-') or starts-with(@id, 'endnote-')]"):
        note.set("class", "footnote")
    texts = {tag_of(node): text_of(node) for node in about.iter("*")} if about is not None else {}
    book = _book_of_page(root, path.name, skip)
    return Book(
        title=texts.get("title", ""),
        author=texts.get("creator", ""),
        language=texts.get("language", ""),
        description=texts.get("description", ""),
        chapters=book.chapters,
        skipped=book.skipped,
        notes=tuple(
            sorted({message.message for message in result.messages if message.type == "error"})
        ),
    )


def _book_of_page(root: etree._Element, document: str, skip: Collection[str]) -> Book:
    bodies = [node for node in root.iter("*") if tag_of(node) == "body"] or [root]
    headers = set(_headers(bodies[0])) if "headers" in skip else set()
    walk = Walk(document, skip, headers=headers).run(bodies[0], _path(bodies[0]))
    titles = [text_of(node) for node in root.iter("*") if tag_of(node) == "title"] or [""]
    language = root.get("lang") or attribute(
        root, "{http://www.w3.org/XML/1998/namespace}", "xml", "lang"
    )
    return Book(
        title=titles[0],
        language=language,
        chapters=divide_at_headings(walk.blocks, titles[0]),
        skipped=tuple(walk.skipped),
    )


def _headers(body: etree._Element) -> Iterator[etree._Element]:
    """What is not the article: all outside of the largest <article> or <main> that holds most."""
    nodes = list(body.iter("*"))
    articles = [n for n in nodes if tag_of(n) in ("article", "main") or n.get("role") == "main"]
    article = max(articles, key=lambda node: len(text_of(node)), default=None)
    if article is not None and 2 * len(text_of(article)) > len(text_of(body)):
        around = [article, *article.iterancestors()]
        for outer in around[1 : around.index(body) + 1]:
            yield from (child for child in outer if child not in around)
    for node in nodes:
        is_header = tag_of(node) in ("nav", "aside") or node.get("role") in _HEADER_ROLES
        if is_header or (tag_of(node) in ("header", "footer") and not _is_in_section(node)):
            yield node


def _is_in_section(node: etree._Element) -> bool:
    """Whether a header is of a part, where it has a title, or a footer, where it is a signature."""
    return not _SECTIONS.isdisjoint(tag_of(outer) for outer in node.iterancestors())


def _path(node: etree._Element) -> str:
    """The element numbers from below the root to a node: "/2" for the body of a page."""
    around = node.getparent()
    if around is None:
        return ""
    siblings = [child for child in around if isinstance(child.tag, str)]
    return f"{_path(around)}/{siblings.index(node) + 1}"


def _no_image(image: object) -> dict[str, str]:
    return {}


def _entity(match: re.Match[str]) -> str:
    return html5.get(f"{match[1]};", match[0])
