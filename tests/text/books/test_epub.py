"""EPUB to chapters: every visible word once and in order, chapters as the contents have them."""

import zipfile

import pytest
from epubs import HEAD, build_epub

from chatter_nb.base.errors import InputError
from chatter_nb.text.books.document import choose_chapters
from chatter_nb.text.books.epub import read_epub
from chatter_nb.text.books.skips import AUTO
from chatter_nb.text.chunking import clean, split_chunks
from chatter_nb.text.files import read_sources

TWO = {"one.xhtml": "<h1>One</h1><p>First text.</p>", "two.xhtml": "<h1>Two</h1><p>Second.</p>"}
TOC = [("One", "one.xhtml"), ("Two", "two.xhtml")]


def texts(book):
    return [[block.text for block in chapter.blocks] for chapter in book.chapters]


def of_body(tmp_path, body, skip=AUTO, **more):
    """The blocks of an EPUB with one document, of this body."""
    path = build_epub(tmp_path / "b.epub", {"a.xhtml": body}, [("A", "a.xhtml")], **more)
    return read_epub(path, skip)


@pytest.mark.parametrize("version", [2, 3])
def test_chapters_are_the_entries_of_the_contents(tmp_path, version):
    """Titles, order, text and metadata, from nav and from NCX."""
    book = read_epub(build_epub(tmp_path / "b.epub", TWO, TOC, version=version), AUTO)
    assert [(c.number, c.title) for c in book.chapters] == [(1, "One"), (2, "Two")]
    assert texts(book) == [["One", "First text."], ["Two", "Second."]]
    about = (book.title, book.author, book.language, book.date, book.description)
    assert about == ("A book", "Aesop", "en", "1912", "Old tales")
    assert book.notes == ()


def test_a_chapter_may_begin_inside_a_document(tmp_path):
    """A target is file and fragment; before the first is chapter 0; the order is the text's."""
    body = (
        '<p>Before.</p><h2 id="i">I</h2><p>a</p><div><a id="ii"></a><h2>II</h2></div><p>b</p>'
        '<p>c <span id="iii">d</span></p>'
    )
    entries = [("Two", "a.xhtml#ii"), ("One", "a.xhtml#i"), ("Three", "a.xhtml#iii")]
    book = read_epub(build_epub(tmp_path / "b.epub", {"a.xhtml": body}, entries), AUTO)
    assert [(c.number, c.title) for c in book.chapters] == [
        (0, ""),
        (1, "One"),
        (2, "Two"),
        (3, "Three"),
    ]
    assert texts(book) == [["Before."], ["I", "a"], ["II", "b"], ["c d"]]


def test_inline_elements_add_no_space_and_blocks_end_a_paragraph(tmp_path):
    body = (
        '<p><span class="drop">O</span>nce <b>u</b>pon\n  a <i>time</i>,\u00a0so.</p><div>x<p>y</p>'
        "z</div><ul><li>one</li><li>two <ol><li>deep</li></ol></li></ul>"
        "<p>A line<br/>and another</p><table><tr><td>a</td><td>b</td></tr>"
        "<tr><td>Ann </td><td>Who is it? </td><td>I.</td></tr></table>"
    )
    blocks = of_body(tmp_path, body).chapters[0].blocks
    assert [(block.kind, block.text) for block in blocks] == [
        ("paragraph", "Once upon a time,\u00a0so."),
        ("paragraph", "x"),
        ("paragraph", "y"),
        ("paragraph", "z"),
        ("list item", "one"),
        ("list item", "two"),
        ("list item", "deep"),
        ("verse", "A line\nand another"),
        ("table row", "a, b"),
        ("table row", "Ann, Who is it? I."),
    ]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ('<aside epub:type="footnote">not</aside>', "notes"),
        ('<div role="doc-endnotes"><p>not</p></div>', "notes"),
        ('<div class="footnotes">not</div>', "notes"),
        ('<a epub:type="noteref" href="#n">not</a>', "note marks"),
        ('<a href="b.xhtml#n"><sup>1</sup></a>', "note marks"),
        ('<sup><a href="#n">[2]</a></sup>', "note marks"),
        ('<a href="#n">[3]</a>', "note marks"),
        ('<span epub:type="pagebreak">12</span>', "page numbers"),
        ('<span class="pagenum">not</span>', "page numbers"),
        ('<nav epub:type="toc">not</nav>', "contents"),
        ('<nav epub:type="landmarks">not</nav>', "landmarks"),
        ('<section epub:type="index">not</section>', "index"),
        ("<ruby><rt>not</rt></ruby>", "ruby"),
        ('<div role="navigation">not</div>', "headers"),
    ],
)
def test_what_is_not_read_aloud_is_left_out_and_listed(tmp_path, body, kind):
    """By type, role, and class name; with `skip: none` nothing is missing."""
    body = f"<p>Be</p><p>fo{body}re</p>"
    book = of_body(tmp_path, body)
    words = "".join("".join(texts(book)[0]).split())
    assert words == "Before"
    assert [part.kind for part in book.skipped] == [kind]
    assert book.skipped[0].words == 1
    assert len(texts(of_body(tmp_path, body, frozenset()))[0]) >= 2
    assert of_body(tmp_path, body, AUTO - {kind}).skipped == ()


