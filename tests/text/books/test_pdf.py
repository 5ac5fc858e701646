"""PDF: lines to paragraphs in reading order, without running heads; chapters of the outline."""

import gzip
import random
import re
from collections import Counter

import pypdfium2
import pytest
from browser import browser_page
from debian import unpack

from chatter_nb.base.errors import InputError
from chatter_nb.text.books import pdf
from chatter_nb.text.books.pdf import read_pdf
from chatter_nb.text.books.reading import read_book
from chatter_nb.text.books.skips import CLEANINGS
from chatter_nb.text.files import read_sources

STYLE = "p { margin: 0 0 1em; text-align: left } h1 { break-before: page } "
NARROW = "p { width: 5em; hyphens: manual } "
PACKAGES = (
    *("bash-doc", "debian-faq", "debian-policy", "debian-reference-en", "developers-reference"),
    *("latex2html", "libmpfr-doc", "maint-guide", "nettle-dev", "r-doc-pdf"),
)
TITLE = re.compile(r"(?i)(?:chapter|appendix)(?: \w+)?")  # on its first page
MOST_HEADS_A_PAGE = 0.05


def print_pdf(path, body, style="", **options):
    """What Chromium prints of a page, A5 with margins of 2 cm, tagged, with its outline."""
    with browser_page() as page:
        page.set_content(f"<html lang=en><title>A tale</title><style>{STYLE}{style}</style>{body}")
        margin = dict.fromkeys(("top", "bottom", "left", "right"), "2cm")
        page.pdf(path=path, format="A5", margin=margin, outline=True, tagged=True, **options)
    return path


def words_of(number, count=300):
    return " ".join(f"w{number}x{n}" for n in range(count)) + "."


@pytest.fixture(scope="module")
def tale(tmp_path_factory):
    """Two chapters of several pages with a running head, and page numbers below."""
    path = tmp_path_factory.mktemp("pdf") / "tale.pdf"
    body = "".join(
        f"<h1>Chapter {n}</h1><p>{words_of(n)}</p><h2>A part</h2><p>{words_of(f'p{n}')}</p>"
        for n in (1, 2)
    )
    head = '<div style="font-size: 9px; margin-left: 2cm">The running head</div>'
    foot = '<div style="font-size: 9px; margin-left: 2cm"><span class=pageNumber></span></div>'
    return print_pdf(
        path, body, display_header_footer=True, header_template=head, footer_template=foot
    )


def texts(book):
    return [block.text for _, block in book.blocks]


def test_every_word_is_read_once_and_in_order(tale):
    """Paragraphs go on over pages; running heads and page numbers are out, and told."""
    book = read_book(tale)
    assert texts(book) == [
        text for n in (1, 2) for text in (f"Chapter {n}", words_of(n), "A part", words_of(f"p{n}"))
    ]
    pages = len(pypdfium2.PdfDocument(tale))
    assert pages > 4
    assert Counter(part.kind for part in book.skipped) == {"pages": 2 * pages}
    assert book.title == "A tale"


def test_running_heads_can_be_kept(tale):
    (source,) = read_sources(tale, clean="-pages")
    pages = len(pypdfium2.PdfDocument(tale))
    assert source.text.count("The running head") == pages


def test_nothing_is_cleaned_with_none(tale):
    (source,) = read_sources(tale, clean="none")
    assert "The running head" in source.text
    assert not source.note


def test_the_outline_has_the_chapters(tale):
    book = read_pdf(tale, CLEANINGS)
    titles = [(chapter.title, chapter.level) for chapter in book.chapters]
    assert titles == [("Chapter 1", 1), ("A part", 2), ("Chapter 2", 1), ("A part", 2)]
    assert [chapter.blocks[0].kind for chapter in book.chapters] == ["heading"] * 4
    assert book.chapters[0].blocks[1].place == "tale.pdf#page 1"
    assert book.chapters[2].blocks[0].place != "tale.pdf#page 1"


def test_columns_are_read_one_after_the_other(tmp_path):
    one, two = words_of(1, 60), words_of(2, 60)
    columns = f'<div style="columns: 2; column-gap: 1cm"><p>{one}</p><p>{two}</p></div>'
    path = print_pdf(
        tmp_path / "a.pdf", f"<p>{words_of(0, 40)}</p>{columns}<p>{words_of(3, 40)}</p>"
    )
    assert (
        " ".join(texts(read_pdf(path, CLEANINGS))).split()
        == " ".join([words_of(0, 40), one, two, words_of(3, 40)]).split()
    )


