"""EPUB files that tests build: of version 2 (NCX) or 3 (nav), from the documents that are given."""

import re
import zipfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from lxml import etree

XHTML = "{http://www.w3.org/1999/xhtml}"

CONTAINER = (
    '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container" version="1.0"><rootfiles>'
    '<rootfile full-path="OEBPS/content.opf" media-type="application/oebps-package+xml"/>'
    "</rootfiles></container>"
)
HEAD = (
    '<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops" '
    'xmlns:ssml="http://www.w3.org/2001/10/synthesis"><head><title>x</title></head>'
)


def build_epub(
    path: Path,
    documents: Mapping[str, str],
    entries: Sequence[tuple[str, str]],
    *,
    version: int = 3,
    linear: Mapping[str, str] | None = None,
    members: Mapping[str, str | bytes] | None = None,
    metadata: str = "",
    more_items: str = "",
) -> Path:
    """Write an EPUB: `documents` are bodies by name, `entries` titles with their targets.

    A document that begins with "<?" or "<!" or "<html" is written as it is. `members` are added, or
    replace those of the same name; `more_items` are of the manifest.
    """
    items = [
        f'<item id="d{number}" href="{name}" media-type="application/xhtml+xml"/>'
        for number, name in enumerate(documents)
    ]
    spine = [
        f'<itemref idref="d{number}" linear="{(linear or {}).get(name, "yes")}"/>'
        for number, name in enumerate(documents)
    ]
    if version == 3:
        items.append(
            '<item id="nav" href="nav.xhtml" properties="nav" media-type="application/xhtml+xml"/>'
        )
        contents = {"OEBPS/nav.xhtml": _nav(entries)}
    else:
        items.append('<item id="ncx" href="toc.ncx" media-type="application/x-dtbncx+xml"/>')
        contents = {"OEBPS/toc.ncx": _ncx(entries)}
    toc = ' toc="ncx"' if version == 2 else ""
    package = (
        f'<package xmlns="http://www.idpf.org/2007/opf" version="{version}.0">'
        '<metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>A book</dc:title>'
        "<dc:creator>Aesop</dc:creator><dc:language>en</dc:language><dc:date>1912</dc:date>"
        f"<dc:description>Old tales</dc:description>{metadata}</metadata>"
        f"<manifest>{''.join(items)}{more_items}</manifest><spine{toc}>{''.join(spine)}</spine></package>"
    )
    files: dict[str, str | bytes] = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": CONTAINER,
        "OEBPS/content.opf": package,
        **contents,
        **{f"OEBPS/{name}": _document(body) for name, body in documents.items()},
        **(members or {}),
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def _document(body: str) -> str:
    return body if body.startswith(("<?", "<!", "<html")) else f"{HEAD}<body>{body}</body></html>"


def _nav(entries: Sequence[tuple[str, str]]) -> str:
    items = "".join(f'<li><a href="{href}">{title}</a></li>' for title, href in entries)
    return f'{HEAD}<body><nav epub:type="toc"><h1>Contents</h1><ol>{items}</ol></nav></body></html>'


def _ncx(entries: Sequence[tuple[str, str]]) -> str:
    points = "".join(
        f'<navPoint id="p{number}"><navLabel><text>{title}</text></navLabel>'
        f'<content src="{href}"/></navPoint>'
        for number, (title, href) in enumerate(entries)
    )
    return f'<ncx xmlns="http://www.daisy.org/z3986/2005/ncx/"><navMap>{points}</navMap></ncx>'


def canonical(data: bytes, known: Collection[str | None] | None = None) -> bytes:
    """A document after canonicalisation; without spans of ours, whose ids the original lacks."""
    root = etree.fromstring(data)
    for span in list(root.iter(f"{XHTML}span")) if known is not None else ():
        if re.fullmatch(r"cn-\d+", span.get("id") or "") and span.get("id") not in known:
            _unwrap(span)
    return etree.tostring(root.getroottree(), method="c14n")


def _unwrap(span: etree._Element) -> None:
    parent, before, inner = span.getparent(), span.getprevious(), list(span)
    for child in inner:
        span.addprevious(child)
    for node, text in ((before, span.text), (inner[-1] if inner else before, span.tail)):
        if node is None:
            parent.text = (parent.text or "") + (text or "")
        else:
            node.tail = (node.tail or "") + (text or "")
    span.tail = None
    parent.remove(span)
