"""A document is read in a process of its own: its limits and its faults end in a sentence."""

import re
import subprocess
import sys

import pytest
from epubs import build_epub

from chatter_nb.base.errors import InputError
from chatter_nb.text.books import reading
from chatter_nb.text.books.reading import read_book, read_here
from chatter_nb.text.books.skips import AUTO, KINDS, choose_kinds

BOOK = {"a.xhtml": "<h1>One</h1><p>Text.</p>"}


@pytest.fixture
def path(tmp_path):
    return build_epub(tmp_path / "b.epub", BOOK, [("One", "a.xhtml")])


def test_the_process_reads_what_this_one_does(path, monkeypatch):
    """Wherever it starts: modules in the working folder are not taken for the library's."""
    (path.parent / "zipfile.py").write_text("raise ImportError('not this one')")
    monkeypatch.chdir(path.parent)
    assert read_book(path) == read_here(path, AUTO)


def test_too_long_is_a_sentence(path, monkeypatch):
    monkeypatch.setattr(reading, "MAX_S", 0.001)
    with pytest.raises(InputError, match=r"b.epub takes more than 0 s to read: divide it"):
        read_book(path)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_too_much_memory_is_a_sentence(tmp_path):
    page = tmp_path / "large.html"
    page.write_text("<p>" + "<i>word</i> " * 1_500_000)
    code = (
        "import sys; from pathlib import Path; import chatter_nb.text.books.reading as reading; "
        "from lxml import etree; reading.MAX_MEMORY_BYTES = 400_000_000; "
        f"reading._main(Path({str(page)!r}), '')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert re.fullmatch(
        "it takes too much memory.*|its HTML cannot be read whole.*", done.stderr[:-1]
    )


def test_a_reader_that_dies_is_a_sentence(path, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(InputError, match=r"cannot be read: its reader ended with 1"):
        read_book(path)


def test_what_is_skipped_is_chosen_by_name():
    assert choose_kinds("") == choose_kinds("auto") == AUTO
    assert choose_kinds("none") == frozenset()
    assert choose_kinds("notes, index") == {"notes", "index"}
    assert choose_kinds("-notes") == choose_kinds("auto, -notes") == AUTO - {"notes"}
    assert choose_kinds("asides") == {"asides"} <= KINDS.keys() - AUTO
    with pytest.raises(InputError, match=r"skip: 'note' is not among notes, .*, none, or -name"):
        choose_kinds("note")


def test_a_document_is_read_again_only_when_it_has_changed(tmp_path, monkeypatch):
    """A form asks at every key how long its document is."""
    path = tmp_path / "page.html"
    path.write_text("<p>One.</p>")
    calls = []
    run = subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: calls.append(a) or run(*a, **k))
    first = read_book(path)
    assert read_book(path) is first
    path.write_text("<p>Another.</p>")
    assert "Another." in read_book(path).text
    assert len(calls) == 2
