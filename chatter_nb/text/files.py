"""Reads documents: lists files in natural order, decodes text, turns Markdown into plain text.

Nothing is skipped silently: a file that cannot be read is an error, and all errors of a folder are
reported together. `books` reads other formats; `chunking` cleans the text afterwards.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import charset_normalizer

from chatter_nb.base.disk import reading
from chatter_nb.base.errors import InputError, Problems
from chatter_nb.text.books.document import Book, merge_books
from chatter_nb.text.books.lines import WordJoiner
from chatter_nb.text.books.plain import book_of_text
from chatter_nb.text.books.reading import BOOK_SUFFIXES, read_book
from chatter_nb.text.books.skips import choose_cleanings, in_words
from chatter_nb.text.books.wrapped import book_of_wrapped, is_wrapped
from chatter_nb.text.line import without_breaks
from chatter_nb.text.markdown import markdown_to_text
from chatter_nb.text.markup import foreign_format

MARKDOWN_SUFFIXES = (".md", ".markdown", ".mdown", ".mkd")
TEXT_SUFFIXES = (".txt", ".text", *MARKDOWN_SUFFIXES)
SUFFIXES = (*TEXT_SUFFIXES, *BOOK_SUFFIXES)
OTHER_SUFFIXES = (
    *(".xml", ".rtf", ".tex", ".json", ".srt", ".vtt", ".zip"),
    *(".mobi", ".azw", ".azw3", ".fb2", ".doc", ".odt", ".pages"),
)

MAX_BYTES = 32_000_000  # of a text; a long novel has 1 MB
# Byte-order marks, longest first: UTF-32's begins with UTF-16's.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Code pages of DOS and of the old Mac: almost nobody's files today, yet often the detector's guess
# for a short text in the Western code page.
_UNLIKELY_ENCODINGS = (  # noqa: SIM905  a list literal would take 36 lines
    "mac_cyrillic mac_greek mac_iceland mac_latin2 mac_roman mac_turkish hp_roman8 ptcp154 kz1048 "
    "cp037 cp273 cp424 cp437 cp500 cp720 cp737 cp775 cp850 cp852 cp855 cp857 cp858 cp860 cp861 "
    "cp862 cp863 cp864 cp865 cp866 cp869 cp875 cp1006 cp1026 cp1125 cp1140"
).split()
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1a]")


@dataclass(frozen=True)
class TextSource:
    """A text, the name of its output, and its origin.

    `note` names a guessed encoding, what was left out, or files of the folder that were passed
    over; `is_marked`: its format has marks of its own, as Markdown and EPUB do, which are removed.
    `book` has the chapters of `text`, and the places of its blocks.
    """

    name: str
    text: str
    origin: str = "text"
    note: str = ""
    is_marked: bool = False
    book: Book = field(default_factory=Book)


def read_sources(path: Path, *, skip: str = "auto", clean: str = "auto") -> list[TextSource]:
    """The text of a file, or of all files of a folder in natural order (2 before 10).

    `skip` and `clean` say what is left out, see `books.skips`. The first text's `note` names the
    folder's other files. Raises `InputError` with every problem of every file.
    """
    with reading(f"text file {str(path)[:200]}"):
        files, passed_over = _text_files(path)
    problems = Problems()
    read = partial(_read_file, skip=skip, clean=clean)
    sources: list[TextSource] = [problems.of(partial(read, file)) for file in files]
    if problems.messages:
        raise InputError("\n  ".join(problems.messages))
    if passed_over:
        note = f"{path}: passed over {', '.join(passed_over)}: no text files ({' '.join(SUFFIXES)})"
        sources[0] = replace(sources[0], note="; ".join(filter(None, [note, sources[0].note])))
    return sources


def merge_sources(sources: list[TextSource], name: str, origin: str) -> TextSource:
    """All texts as one, with a chapter break between each two, and their notes."""
    book = merge_books([source.book for source in sources])
    notes = "; ".join(source.note for source in sources if source.note)
    is_marked = all(source.is_marked for source in sources)
    return TextSource(name, book.text, origin, notes, is_marked, book)


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sort key that puts "part 2" before "part 10", and ignores case."""
    parts = re.split(r"([0-9]+)", name.casefold())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part]


def _text_files(path: Path) -> tuple[list[Path], list[str]]:
    """The files to read, and the names of the other files in a folder."""
    if not path.exists():
        raise InputError(f"text file {path} does not exist")
    if path.is_file():
        return [path], []
    if not path.is_dir():
        raise InputError(f"text file {path} is a pipe or a device: save its text in a file")
    files, others = list_folder(path, SUFFIXES)
    if not files:
        raise InputError(f"folder {path} holds no text file ({' '.join(SUFFIXES)})")
    folders = (f.name for f in path.iterdir() if f.is_dir() and not f.name.startswith("."))
    return files, [*(file.name for file in others), *(f"{name}/" for name in sorted(folders))]


