"""Builds `params/books/fables.epub`, the sample book, from the fables in `params/texts/fables`.

`python tests/fables_epub.py` writes it; a test compares the bytes. It is an EPUB 3 with a cover, a
title page, contents (nav, and NCX for old readers), a chapter for each fable, and a footnote.
"""

import html
import io
import re
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np

from chatter_nb.text.files import natural_key

ROOT = Path(__file__).resolve().parents[1]
TEXTS = ROOT / "params" / "texts" / "fables"
BOOK = ROOT / "params" / "books" / "fables.epub"
TITLE, AUTHOR, TRANSLATOR = "Three Fables", "Aesop", "George Fyler Townsend"
IDENTIFIER = "urn:uuid:5c1f6f0e-6d0c-4f5e-9a57-6f3b0e0f2c21"
# Where the note's mark stands, and the note.
NOTED = "saw a pitcher"
NOTE = f"Aesop told his fables in Greek, about 600 BC. The English is {TRANSLATOR}'s, of 1867."

SIZE = 480  # of the cover, in pixels
PALETTE = ("f4ead5", "1f3a5f", "e2a03f", "7a9a6b")  # paper, ink, sun, hills
GLYPHS = {  # 5 wide, 7 high
    "A": "01110 10001 10001 11111 10001 10001 10001",
    "B": "11110 10001 10001 11110 10001 10001 11110",
    "E": "11111 10000 10000 11110 10000 10000 11111",
    "F": "11111 10000 10000 11110 10000 10000 10000",
    "H": "10001 10001 10001 11111 10001 10001 10001",
    "L": "10000 10000 10000 10000 10000 10000 11111",
    "O": "01110 10001 10001 10001 10001 10001 01110",
    "P": "11110 10001 10001 11110 10000 10000 10000",
    "R": "11110 10001 10001 11110 10100 10010 10001",
    "S": "01111 10000 10000 01110 00001 00001 11110",
    "T": "11111 00100 00100 00100 00100 00100 00100",
}
HTML = (
    '<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE html>\n'
    '<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops" '
    'lang="en" xml:lang="en">\n<head><title>{title}</title></head>\n'
    "<body>\n{body}\n</body>\n</html>\n"
)
CONTAINER = """<?xml version="1.0" encoding="utf-8"?>
<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container" version="1.0"><rootfiles>
<rootfile full-path="EPUB/package.opf" media-type="application/oebps-package+xml"/>
</rootfiles></container>
"""


def build(path: Path) -> None:
    """Write the book. Nothing is compressed, so that the bytes depend on no version of zlib."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members().items():
            member = zipfile.ZipInfo(name, (2026, 11, 30, 0, 0, 0))
            member.create_system, member.external_attr = 3, 0o644 << 16  # on Windows too
            archive.writestr(member, content)


def members() -> dict[str, str | bytes]:
    """The files of the archive, by name, in their order."""
    files = sorted(TEXTS.iterdir(), key=lambda file: natural_key(file.name))
    fables = [read_fable(file) for file in files]
    documents = {"title.xhtml": ("Title page", title_page()), "nav.xhtml": ("Contents", "")}
    documents |= {f"fable{n}.xhtml": fable for n, fable in enumerate(fables, 1)}
    entries = [(name, title) for name, (title, _) in documents.items()]
    documents["nav.xhtml"] = ("Contents", nav(entries))
    pages = {
        f"EPUB/{name}": HTML.format(title=html.escape(title), body=body)
        for name, (title, body) in documents.items()
    }
    return {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": CONTAINER,
        "EPUB/package.opf": package(list(documents)),
        "EPUB/toc.ncx": ncx(entries),
        "EPUB/cover.png": cover(),
        **pages,
    }


def read_fable(file: Path) -> tuple[str, str]:
    """The title of a fable, and its body: a heading, paragraphs, and the note if it has one."""
    text = re.sub(r"\[pause \w+\] ", "", file.read_text(encoding="utf-8"))
    heading, *paragraphs = text.strip().split("\n\n")
    title = heading.removeprefix("# ")
    body = [f"<section>\n<h1>{html.escape(title)}</h1>"]
    for paragraph in paragraphs:
        marked = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", html.escape(paragraph))
        marked = re.sub(r"\*(.+?)\*", r"<em>\1</em>", marked)
        mark = '<a epub:type="noteref" role="doc-noteref" id="m1" href="#n1">1</a>'
        body.append(f"<p>{marked.replace(NOTED, NOTED + mark, 1)}</p>")
    if NOTED in text:
        note = f'<p>{html.escape(NOTE)} <a role="doc-backlink" href="#m1">Back</a></p>'
        body.append(f'<aside epub:type="footnote" role="doc-footnote" id="n1">{note}</aside>')
    return title, "\n".join([*body, "</section>"])


def title_page() -> str:
    return (
        f'<section epub:type="titlepage">\n<h1>{TITLE}</h1>\n'
        f"<p>By {AUTHOR}, in the English of {TRANSLATOR}.</p>\n</section>"
    )


def nav(entries: list[tuple[str, str]]) -> str:
    items = "\n".join(f'<li><a href="{name}">{title}</a></li>' for name, title in entries)
    start = '<li><a epub:type="bodymatter" href="fable1.xhtml">Start of the text</a></li>'
    return (
        f'<nav epub:type="toc" role="doc-toc"><h1>Contents</h1><ol>\n{items}\n</ol></nav>\n'
        f'<nav epub:type="landmarks" hidden="hidden"><h2>Landmarks</h2><ol>{start}</ol></nav>'
    )


def ncx(entries: list[tuple[str, str]]) -> str:
    points = "\n".join(
        f'<navPoint id="p{n}" playOrder="{n}"><navLabel><text>{title}</text></navLabel>'
        f'<content src="{name}"/></navPoint>'
        for n, (name, title) in enumerate(entries, 1)
    )
    return f"""<?xml version="1.0" encoding="utf-8"?>
