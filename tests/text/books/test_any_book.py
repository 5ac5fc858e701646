"""Books as they come: generated, broken, and Debian's: no crash, every word once and in order."""

import random
import re
import shutil
import subprocess
import zipfile

import pytest
from browser import browser_page
from epubs import build_epub

from chatter_nb.base.errors import InputError
from chatter_nb.text.books.document import Book
from chatter_nb.text.books.epub import read_epub
from chatter_nb.text.books.html import read_html
from chatter_nb.text.books.skips import AUTO

INLINE = ("b", "i", "span", "em", "small", "q", "a", "sup")
BLOCK = ("div", "p", "blockquote", "section", "ul", "table", "h2", "pre", "figure")
LEFT_OUT = (
    '<aside epub:type="footnote">{}</aside>',
    '<span epub:type="pagebreak">{}</span>',
    '<a epub:type="noteref" href="#x">{}</a>',
    '<div style="display: none">{}</div>',
)
PACKAGES = ("ubuntu-packaging-guide-epub", "live-manual-epub")


class Tree:
    """A random body, whose words are numbers in their order; `words` are those that are read."""

    def __init__(self, seed):
        self.random, self.number, self.words = random.Random(seed), 0, []
        self.body = "".join(self.block(3) for _ in range(4))

    def text(self, *, is_read=True):
        words = [f"w{self.number + n}" for n in range(self.random.randint(1, 3))]
        self.number += len(words)
        self.words += words if is_read else []
        return self.random.choice((" ", "\n  ", "&#160;")).join(words)

    def inline(self, depth):
        choice = self.random.random()
        if choice < 0.5 or not depth:
            return f" {self.text()} "
        if choice < 0.6:
            return "<br/>"
        if choice < 0.7:
            return f" {self.random.choice(LEFT_OUT[1:3]).format(self.text(is_read=False))} "
        name = self.random.choice(INLINE)
        return f"<{name}>{''.join(self.inline(depth - 1) for _ in range(2))}</{name}>"

    def block(self, depth):
        if self.random.random() < 0.1:
            kind = self.random.choice((LEFT_OUT[0], LEFT_OUT[3]))
            return kind.format(self.text(is_read=False))
        name = self.random.choice(BLOCK)
        inside = [self.inline(2) for _ in range(2)]
        if name == "ul":
            return f"<ul>{''.join(f'<li>{part}</li>' for part in inside)}</ul>"
        if name == "table":
            return f"<table><tr>{''.join(f'<td>{part}</td>' for part in inside)}</tr></table>"
        if depth and name in ("div", "section", "blockquote", "figure"):
            inside.append(self.block(depth - 1))
        return f"<{name}>{' '.join(inside)}</{name}>"


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


def visible_words(page, document, book):
    """What Chromium shows of a document of a book, without the elements that were left out."""
    paths = [part.place.partition("#") for part in book.skipped]
    page.goto(document.as_uri(), wait_until="domcontentloaded")
    return page.evaluate(
        """paths => {
            const gone = paths.map(path => path.split("/").slice(1).reduce(
                (node, number) => node.children[number - 1], document.documentElement));
            gone.forEach(node => node.remove());
            return document.body.innerText;
        }""",
        [path for name, _, path in paths if document.as_posix().endswith(f"/{name}")],
    )


def letters(text):
    return re.findall(r"\w", text)


@pytest.fixture(scope="module")
def debian_books(tmp_path_factory):
    """The EPUBs in Debian's packages, by apt; skipped where there is no apt or no network."""
    folder = tmp_path_factory.mktemp("debian")
    if not shutil.which("apt-get"):
        pytest.skip("needs apt-get, to download " + " ".join(PACKAGES))
    done = subprocess.run(["apt-get", "download", *PACKAGES], cwd=folder, capture_output=True)
    if done.returncode:
        pytest.skip(f"apt-get download failed (apt-get update?): {done.stderr.decode()[-200:]}")
    for package in folder.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", package, folder], check=True)
    return sorted(folder.rglob("*.epub"))


@pytest.mark.slow
def test_debians_books_are_read_as_chromium_shows_them(debian_books):
    """Document by document: the same letters in the same order, but for what is left out."""
    assert len(debian_books) > 5
    with browser_page() as page:
        for path in debian_books:
            book = read_epub(path, AUTO)
            assert [chapter.number for chapter in book.chapters[:2]] == [1, 2]
            folder = path.with_suffix("")
            with zipfile.ZipFile(path) as archive:
                archive.extractall(folder)
            for name in dict.fromkeys(block.place.partition("#")[0] for _, block in book.blocks):
                if any(name in note for note in book.notes):
                    continue  # not well-formed: Chromium shows an error in its place
                read = [b.text for _, b in book.blocks if b.place.startswith(f"{name}#")]
                shown = visible_words(page, folder / name, book)
                assert letters("".join(read)) == letters(shown), (path.name, name)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_generated_pages_are_read_as_chromium_shows_them(tmp_path, seed):
    body = Tree(1_000 + seed).body
    path = build_epub(tmp_path / "b.epub", {"a.xhtml": body}, [("A", "a.xhtml")])
    book = read_epub(path, AUTO)
    with zipfile.ZipFile(path) as archive, browser_page() as page:
        archive.extractall(tmp_path)
        shown = visible_words(page, tmp_path / "OEBPS/a.xhtml", book)
    assert letters("".join(block.text for _, block in book.blocks)) == letters(shown)
