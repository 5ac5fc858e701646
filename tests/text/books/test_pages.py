"""Web pages and Word documents: the article, its chapters, and what is left out."""

import random
import zipfile

import pytest

from chatter_nb.base.errors import InputError
from chatter_nb.text.books.html import read_docx, read_html
from chatter_nb.text.books.skips import AUTO
from chatter_nb.text.files import read_sources

PAGE = (
    '<!doctype html><html lang="en"><head><title>The page</title><script>no()</script></head><body>'
    "<header>Site</header><nav>Menu</nav>{}<aside>Adverts</aside><footer>Imprint</footer></body>"
)
ARTICLE = (
    "<h1>Tale</h1><header>By Aesop</header><p>One&nbsp;day.</p><aside>Quoted</aside><h2>Part</h2>"
    "<p>The end.</p><footer>Written in Samos</footer>"
)
WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


def read(tmp_path, markup, skip=AUTO):
    path = tmp_path / "page.html"
    path.write_bytes(markup if isinstance(markup, bytes) else markup.encode())
    return read_html(path, skip)


def texts(book):
    return [block.text for _, block in book.blocks]


@pytest.mark.parametrize("element", ["article", "main", 'div role="main"'])
def test_the_article_is_read_with_its_own_header(tmp_path, element):
    book = read(tmp_path, PAGE.format(f"<{element}>{ARTICLE}</{element.split()[0]}>"))
    expected = ["Tale", "By Aesop", "One\u00a0day.", "Part", "The end.", "Written in Samos"]
    if "div" in element:  # not a part of HTML's: its header may be the page's
        expected = ["Tale", "One\u00a0day.", "Part", "The end."]
    assert texts(book) == expected
    assert [chapter.title for chapter in book.chapters] == ["Tale", "Part"]
    assert (book.title, book.language) == ("The page", "en")
    assert {part.kind for part in book.skipped} == {"headers"}


def test_without_an_article_it_is_the_body_without_what_surrounds_it(tmp_path):
    book = read(tmp_path, PAGE.format(f"<section>{ARTICLE}</section>"))
    assert texts(book) == [
        "Tale",
        "By Aesop",
        "One\u00a0day.",
        "Part",
        "The end.",
        "Written in Samos",
    ]
    small = read(tmp_path, PAGE.format(f"<p>{'A long text. ' * 30}</p><article>Small.</article>"))
    assert len(texts(small)) == 2  # the small article does not hide the long text


def test_skip_none_reads_the_whole_page(tmp_path):
    everything = texts(read(tmp_path, PAGE.format("<p>Text.</p>"), frozenset()))
    assert everything == ["Site", "Menu", "Text.", "Adverts", "Imprint"]


@pytest.mark.parametrize(
    ("encoding", "meta"),
    [("utf-8", ""), ("utf-16", ""), ("cp1252", ""), ("cp1251", '<meta charset="windows-1251">')],
)
def test_a_page_is_decoded_as_it_says(tmp_path, encoding, meta):
    words = "Привет" if encoding == "cp1251" else "naïve café"
    assert texts(read(tmp_path, f"<html>{meta}<p>{words}</p>".encode(encoding))) == [words]


