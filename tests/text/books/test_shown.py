"""Documents beside what Chromium shows of them: every letter once and in order, none lost.

Debian's own, ones that pandoc, Sphinx and dbtoepub make of the same texts, generated ones, and
pages with broken tags.
"""

import posixpath
import random
import re
import subprocess
import unicodedata
import zipfile
from collections import Counter
from urllib.parse import unquote

import pytest
from browser import browser_page
from debian import needs_makers, unpack
from epubs import build_epub
from lxml import etree
from trees import Tree

from chatter_nb.text.books.epub import read_epub
from chatter_nb.text.books.html import read_docx, read_html
from chatter_nb.text.books.skips import AUTO

pytestmark = pytest.mark.slow

BOOKS = ("ubuntu-packaging-guide-epub", "live-manual-epub", "debian-policy")
PAGES = ("debian-faq", "latex2html", "libmpfr-doc", "developers-reference")
LEAST_RECALL = 0.995
SHOWN = """paths => {
    const gone = paths.map(path => path.split("/").slice(1).reduce(
        (node, number) => node.children[number - 1], document.documentElement));
    gone.forEach(node => node.remove());
    document.querySelectorAll("details").forEach(node => { node.open = true; });
    return document.body.innerText;
}"""
SCRIPT = re.compile(rb"(?is)<script.*?</script>|<meta[^>]*refresh[^>]*>")
EVERY_FORM = """---
title: Every form
author: Aesop
---

Before the first heading.

# One *em*, `code` and a note[^1]

**Bold**^sup^~sub~, [small]{.smallcaps}, a [link](#two) -- "quotes", \\$5 & <https://a.org>.

[^1]: A note of two paragraphs.

    The second:

    - with
    - a list

| A line
|    of verse

Term
:   Its meaning

    goes on

## Two {#two}

1. first

   goes on

   i. inner
      - deep
- [ ] task

> Quoted
>
> > twice

```{.python .numberLines startFrom="3"}
def f(x):
    return x < 3 & 4
```

Let $a^2 + \\frac{b}{c}$ be less than $$\\int_0^1 \\sqrt{x}\\,dx.$$

+---------------+---------------+
| Fruit         | Advantages    |
+===============+===============+
| Bananas       | - built-in    |
|               | - bright      |
+---------------+---------------+

: A table *with* caption

# End^[inline note]

Ends.
"""
WEB_FORMS = """
<details><summary>More</summary><p>inside</p></details>
<svg xmlns="http://www.w3.org/2000/svg"><text y="15">Drawn</text><desc>not</desc></svg>
<dialog>not</dialog>
"""


@pytest.fixture(scope="module")
def page():
    with browser_page() as page:
        yield page


def letters(text):
    """Without a formula's italics, which browsers make of plain letters."""
    return re.findall(r"\w", unicodedata.normalize("NFKC", text))


def read_of(book, member=""):
    return "\n".join(
        b.text for _, b in book.blocks if b.place.startswith(f"{member}#" * bool(member))
    )


def shown_of(page, path, gone=()):
    page.goto(path.as_uri(), wait_until="domcontentloaded")
    return page.evaluate(SHOWN, list(gone))


def package(folder):
    """The documents in a book's reading order, and the titles in its contents, as they stand."""
    (opf,) = folder.rglob("*.opf")
    root = etree.parse(opf).getroot()
    items = {node.get("id"): node for node in root.iter("{*}item")}
    names = {
        key: posixpath.normpath(
            posixpath.join(opf.parent.relative_to(folder).as_posix(), unquote(node.get("href")))
        ).partition("#")[0]
        for key, node in items.items()
    }
    spine = dict.fromkeys(names[node.get("idref")] for node in root.iter("{*}itemref"))
    nav = [key for key, node in items.items() if "nav" in node.get("properties", "").split()]
    ncx = [key for key, node in items.items() if "dtbncx" in node.get("media-type")]
    contents = etree.parse(folder / names[(nav or ncx)[0]])
    entries = "//*[local-name()='nav'][contains(@*[local-name()='type'], 'toc')]//*[@href]"
    found = contents.xpath(entries if nav else "//*[local-name()='navLabel']")
    return list(spine), [" ".join("".join(node.itertext()).split()) for node in found]


def compare(page, path, folder):
    """Compare a book with what is shown, document by document; the number of documents.

    Left out of the comparison are those that are skipped whole, and told, and those that are not
    well-formed, and told: Chromium shows an error in their place.
    """
    book = read_epub(path, AUTO)
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)
    spine, titles = package(folder)
    assert [chapter.title for chapter in book.chapters if chapter.number] == titles, path.name
    told = {part.place for part in book.skipped} | set(" ".join(book.notes).split())
    members = [name for name in spine if name not in told]
    for member in members:
        gone = [p.place.partition("#")[2] for p in book.skipped if p.place.startswith(f"{member}#")]
        as_xml = (folder / member).rename(folder / f"{member}.xhtml")  # or .html is read as HTML
        shown = shown_of(page, as_xml, gone)
        assert letters(read_of(book, member)) == letters(shown), (path.name, member)
    return len(members)