def test_divided_words_are_made_whole(tmp_path):
    body = "<p>The respon&shy;sibilities of a well-known man are many, and nega&shy;tive too.</p>"
    path = print_pdf(tmp_path / "a.pdf", body, NARROW)
    assert texts(read_pdf(path, CLEANINGS)) == [
        "The responsibilities of a well-known man are many, and negative too."
    ]
    assert "respon‐ sibilities" in texts(read_pdf(path, ()))[0]


def test_paragraphs_and_items_are_apart(tmp_path):
    """By the gap above, by the first line's indent, and by the mark of an item."""
    indent = "p { margin: 0; text-indent: 2em } p:first-child { text-indent: 0 } "
    body = f"<div><p>{words_of(1, 40)}</p><p>{words_of(2, 40)}</p></div>"
    items = f"<ol><li>{words_of(3, 30)}</li><li>{words_of(4, 30)}</li></ol>"
    read = texts(read_pdf(print_pdf(tmp_path / "a.pdf", body + items, indent), CLEANINGS))
    assert read == [
        words_of(1, 40),
        words_of(2, 40),
        f"1. {words_of(3, 30)}",
        f"2. {words_of(4, 30)}",
    ]


def test_pictures_of_pages_are_refused_with_the_cure(tmp_path):
    path = print_pdf(tmp_path / "a.pdf", "<svg width=50 height=50><rect width=9 height=9 /></svg>")
    with pytest.raises(InputError, match=r"a.pdf cannot be read: it has no text: .* \(OCR\)"):
        read_sources(path)


@pytest.mark.parametrize("seed", range(10))
def test_a_broken_pdf_is_read_or_refused_in_a_sentence(tale, tmp_path, seed):
    rng, path = random.Random(seed), tmp_path / "b.pdf"
    data = bytearray(tale.read_bytes())
    for _ in range(40):
        data[rng.randrange(len(data))] = rng.randrange(256)
    path.write_bytes(data[: rng.choice((len(data), len(data) // 2))])
    try:
        book, reason = read_book(path), ""
    except InputError as error:
        book, reason = None, str(error)
    assert book or re.search(r"b.pdf cannot be read: it", reason)


@pytest.fixture(scope="module")
def debian_pdfs(tmp_path_factory):
    """Ten manuals of Debian's packages, by apt; skipped where there is no apt or no network."""
    paths = []
    for inside in unpack(PACKAGES, tmp_path_factory.mktemp("debian")):
        for packed in inside.rglob("*.pdf.gz"):
            packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
        found = [
            path for path in inside.rglob("*.pdf") if path.is_file() and "ref" not in path.stem
        ]
        found = found or [path for path in inside.rglob("*.pdf") if path.is_file()]
        paths.append(max(found, key=lambda path: path.stat().st_size))
    return paths


def likeness(line):
    return re.sub(r"\d+", "#", " ".join(line.lower().split()))


@pytest.mark.slow
def test_running_heads_of_debians_manuals_are_left_out(debian_pdfs):
    """What stands first or last on three pages or more, or is a number alone, is a running head."""
    assert len(debian_pdfs) == 10
    for path in debian_pdfs:
        pages = [
            pdf._in_order(list(pdf._lines(page, n)), page.get_width())
            for n, page in enumerate(pypdfium2.PdfDocument(path))
        ]
        pages = [[line.text for line in page] for page in pages if page]
        gone = pdf.running_heads(pages)
        edges = [(at, n) for at, page in enumerate(pages) for n in {0, len(page) - 1}]
        often = Counter(likeness(pages[at][n]) for at, n in edges)
        heads = [
            (at, n)
            for at, n in edges
            if (often[likeness(pages[at][n])] > 2 and not TITLE.fullmatch(pages[at][n]))
            or re.fullmatch(r"\d+|[ivx]+", pages[at][n])
        ]
        left = [pages[at][n] for at, n in heads if (at, n) not in gone]
        print(
            f"{path.name}: {len(pages)} pages, {len(gone)} left out, {len(left)} left: {left[:9]}"
        )
        assert len(left) <= MOST_HEADS_A_PAGE * len(pages)
        assert len(gone) >= len(heads) / 2