def list_folder(folder: Path, suffixes: Sequence[str]) -> tuple[list[Path], list[Path]]:
    """The files of a folder that have one of the suffixes, in natural order, and its other files.

    Hidden files are in neither list.
    """
    files = [file for file in folder.iterdir() if file.is_file() and not file.name.startswith(".")]
    matches = [file for file in files if file.suffix.lower() in suffixes]
    matches.sort(key=lambda file: natural_key(file.name))
    return matches, sorted(set(files) - set(matches))


def _read_file(file: Path, skip: str, clean: str) -> TextSource:
    if file.suffix.lower() in BOOK_SUFFIXES:
        book = read_book(file, skip=skip, clean=clean)
        return _source(file, book, *book.notes, in_words(book.skipped), is_marked=True)
    with reading(f"text file {file}"):
        if file.stat().st_size > MAX_BYTES:
            raise InputError(f"text file {file} has more than {MAX_BYTES:,} bytes: divide it")
        data = file.read_bytes()
    if not data:
        raise InputError(f"text file {file} is empty (0 bytes)")
    _check_format(data[:1000].decode("latin-1"), file)  # a zip archive or a PDF has no encoding
    text, note = _decode(data, file)
    _check_format(text, file)
    text, markdown = without_breaks(text), file.suffix.lower() in MARKDOWN_SUFFIXES
    try:
        names, is_asked = choose_cleanings(clean)
        if not markdown and (is_asked or (names and is_wrapped(text))):
            book = book_of_wrapped(text, file.name, names)
        else:
            book = book_of_text(markdown_to_text(text) if markdown else text, file.name)
            joiner = WordJoiner(text, make_whole="hyphens" in names and not markdown)
            joiner.join(text.splitlines())
            told = "words divided at the end of a line, which clean: hyphens makes whole: "
            note = "; ".join(filter(None, [note, f"{told}{joiner.count}" * bool(joiner.count)]))
    except InputError as error:
        raise InputError(f"text file {file}: {error}") from error
    return _source(file, book, note, in_words(book.skipped), is_marked=markdown)


def _source(file: Path, book: Book, *notes: str, is_marked: bool = False) -> TextSource:
    """The text of a book. Raises `InputError` if it has no word."""
    note = "; ".join(filter(None, notes))
    if not any(char.isalnum() for char in book.text):
        raise InputError(f"text file {file} holds nothing to speak: no letter, no digit. {note}")
    return TextSource(file.stem, book.text, str(file), note, is_marked, book)


def _check_format(text: str, file: Path) -> None:
    """Raise `InputError` for a file of another format, by its suffix or its beginning."""
    suffix = file.suffix.lower()
    kind = foreign_format(text) or (f"a {suffix} file" if suffix in OTHER_SUFFIXES else "")
    if kind:
        raise InputError(
            f"text file {file} is {kind}: its markup would be read aloud. Save it as plain text "
            f"(.txt) or Markdown (.md); files that can be read: {' '.join(SUFFIXES)}"
        )


def _decode(data: bytes, file: Path) -> tuple[str, str]:
    named = next((encoding for mark, encoding in _MARKS if data.startswith(mark)), "utf-8")
    note = ""
    try:
        text = data.decode(named)
    except UnicodeDecodeError as error:
        text, note = _decode_otherwise(data, file, error.start)
    controls = len(_CONTROLS.findall(text))
    if "\x00" in text or controls > len(text) / 20:
        raise InputError(f"text file {file} is binary, not text: save it as UTF-8")
    return text, note


def _decode_otherwise(data: bytes, file: Path, first_bad: int) -> tuple[str, str]:
    """The text and a note: UTF-8 with a few stray bytes, or another encoding."""
    mostly = data.decode("utf-8", errors="surrogateescape")
    stray = [char for char in mostly if "\udc80" <= char <= "\udcff"]
    foreign = sum(char > "\x7f" for char in mostly) - len(stray)
    if foreign >= 3 * len(stray):  # text in another encoding hardly ever forms UTF-8's sequences
        for char in set(stray):
            byte = bytes([ord(char) - 0xDC00])
            mostly = mostly.replace(char, byte.decode("cp1252", errors="replace"))
        where = f"the first at byte {first_bad}"
        return mostly, f"{file.name}: {len(stray)} bytes are not UTF-8, {where}; read as cp1252"
    guess = None if b"\x00" in data else _guess(data)
    if guess is None:
        raise InputError(f"text file {file} is binary, not text: save it as UTF-8")
    note = f"{file.name} is not UTF-8; read as {guess.encoding}: check its accents and quotes"
    return str(guess), note


def _guess(data: bytes) -> charset_normalizer.CharsetMatch | None:
    """The detector's best guess, or the Western code page if that fits about as well.

    Other code pages differ from it in few letters ("naïve", "naďve"), which a short text cannot
    decide; the Western code page is by far the most common.
    """
    best = charset_normalizer.from_bytes(data, cp_exclusion=_UNLIKELY_ENCODINGS).best()
    western = charset_normalizer.from_bytes(data, cp_isolation=["cp1252"]).best()
    if best is None or western is None:
        return best
    as_good = western.chaos <= best.chaos and western.coherence > best.coherence - 0.06
    return western if as_good else best