def test_debians_books_are_read_as_chromium_shows_them(page, tmp_path):
    folders = unpack(BOOKS, tmp_path)
    paths = sorted(path for folder in folders for path in folder.rglob("*.epub"))
    assert len(paths) > 8
    assert sum(compare(page, path, path.with_suffix("")) for path in paths) > 150


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """The chapters of a real book, as reStructuredText, and a text with every form there is."""
    needs_makers()
    folder = tmp_path_factory.mktemp("sources")
    (reference,) = unpack(["developers-reference"], folder)
    for path in reference.rglob("*.rst.txt"):
        (folder / path.stem).write_bytes(path.read_bytes())
    (folder / "conf.py").write_text("project = 'Reference'")
    (folder / "every.md").write_text(EVERY_FORM)
    (folder / "web.md").write_text(WEB_FORMS)
    return folder


def run(folder, *command):
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def pandoc(folder, target, *options):
    """What pandoc makes of the real book, or of every form, as the target's name says."""
    chapters = sorted(set(folder.glob("*.rst")) - {folder / "index.rst"})
    forms = [folder / name for name in ("every.md", "web.md")]
    texts = forms[: 2 if "epub" in target else 1] if target.startswith("every") else chapters
    run(folder, "pandoc", "--quiet", "-s", *options, *texts, "-o", target)
    return folder / target


@pytest.mark.parametrize("name", ["reference", "every"])
@pytest.mark.parametrize(
    "options",
    [("-t", "epub3"), ("-t", "epub2", "--toc", "--mathml", "-N", "--epub-chapter-level=2")],
)
def test_books_of_pandoc_are_read_as_chromium_shows_them(page, sources, tmp_path, name, options):
    path = pandoc(sources, f"{name}.epub", *options, "--metadata", f"title={name}")
    assert compare(page, path, tmp_path) > 2


def test_a_book_of_sphinx_is_read_as_chromium_shows_it(page, sources, tmp_path):
    run(sources, "sphinx-build", "-q", "-b", "epub", ".", tmp_path / "made")
    assert compare(page, tmp_path / "made/Reference.epub", tmp_path / "book") > 8


@pytest.mark.parametrize("name", ["reference", "every"])
def test_a_book_of_dbtoepub_is_read_as_chromium_shows_it(page, sources, tmp_path, name):
    docbook = pandoc(
        sources, f"{name}-docbook.xml", "-t", "docbook5", "--metadata", f"title={name}"
    )
    run(tmp_path, "dbtoepub", docbook)
    assert compare(page, tmp_path / f"{docbook.stem}.epub", tmp_path / "book") > 1


def recall(shown, read):
    """The share of the shown words that are read, each as often as it is shown."""
    words = Counter(re.findall(r"\w+", shown))
    return 1 - (words - Counter(re.findall(r"\w+", read))).total() / words.total()


@pytest.mark.parametrize("name", ["reference", "every"])
def test_word_documents_are_read_as_chromium_shows_their_text(page, sources, name):
    """As the page that pandoc makes of the same text, whose notes are taken out."""
    path = pandoc(sources, f"{name}.docx")
    web = pandoc(sources, f"{name}.html", "--mathml")
    notes = "section.footnotes, a.footnote-ref"
    page.goto(web.as_uri())
    page.evaluate("what => document.querySelectorAll(what).forEach(node => node.remove())", notes)
    shown, read = page.evaluate("document.body.innerText"), read_of(read_docx(path, AUTO))
    print(f"{path.name}: {len(read.split())} words")
    assert letters(read) == letters(shown)


def test_debians_pages_lose_no_word(page, tmp_path):
    """Of four programs that write HTML; with scripts and style sheets out."""
    paths = [path for folder in unpack(PAGES, tmp_path) for path in folder.rglob("*.html")]
    paths = sorted(path for path in paths if path.is_file() and not path.is_symlink())
    assert len(paths) > 80
    shown, read = [], []
    for path in paths:
        path.write_bytes(SCRIPT.sub(b"", path.read_bytes()))
        shown.append(shown_of(page, path))
        read.append(read_of(read_html(path, ())))
        assert recall(shown[-1], read[-1]) >= LEAST_RECALL, path
    share = recall("\n".join(shown), "\n".join(read))
    print(f"{len(paths)} pages, {len(' '.join(shown).split())} words, recall {share:.4%}")


def test_generated_books_are_read_as_chromium_shows_them(page, tmp_path):
    for seed in range(200):
        body = Tree(1_000 + seed).body
        path = build_epub(tmp_path / "b.epub", {"a.xhtml": body}, [("A", "a.xhtml")])
        assert compare(page, path, tmp_path / str(seed)) == 1


def without_a_tag(markup, rng):
    """Markup with a tag missing, doubled, moved to another, or with one that has no meaning."""
    tags = [match.span() for match in re.finditer(r"<[^<>]*>", markup)]
    (start, end), (other, _) = rng.choice(tags), rng.choice(tags)
    tag = markup[start:end]
    stray = rng.choice((tag, "</p>", "</b>", "</foo>", "<3 ", "& ", "&bogus;", "<!x>"))
    kept = rng.choice((tag, ""))
    if other < start:
        return markup[:other] + stray + markup[other:start] + kept + markup[end:]
    return markup[:start] + kept + markup[end:other] + stray + markup[other:]


def test_pages_with_broken_tags_lose_no_letter(page, tmp_path):
    """As browsers repair them; what stands in a table and in no cell may be elsewhere."""
    path = tmp_path / "page.html"
    for seed in range(200):
        rng = random.Random(seed)
        body = without_a_tag(without_a_tag(Tree(seed, with_skips=False).body, rng), rng)
        path.write_text(f"<!doctype html><meta charset=utf-8><title>x</title><body>{body}")
        read, shown = read_of(read_html(path, ())), shown_of(page, path)
        assert Counter(letters(read)) == Counter(letters(shown)), (seed, body)