def docx(path, body, **members):
    """A Word document with this body; `members` replace or add members of the archive."""
    types = (
        '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        '<Default Extension="rels" '
        'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Default Extension="xml" ContentType="application/xml"/><Override '
        'PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument.'
        'wordprocessingml.document.main+xml"/></Types>'
    )
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    rels = '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{}'
    first = rels.format(
        f'<Relationship Id="r1" Type="{kind}/officeDocument" Target="word/document.xml"/>'
    )
    notes = rels.format(f'<Relationship Id="r2" Type="{kind}/footnotes" Target="footnotes.xml"/>')
    core = (
        '<c:coreProperties xmlns:c="urn:c" xmlns:dc="http://purl.org/dc/elements/1.1/">'
        "<dc:title>Tales</dc:title><dc:creator>Aesop</dc:creator></c:coreProperties>"
    )
    footnote = f"<w:footnote w:id='2'>{paragraph('A note.')}</w:footnote>"
    files = {
        "[Content_Types].xml": types,
        "_rels/.rels": f"{first}</Relationships>",
        "word/_rels/document.xml.rels": f"{notes}</Relationships>",
        "word/document.xml": f'<w:document xmlns:w="{WORD}"><w:body>{body}</w:body></w:document>',
        "word/footnotes.xml": f'<w:footnotes xmlns:w="{WORD}">{footnote}</w:footnotes>',
        "docProps/core.xml": core,
        **members,
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def paragraph(text, style="", more=""):
    kind = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f'<w:p>{kind}<w:r><w:t xml:space="preserve">{text}</w:t></w:r>{more}</w:p>'


def tale():
    mark = '<w:r><w:footnoteReference w:id="2"/></w:r>'
    return (
        paragraph("Preface.")
        + paragraph("One", "Heading1")
        + paragraph("It was", "", f"{mark}<w:r><w:t> so.</w:t></w:r>")
        + paragraph("Two", "Heading1")
        + paragraph("The end.")
    )


def test_a_word_document_has_its_headings_as_chapters(tmp_path):
    book = read_docx(docx(tmp_path / "tales.docx", tale()), AUTO)
    assert [(c.number, c.title) for c in book.chapters] == [(0, ""), (1, "One"), (2, "Two")]
    assert texts(book) == ["Preface.", "One", "It was so.", "Two", "The end."]
    assert (book.title, book.author) == ("Tales", "Aesop")
    assert {part.kind for part in book.skipped} == {"note marks", "notes"}
    assert "A note. ↑" in texts(read_docx(docx(tmp_path / "b.docx", tale()), frozenset()))


def test_every_word_of_a_word_document_is_read(tmp_path):
    words = [f"w{number}" for number in range(3_000)]
    body = "".join(paragraph(" ".join(words[at : at + 30])) for at in range(0, len(words), 30))
    book = read_docx(docx(tmp_path / "b.docx", body), AUTO)
    assert " ".join(texts(book)).split() == words


def test_text_inside_of_fields_formulas_and_readings_is_read(tmp_path):
    """mammoth leaves out what stands in elements that it does not know."""
    run = "<w:r>{}<w:t>{}</w:t></w:r>"
    ruby = f"<w:ruby><w:rt>{run.format('', 'kan')}</w:rt><w:rubyBase>{run.format('', '漢')}"
    math = (
        '<m:oMath xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math">{}</m:oMath>'
    )
    body = (
        f'<w:p><w:fldSimple w:instr="REF a">{run.format("", "Page 3")}</w:fldSimple>'
        f"<w:r>{ruby}</w:rubyBase></w:ruby></w:r><w:bdo>{run.format('', 'left')}</w:bdo>"
        f"{math.format('<m:f><m:num><m:r><m:t>x</m:t></m:r></m:num></m:f>')}</w:p>"
    )
    assert texts(read_docx(docx(tmp_path / "b.docx", body), AUTO)) == ["Page 3漢leftx"]


@pytest.mark.parametrize("seed", range(20))
def test_a_broken_word_document_is_read_or_refused_in_a_sentence(tmp_path, seed):
    rng, path = random.Random(seed), docx(tmp_path / "b.docx", tale())
    data = bytearray(path.read_bytes())
    for _ in range(4):
        data[rng.randrange(len(data))] = rng.randrange(256)
    path.write_bytes(data[: rng.choice((len(data), len(data) // 2))])
    try:
        book = read_docx(path, AUTO)
    except InputError as error:
        book, reason = None, str(error)
    assert book or reason.startswith("it")


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path):
    path = docx(tmp_path / "b.docx", tale(), **{"word/media/big.bin": bytes(80_000_000)})
    with pytest.raises(InputError, match=r"b.docx cannot be read: .*big.bin' unpacks from"):
        read_sources(path)
