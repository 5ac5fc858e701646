"""Documents that somebody made to do harm, and files that are none: read, or told in a sentence."""

import os
import random
import re
import struct

import pytest
from epubs import CONTAINER, HEAD, build_epub

from chatter_nb.base.errors import InputError
from chatter_nb.text.books import archive
from chatter_nb.text.books.epub import read_epub
from chatter_nb.text.books.html import decode
from chatter_nb.text.books.skips import AUTO
from chatter_nb.text.files import MAX_BYTES, read_sources

ONE = {"a.xhtml": "<p>Text.</p>"}
TOC = [("A", "a.xhtml")]
SECRET = "Secret words"
# A thousand million laughs of ten entities, and a file of this machine.
LAUGHS = '<!ENTITY x0 "haha">' + "".join(
    f'<!ENTITY x{n} "{f"&x{n - 1};" * 10}">' for n in range(1, 10)
)
FILE = '<!ENTITY file SYSTEM "file://{}">'


@pytest.mark.parametrize("reference", ["&x9;", "&x1;", "&file;"])
@pytest.mark.parametrize("member", ["content.opf", "nav.xhtml", "toc.ncx", "a.xhtml"])
def test_entities_are_neither_made_large_nor_fetched(tmp_path, member, reference):
    version = 2 if member == "toc.ncx" else 3
    entries = [("A book", "a.xhtml")]
    documents = {"a.xhtml": f"{HEAD}<body><p>A book</p></body></html>"}
    path = build_epub(tmp_path / "b.epub", documents, entries, version=version)
    with archive.Archive(path) as good:
        markup = good.member(f"OEBPS/{member}").decode()
    (tmp_path / "secret.txt").write_text(SECRET)
    entities = FILE.format(tmp_path / "secret.txt") if reference == "&file;" else LAUGHS
    hostile = f"<!DOCTYPE any [{entities}]>{markup.replace('A book', reference)}"
    bad = {f"OEBPS/{member}": hostile}
    path = build_epub(path, documents, entries, version=version, members=bad)
    try:
        book = read_epub(path, AUTO)
    except InputError as error:
        book = str(error)
    assert SECRET not in str(book)
    assert "hahahaha" not in str(book)


def lying(path, size):
    """An EPUB whose directory says another size of its document."""
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"PK\1\2", 0, data.rindex(b"OEBPS/a.xhtml"))
    data[entry + 24 : entry + 28] = struct.pack("<I", size)
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("size", "told"), [(10, "is damaged or encrypted: Bad CRC"), (2**32 - 16, "to 4,294,967,280")]
)
def test_a_header_that_lies_is_refused(tmp_path, size, told):
    path = build_epub(tmp_path / "b.epub", ONE, TOC)
    lying(path, size)
    with pytest.raises(InputError, match=told):
        read_epub(path, AUTO)


def test_too_many_members_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MAX_MEMBERS", 10)
    path = build_epub(tmp_path / "b.epub", ONE, TOC, members={f"{n}.txt": "" for n in range(9)})
    with pytest.raises(InputError, match="it has 14 members; at most 10"):
        read_epub(path, AUTO)


def test_a_huge_cover_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MAX_MEMBER_BYTES", 100_000)
    container = CONTAINER.replace("content.opf", "with.opf")
    path = build_epub(tmp_path / "b.epub", ONE, TOC)
    with archive.Archive(path) as good:
        package = good.member("OEBPS/content.opf").decode()
    item = '<item id="c" href="c.png" media-type="image/png" properties="cover-image"/></manifest>'
    more = {
        "META-INF/container.xml": container,
        "OEBPS/with.opf": package.replace("</manifest>", item),
        "OEBPS/c.png": random.Random(1).randbytes(200_000),
    }
    path = build_epub(path, ONE, TOC, members=more)
    with pytest.raises(InputError, match=r"c.png' unpacks from 200,\d+ to 200,000 bytes"):
        read_epub(path, AUTO)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_markup_of_any_unicode_is_decoded(encoding):
    assert decode("<p>Привет</p>".encode(encoding)) == "<p>Привет</p>"


@pytest.mark.parametrize(
    "name", ["undefined", "punycode", "idna", "base64", "zlib", "none", "a" * 999]
)
def test_a_charset_that_is_none_is_passed_over(name):
    """As those of Python that raise what no other does."""
    markup = f'<meta charset="{name}"><p>naïve'
    assert decode(markup.encode("cp1252")) == markup


@pytest.mark.parametrize("suffix", ["txt", "md", "epub", "html", "pdf"])
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_what_never_ends_is_refused_before_it_is_read(tmp_path, suffix, kind):
    path = tmp_path / f"a.{suffix}"
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(InputError, match=rf"{re.escape(str(path))} is a pipe or a device"):
        read_sources(path)


def test_a_text_beyond_reason_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "a.txt"
    path.touch()
    os.truncate(path, MAX_BYTES + 1)
    with pytest.raises(InputError, match=r"a.txt has more than 32,000,000 bytes: divide it"):
        read_sources(path)