@pytest.mark.parametrize(
    "body",
    [
        '<p>see <a href="#p12">12</a></p>',
        '<p>10<sup>6</sup> and <a href="http://x.org">[1]</a></p>',
        '<p class="noted">kept</p>',
        "<p>a<sup>th</sup></p>",
    ],
)
def test_what_may_be_text_stays(tmp_path, body):
    assert of_body(tmp_path, body).skipped == ()


def test_what_a_browser_does_not_show_is_not_read(tmp_path):
    """Or shows in place of what is not there."""
    body = (
        "<object>be</object><object data='a.svg'>not</object><dialog>not</dialog>"
        "<dialog open='open'>fore</dialog><progress>not</progress><p hidden='hidden'>not</p>"
    )
    assert texts(of_body(tmp_path, body)) == [["be", "fore"]]


def test_documents_outside_the_reading_order_are_left_out(tmp_path):
    path = build_epub(tmp_path / "b.epub", TWO, TOC, linear={"two.xhtml": "no"})
    book = read_epub(path, AUTO)
    assert texts(book) == [["One", "First text."], []]
    assert book.chapters[1].skipped == "nonlinear"
    assert texts(read_epub(path, AUTO - {"nonlinear"}))[1] == ["Two", "Second."]


def test_a_page_of_contents_in_an_old_book_is_left_out(tmp_path):
    """EPUB 2 has no types: a page whose words are links to half of the contents is one."""
    names = [f"{n}.xhtml" for n in range(4)]
    links = "".join(f'<p><a href="{name}">Chapter {name}</a></p>' for name in names)
    documents = {"toc.xhtml": f"<h2>Contents</h2>{links}"} | dict.fromkeys(names, "<p>Text.</p>")
    entries = [("Contents", "toc.xhtml"), *((name, name) for name in names)]
    book = read_epub(build_epub(tmp_path / "b.epub", documents, entries, version=2), AUTO)
    assert (book.chapters[0].skipped, book.chapters[0].blocks) == ("contents", ())
    assert texts(book)[1:] == [["Text."]] * 4


def test_a_spine_that_names_a_document_twice_is_read_once(tmp_path):
    """As one Debian manual does, for each of its headings."""
    path = build_epub(tmp_path / "b.epub", TWO, TOC)
    with zipfile.ZipFile(path) as archive:
        opf = archive.read("OEBPS/content.opf").decode()
    twice = opf.replace("</spine>", '<itemref idref="d0"/></spine>')
    build_epub(path, TWO, TOC, members={"OEBPS/content.opf": twice})
    assert texts(read_epub(path, AUTO)) == [["One", "First text."], ["Two", "Second."]]


def test_contents_that_lead_to_the_wrong_folder_find_the_document_of_that_name(tmp_path):
    """As one Debian guide does."""
    documents = {f"text/{name}": body for name, body in TWO.items()}
    book = read_epub(build_epub(tmp_path / "b.epub", documents, TOC), AUTO)
    assert texts(book) == [["One", "First text."], ["Two", "Second."]]


def test_without_contents_chapters_begin_at_headings(tmp_path):
    book = read_epub(build_epub(tmp_path / "b.epub", TWO, []), AUTO)
    assert [(c.title, c.level) for c in book.chapters] == [("One", 1), ("Two", 1)]


def test_entries_without_a_place_are_told(tmp_path):
    entries = [*TOC, ("Gone", "gone.xhtml"), ("Vague", "two.xhtml#gone")]
    book = read_epub(build_epub(tmp_path / "b.epub", TWO, entries), AUTO)
    assert [c.title for c in book.chapters] == ["One", "Two", "Vague"]
    assert "not in the reading order: Gone" in book.notes[0]
    assert "no such place, so their documents' beginnings: Vague" in book.notes[1]


@pytest.mark.parametrize(
    "document",
    [
        f"{HEAD}<body><p>A <b>bold</p> &amp; unclosed<br>text</body></html>",
        f"{HEAD}<body><p>A bold <title/> &amp; unclosed <i/>text</body>",
        f"{HEAD}<body><a id='x'/><p>A bold &amp; unclosed & text</p></body></html>",
    ],
)
def test_broken_xhtml_is_read_as_html_and_told(tmp_path, document):
    book = of_body(tmp_path, document)
    words = " ".join(" ".join(texts(book)[0]).split())
    assert words in ("A bold & unclosed text", "A bold & unclosed & text")
    assert book.notes == ("not well-formed, and read as HTML: OEBPS/a.xhtml",)


@pytest.mark.parametrize("nothing", [b"", b" \n", b"<?xml version='1.0'?>"])
def test_an_empty_document_is_no_reason_to_refuse_a_book(tmp_path, nothing):
    path = build_epub(tmp_path / "b.epub", TWO, TOC, members={"OEBPS/one.xhtml": nothing})
    book = read_epub(path, AUTO)
    assert texts(book) == [[], ["Two", "Second."]]
    assert book.notes == ("not well-formed, and read as HTML: OEBPS/one.xhtml",)


