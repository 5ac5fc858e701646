"""Reads a document in a process of its own, with limits of time and memory.

A parser that loops, a decompression that never ends or a crash in a C library then ends in a
sentence, and not the notebook or the server. Text and Markdown are read in place (`text.files`):
nothing is unpacked there.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Collection
from functools import lru_cache
from pathlib import Path

from chatter_nb.base.disk import reading
from chatter_nb.base.errors import InputError, shorten
from chatter_nb.text.books.document import Book
from chatter_nb.text.books.skips import choose_cleanings, choose_kinds

BOOK_SUFFIXES = (".epub", ".docx", ".html", ".htm", ".xhtml", ".pdf")
MAX_S = 120.0  # a long novel takes under 2 s
MAX_MEMORY_BYTES = 2_000_000_000  # of addresses; a long novel takes 0.2 GB


def read_book(path: Path, *, skip: str = "auto", clean: str = "auto") -> Book:
    """The document in a file of one of `BOOK_SUFFIXES`. `skip` and `clean` are the run's.

    Raises `InputError` for what cannot be read, or not within the limits.
    """
    chosen = (choose_kinds(skip), choose_cleanings(clean)[0])
    names = tuple(",".join(sorted(kinds)) for kinds in chosen)
    with reading(str(path)):
        status = path.stat()
    return _read(path, path.absolute(), names, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=2)  # a form asks at every key how long its document is
def _read(
    path: Path, absolute: Path, names: tuple[str, ...], mtime_ns: int, size_bytes: int
) -> Book:
    """The document; the time and the size of its file tell whether it is still the same."""
    where = os.pathsep.join(folder or str(Path.cwd()) for folder in sys.path)
    command = [sys.executable, "-P", "-m", __name__, str(absolute), *names]
    environment = {**os.environ, "PYTHONPATH": where}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, timeout=MAX_S)
    except subprocess.TimeoutExpired:
        raise InputError(
            f"{path} takes more than {MAX_S:.0f} s to read: divide it, or save it in another format"
        ) from None
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        reason = reason or f"its reader ended with {done.returncode}: damaged, or too large"
        raise InputError(f"{path} cannot be read: {shorten(reason, 300)}")
    book: Book = pickle.loads(done.stdout)  # of our own process, which has our rights
    return book


def read_here(path: Path, skip: Collection[str], clean: Collection[str] = ()) -> Book:
    """The document, read in this process, without limits."""
    from chatter_nb.text.books.epub import read_epub
    from chatter_nb.text.books.html import read_docx, read_html
    from chatter_nb.text.books.pdf import read_pdf

    if path.suffix.lower() == ".pdf":
        return read_pdf(path, clean)
    readers = {".epub": read_epub, ".docx": read_docx}
    return readers.get(path.suffix.lower(), read_html)(path, skip)


def _main(path: Path, *names: str) -> None:
    if sys.platform != "win32":
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        most = MAX_MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(hard, MAX_MEMORY_BYTES)
        resource.setrlimit(resource.RLIMIT_AS, (most, hard))
    try:
        book = read_here(path, *(list(filter(None, n.split(","))) for n in names))
    except (InputError, MemoryError) as error:
        sys.exit(str(error) or "it takes too much memory: divide it")
    sys.stdout.buffer.write(pickle.dumps(book))


if __name__ == "__main__":
    _main(Path(sys.argv[1]), *sys.argv[2:])
