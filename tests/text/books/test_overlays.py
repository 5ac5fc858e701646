"""Spans and overlays of any book: its documents stay what they are, every word is in one span."""

import re
import zipfile

import pytest
from epubs import build_epub, canonical
from lxml import etree
from test_any_book import Tree

from chatter_nb.text.books.archive import Archive
from chatter_nb.text.books.epub import read_epub
from chatter_nb.text.books.overlays import ReadAlongBook, Word
from chatter_nb.text.books.skips import AUTO
from chatter_nb.text.places import words_of

WORD_MS = 300


def read_along(path, target):
    """The clips of a book whose words take 300 ms each: the texts of their spans, and times."""
    book = read_epub(path, AUTO)
    places = [
        (number, place.start)
        for number, (_, block) in enumerate(book.blocks)
        for place in words_of(block.text)
    ]
    words = [Word(*place, 0, WORD_MS * number) for number, place in enumerate(places)]
    mp3 = target.with_suffix(".mp3")
    mp3.write_bytes(b"not looked at")
    with Archive(path) as archive:
        ReadAlongBook(archive, book, AUTO).check(range(len(book.blocks)))
        along = ReadAlongBook(archive, book, AUTO)
        along.write(target, words, {mp3: WORD_MS * len(words)}, "en", "")
    with zipfile.ZipFile(target) as archive:
        smil = etree.fromstring(archive.read("OEBPS/chatter-nb/0.smil"))
        root = etree.fromstring(archive.read("OEBPS/a.xhtml"))
    texts = {node.get("id"): "".join(node.itertext()) for node in root.iter("*")}
    for par in smil.iter("{*}par"):
        text, audio = par
        times = [round(1000 * float(audio.get(n)[:-1])) for n in ("clipBegin", "clipEnd")]
        yield texts[text.get("src").partition("#")[2]], times


def body_of(path):
    with zipfile.ZipFile(path) as archive:
        return archive.read("OEBPS/a.xhtml")


@pytest.mark.parametrize("seed", range(100))
def test_spans_hold_every_word_once_and_in_order(tmp_path, seed):
    """Of any tree: without them the document is the same, and each has its words' time."""
    tree = Tree(seed)
    path = build_epub(tmp_path / "b.epub", {"a.xhtml": tree.body}, [("A", "a.xhtml")])
    clips = list(read_along(path, tmp_path / "along.epub"))
    assert re.findall("w[0-9]+", " ".join(text for text, _ in clips)) == tree.words
    at_ms = 0
    for text, (start_ms, end_ms) in clips:
        assert start_ms == at_ms
        at_ms = end_ms
        assert end_ms - start_ms == WORD_MS * len(re.findall("w[0-9]+", text))
    assert canonical(body_of(tmp_path / "along.epub"), ()) == canonical(body_of(path))


@pytest.mark.parametrize(
    ("body", "spans"),
    [
        ("<p><b>O</b>nce upon. Then <i>it</i> was.</p>", ["Once upon.", "Then it was."]),
        ("<p><i>One. Two</i> three.</p>", ["One.", "Two", "three."]),
        ("<p><i><b>One</b> two</i> three. <u>Four.</u></p>", ["One two three.", "Four."]),
        ('<p>One<a epub:type="noteref" href="#n">1</a> two.</p>', ["One", "two."]),
        ('<p>So<a epub:type="noteref" href="#n">1</a>. And.</p>', ["So", "And."]),
        ("<p>One <!-- c --><br/>two &lt; three.</p>", ["One two < three."]),
        ('<p>One.<span epub:type="pagebreak" id="p"/> Two.</p>', ["One.", "Two."]),
        ("<table><tr><td>One</td><td>two.</td></tr></table>", ["One", "two."]),
        (
            '<table><tr><td epub:type="z3998:persona">Ann.</td><td>One <i epub:type="z3998:'
            'stage-direction">two.</i> Three.</td></tr><tr><td/><td>Four.</td></tr></table>',
            ["Ann.", "One", "two.", "Three.", "Four."],
        ),
        ("<p>One. * * *</p><p>* * *</p><p>Two.</p>", ["One.", "Two."]),
        ('<p id="cn-1">One.</p>', ["One."]),
    ],
)
def test_a_sentence_has_one_span_where_elements_allow_it(tmp_path, body, spans):
    path = build_epub(tmp_path / "b.epub", {"a.xhtml": body}, [("A", "a.xhtml")])
    texts = [text for text, _ in read_along(path, tmp_path / "along.epub")]
    assert [text.removesuffix(" * * *") for text in texts] == spans
    known = {"cn-1"} if "cn-1" in body else ()
    assert canonical(body_of(tmp_path / "along.epub"), known) == canonical(body_of(path))
