"""Books as they come, generated and broken: no crash, every word once and in order."""

import random
import zipfile

import pytest
from epubs import build_epub
from trees import Tree

from chatter_nb.base.errors import InputError
from chatter_nb.text.books.document import Book
from chatter_nb.text.books.epub import read_epub
from chatter_nb.text.books.html import read_html
from chatter_nb.text.books.skips import AUTO


def words_of(book):
    return [word for _, block in book.blocks for word in block.text.replace(",", " ").split()]


@pytest.mark.parametrize("seed", range(60))
def test_every_word_is_read_once_and_in_order(tmp_path, seed):
    """Of any tree, as XHTML in an EPUB and as a page that is no XML."""
    tree = Tree(seed)
    path = build_epub(tmp_path / "b.epub", {"a.xhtml": tree.body}, [("A", "a.xhtml")])
    assert words_of(read_epub(path, AUTO)) == tree.words
    page = tmp_path / "page.html"
    page.write_text(f"<!doctype html><html><head><meta charset=utf-8></head><body>{tree.body}")
    assert words_of(read_html(page, AUTO)) == tree.words


def broken(content, rng):
    """A member's text, with a piece of it missing, doubled, changed, or moved."""
    start, length = rng.randrange(len(content)), rng.randint(1, 40)
    piece, rest = content[start : start + length], content[start + length :]
    change = rng.randrange(4)
    if change == 0:
        return content[:start] + rest
    if change == 1:
        return content[:start] + piece * 2 + rest
    if change == 2:
        return content[:start] + rng.choice("<>&\"'/\0\x1c;]") + rest
    return piece + content[:start] + rest


def book_or_reason(path):
    """The book, or an empty one and the sentence in which it is refused."""
    try:
        return read_epub(path, AUTO), ""
    except InputError as error:
        return Book(), str(error)


@pytest.mark.parametrize("seed", range(200))
def test_a_broken_book_is_read_or_refused_in_a_sentence(tmp_path, seed):
    """Whatever is damaged: a document, the contents, the package, the archive itself."""
    rng, path = random.Random(seed), tmp_path / "b.epub"
    documents = {f"{n}.xhtml": Tree(seed + n).body for n in range(2)}
    entries = [(name, f"{name}#x") for name in documents]
    build_epub(path, documents, entries, version=2 + seed % 2)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name).decode() for name in archive.namelist()}
    name = rng.choice(sorted(members.keys() - {"mimetype"}))
    members[name] = broken(broken(members[name], rng), rng)
    build_epub(path, documents, entries, members=members)
    if seed % 3 == 0:
        data = bytearray(path.read_bytes())
        for _ in range(3):
            data[rng.randrange(len(data))] = rng.randrange(256)
        path.write_bytes(data[: rng.choice((len(data), len(data) // 2))])
    book, reason = book_or_reason(path)
    assert book.blocks or book.skipped or book.notes or reason.startswith("it")


@pytest.mark.parametrize("name", ["div", "b"])
@pytest.mark.parametrize("depth", [200, 300, 5_000])
def test_nothing_is_lost_in_deep_nesting(tmp_path, name, depth):
    """No word is lost where a parser gives up: the book is refused."""
    deep = f"<{name}>" * depth + "word" + f"</{name}>" * depth
    path = build_epub(tmp_path / "b.epub", {"a.xhtml": deep}, [("A", "a.xhtml")])
    book, reason = book_or_reason(path)
    assert words_of(book) == ["word"] or "cannot be read whole: Excessive depth" in reason