<ncx xmlns="http://www.daisy.org/z3986/2005/ncx/" version="2005-1">
<head><meta name="dtb:uid" content="{IDENTIFIER}"/></head>
<docTitle><text>{TITLE}</text></docTitle>
<navMap>
{points}
</navMap>
</ncx>
"""


def package(names: list[str]) -> str:
    nav = 'properties="nav" '
    items = "\n".join(
        f'<item id="{Path(name).stem}" href="{name}" {nav if name == "nav.xhtml" else ""}'
        'media-type="application/xhtml+xml"/>'
        for name in names
    )
    spine = "\n".join(f'<itemref idref="{Path(name).stem}"/>' for name in names)
    return f"""<?xml version="1.0" encoding="utf-8"?>
<package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="id" xml:lang="en">
<metadata xmlns:dc="http://purl.org/dc/elements/1.1/">
<dc:identifier id="id">{IDENTIFIER}</dc:identifier>
<dc:title>{TITLE}</dc:title>
<dc:creator>{AUTHOR}</dc:creator>
<dc:contributor>{TRANSLATOR}</dc:contributor>
<dc:language>en</dc:language>
<dc:date>1867</dc:date>
<dc:description>Three fables: the wind, the crow, the hare.</dc:description>
<dc:rights>Public domain</dc:rights>
<meta property="dcterms:modified">2026-11-30T00:00:00Z</meta>
<meta name="cover" content="cover"/>
</metadata>
<manifest>
<item id="cover" href="cover.png" media-type="image/png" properties="cover-image"/>
<item id="ncx" href="toc.ncx" media-type="application/x-dtbncx+xml"/>
{items}
</manifest>
<spine toc="ncx">
{spine}
</spine>
</package>
"""


def cover() -> bytes:
    """The sun over hills, and the title, as a PNG of four colours."""
    y, x = np.mgrid[:SIZE, :SIZE].astype(float)
    across, up = x - SIZE / 2, SIZE * 0.65 - y
    far = np.hypot(across, up)
    rays = (np.sin(np.arctan2(up, across) * 12) > 0.55) & (far > 88) & (far < 132)
    image = np.zeros((SIZE, SIZE), np.uint8)
    image[(far < 70) | rays] = 2
    image[y > SIZE * 0.78 + 30 * np.sin(x / SIZE * 5.5)] = 3
    image[y > SIZE * 0.86 + 22 * np.sin(x / SIZE * 4 + 2.5)] = 1
    write(image, "THREE", 28, scale=9)
    write(image, "FABLES", 104, scale=9)
    palette = bytes.fromhex("".join(PALETTE))
    pixels = image.reshape(SIZE, -1, 4) @ np.array([64, 16, 4, 1], np.uint8)  # 2 bits each
    rows = np.diff(pixels, axis=0, prepend=np.zeros((1, SIZE // 4), np.uint8))  # filter 2: up
    data = np.insert(rows, 0, 2, axis=1).tobytes()
    packer = zlib.compressobj(9, zlib.DEFLATED, 15, 9, zlib.Z_RLE)  # the same by every zlib
    header = struct.pack(">IIBBBBB", SIZE, SIZE, 2, 3, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"PLTE", palette))
    chunks += ((b"IDAT", packer.compress(data) + packer.flush()), (b"IEND", b""))
    file = io.BytesIO(b"\x89PNG\r\n\x1a\n")
    file.seek(0, io.SEEK_END)
    for kind, content in chunks:
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        file.write(struct.pack(">I", len(content)) + kind + content + checksum)
    return file.getvalue()


def write(image: np.ndarray, word: str, top: int, *, scale: int) -> None:
    """Write a word across the middle of the image, in ink."""
    rows = [[bit == "1" for a in word for bit in GLYPHS[a].split()[n] + "0"] for n in range(7)]
    letters = np.kron(np.array(rows), np.ones((scale, scale))) > 0
    left = (SIZE - letters.shape[1] + scale) // 2
    image[top : top + letters.shape[0], left : left + letters.shape[1]][letters] = 1


if __name__ == "__main__":
    build(BOOK)
    print(f"{BOOK.relative_to(ROOT)}: {BOOK.stat().st_size:,} bytes")