def test_entities_are_those_of_html_and_no_others(tmp_path, monkeypatch):
    """&nbsp; and &mdash; are characters; a document's own entities are neither read nor fetched."""
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    document = (
        f'<!DOCTYPE html [<!ENTITY x SYSTEM "file://{secret}"><!ENTITY y "yyyy">]>'
        f"{HEAD}<body><p>a&nbsp;b&mdash;c &x; &y;</p></body></html>"
    )
    assert texts(of_body(tmp_path, document)) == [["a\u00a0b—c &x; &y;"]]


def test_authors_pronunciations_are_kept(tmp_path):
    """An alphabet holds for inner elements; what an outer element says is not said by parts."""
    body = (
        '<p>The <span ssml:ph="ˈbæs" ssml:alphabet="ipa">bass</span> swims.</p>'
        '<div ssml:alphabet="x-sampa"><p>A <i ssml:ph="bEIs">bass <b ssml:ph="x">c</b></i>, '
        '<b ssml:alphabet="ipa" ssml:ph="lɛd">lead</b></p></div><h2 ssml:ph="wʌn">I</h2>'
    )
    blocks = of_body(tmp_path, body).chapters[0].blocks
    assert [block.phonemes for block in blocks] == [
        ((4, 8, "ˈbæs", "ipa"),),
        ((2, 8, "bEIs", "x-sampa"), (10, 14, "lɛd", "ipa")),
        ((0, 1, "wʌn", ""),),
    ]


def test_a_place_names_document_and_element(tmp_path):
    blocks = of_body(tmp_path, "<div><p>a</p><p>b</p></div>").chapters[0].blocks
    assert [block.place for block in blocks] == [
        "OEBPS/a.xhtml#/2/1/1",
        "OEBPS/a.xhtml#/2/1/2",
    ]


def encrypted(algorithm):
    return (
        '<encryption xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><EncryptedData '
        f'xmlns="http://www.w3.org/2001/04/xmlenc#"><EncryptionMethod Algorithm="{algorithm}"/>'
        "</EncryptedData></encryption>"
    )


REFUSED = {
    "DRM": {"META-INF/encryption.xml": encrypted("http://www.w3.org/2001/04/xmlenc#aes128-cbc")},
    "leads outside": {"../../etc/passwd": "x"},
    "no book does": {"OEBPS/two.xhtml": b" " * 5_000_000},
    "'' is missing": {"META-INF/container.xml": "<container/>"},
    "no XML": {"OEBPS/content.opf": "<package>"},
    "is missing": {"META-INF/container.xml": '<x><rootfile full-path="no.opf"/></x>'},
    "no reading order": {"OEBPS/content.opf": "<package/>"},
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_cannot_be_read_is_refused_in_a_sentence(tmp_path, reason):
    path = build_epub(tmp_path / "b.epub", TWO, TOC, members=REFUSED[reason])
    with pytest.raises(InputError, match=f"b.epub cannot be read: .*{reason}"):
        read_sources(path)


def test_a_way_out_of_the_archive_is_refused(tmp_path):
    path = build_epub(tmp_path / "b.epub", TWO, [("One", "../../../etc/passwd")])
    with pytest.raises(InputError, match=r"passwd' in OEBPS/nav.xhtml leads outside the archive"):
        read_epub(path, AUTO)


def test_scrambled_fonts_are_no_encryption(tmp_path):
    fonts = {"META-INF/encryption.xml": encrypted("http://www.idpf.org/2008/embedding")}
    path = build_epub(tmp_path / "b.epub", TWO, TOC, members=fonts)
    assert len(read_epub(path, AUTO).chapters) == 2


def test_every_chunk_knows_its_block(tmp_path):
    """By the breaks in the text, which nothing in a document can hold."""
    body = "<h1>Head</h1><p>One.\x1c Two.</p><p>* * *</p><p>Three.</p>".replace("\x1c", "&#x85;")
    (source,) = read_sources(
        build_epub(tmp_path / "b.epub", {"a.xhtml": body, **TWO}, [("A", "a.xhtml"), *TOC])
    )
    chunks = split_chunks(clean(source.text), chapter_pause_ms=9, paragraph_pause_ms=5)
    found = [(chunk.text.strip(), source.book.blocks[chunk.block]) for chunk in chunks]
    assert all(text.split() == block.text.split() for text, (_, block) in found)
    assert [chapter.title for _, (chapter, _) in found] == ["A"] * 4 + ["One"] * 2 + ["Two"] * 2
    assert [chunk.pause_ms for chunk in chunks] == [5, 5, 5, 9, 5, 9, 5, 0]


def test_chapters_are_chosen_by_number(tmp_path):
    book = read_epub(build_epub(tmp_path / "b.epub", TWO, TOC), AUTO)
    assert choose_chapters(book, " 1 - 2") == {1, 2}
    assert choose_chapters(book, "2,2") == {2}
    for wrong, told in (
        ("3", "3 is not there: the contents have 1 to 2"),
        ("2-1", "write numbers"),
    ):
        with pytest.raises(InputError, match=told):
            choose_chapters(book, wrong)
