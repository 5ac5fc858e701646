"""Widgets that ipywidgets does not have: a file picker for large files, a copy button.

`ipywidgets.FileUpload` sends a file in one message, which Jupyter's server refuses beyond 10 MB by
closing the connection; half a minute of studio audio is more. Files come in parts here, and one
that is too large is refused in the browser, before a byte of it is read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from importlib import resources
from pathlib import Path
from typing import Any, BinaryIO

import anywidget
import traitlets

from chatter_nb.base.disk import part_path, write_error
from chatter_nb.base.errors import ChatterError, InputError

LIMIT_BYTES = 500_000_000  # an hour and a half of 16-bit stereo at 44.1 kHz, roughly
PART_BYTES = 2_000_000  # far below the server's 10 MB, large enough to be fast
MAX_NAME_BYTES = 180  # a file system takes 255, and parts and numbers are added

_FOREIGN = re.compile(r"[^\w .+-]+")


def page(name: str) -> str:
    """A file of `assets/`: what runs or styles in the browser."""
    return (
        resources.files("chatter_nb.notebook").joinpath("assets", name).read_text(encoding="utf-8")
    )


class Upload(anywidget.AnyWidget):
    """A file picker. `received(path)` is called with each file that has come whole, in `folder()`.

    It returns a sentence for the person; a `ChatterError` that it raises becomes one, and the file
    is removed. Nothing that is there already is overwritten.
    """

    _esm = page("upload.js")
    _css = page("upload.css")
    label = traitlets.Unicode().tag(sync=True)
    accept = traitlets.Unicode().tag(sync=True)
    disabled = traitlets.Bool(False).tag(sync=True)
    limit_bytes = traitlets.Int(LIMIT_BYTES).tag(sync=True)
    part_bytes = traitlets.Int(PART_BYTES).tag(sync=True)

    def __init__(
        self,
        label: str,
        *,
        accept: str,
        folder: Callable[[], Path],
        received: Callable[[Path], str],
    ) -> None:
        super().__init__(label=label, accept=accept)
        self._folder, self._received = folder, received
        self._incoming: _Incoming | None = None
        self._turn: str | None = None
        self.on_msg(self._take)

    def _take(self, widget: Any, content: dict[str, Any], buffers: list[Any]) -> None:
        turn = content.get("turn")
        try:
            told = self._step(content, buffers)
        except ChatterError as error:
            self._drop()
            told = str(error)
        except Exception as error:  # else the page would wait for an answer for ever
            self._drop()
            told = f"the upload failed ({type(error).__name__}: {error})"
        if told is None:
            self.send({"kind": "more", "turn": turn})
        else:
            self.send({"kind": "done", "turn": turn, "told": told})

    def _step(self, content: dict[str, Any], buffers: list[Any]) -> str | None:
        """Take a message; a sentence ends the upload, None asks for more."""
        if content["kind"] == "begin":
            self._drop()
            self._incoming = _Incoming.begin(self._folder(), content, self.limit_bytes)
            self._turn = content.get("turn")
            return None
        if self._incoming is None or content.get("turn") != self._turn:
            raise InputError("the kernel knows nothing of this upload: choose the file again")
        self._incoming.add(content["offset"], buffers)
        if not content["last"]:
            return None
        path, self._incoming = self._incoming.finish(), None
        try:
            return self._received(path)
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def _drop(self) -> None:
        if self._incoming is not None:
            self._incoming.drop()
            self._incoming = None


class CopyButton(anywidget.AnyWidget):
    """Puts what `text()` answers on the clipboard; nothing where it answers None."""

    _esm = page("copy.js")
    _css = page("upload.css")
    label = traitlets.Unicode().tag(sync=True)
    tooltip_text = traitlets.Unicode().tag(sync=True)

    def __init__(self, label: str, *, told: str, text: Callable[[], str | None]) -> None:
        super().__init__(label=label, tooltip_text=told)
        self._text = text
        self.on_msg(self._answer)

    def _answer(self, widget: Any, content: dict[str, Any], buffers: list[Any]) -> None:
        text = self._text()
        if text is not None:
            self.send({"text": text})


class _Incoming:
    """A file on its way in: parts in order, under a temporary name."""

    def __init__(self, part: Path, path: Path, size: int, file: BinaryIO) -> None:
        self._part, self._path, self._size, self._file = part, path, size, file
        self._received = 0

    @classmethod
    def begin(cls, folder: Path, content: dict[str, Any], limit_bytes: int) -> _Incoming:
        size, path = int(content["size"]), folder / safe_name(str(content["name"]))
        if size > limit_bytes:
            raise InputError(
                f"{path.name} has {size / 1e6:,.0f} MB; up to {limit_bytes / 1e6:,.0f} MB can be "
                "uploaded: put it beside the notebook and give its path instead"
            )
        if size == 0:
            raise InputError(f"{path.name} is empty")
        part = part_path(path)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return cls(part, path, size, part.open("wb"))
        except OSError as error:
            raise write_error(path, error) from error

    def add(self, offset: int, buffers: list[Any]) -> None:
        data = b"".join(bytes(buffer) for buffer in buffers)
        if offset != self._received or offset + len(data) > self._size:
            raise InputError(f"{self._path.name} did not come in order: choose it again")
        try:
            self._file.write(data)
        except OSError as error:
            raise write_error(self._path, error) from error
        self._received += len(data)

    def finish(self) -> Path:
        """The file under its name, or under one like it where that is taken by another."""
        self._file.close()
        if self._received != self._size:
            self.drop()
            raise InputError(f"{self._path.name} came only in part: choose it again")
        try:
            path = free_name(self._path)
            self._part.rename(path)
            return path
        except OSError as error:
            raise write_error(self._path, error) from error

    def drop(self) -> None:
        self._file.close()
        self._part.unlink(missing_ok=True)


def safe_name(name: str) -> str:
    """A file's name as a person gave it, without what leads elsewhere or trips a shell."""
    last = re.split(r"[/\\]", name)[-1]
    stem, dot, suffix = last.rpartition(".")
    kept = _FOREIGN.sub("-", stem if dot else suffix).strip(" .-")
    kept = kept.encode()[:MAX_NAME_BYTES].decode(errors="ignore") or "upload"
    ending = _FOREIGN.sub("", suffix)[:8] if dot else ""
    return f"{kept}.{ending}" if ending else kept


def free_name(path: Path, *, taken: Collection[str] = ()) -> Path:
    """`path`, or one like it with a number where a file, or one of the stems `taken`, has it."""
    free, number = path, 1
    while free.exists() or free.stem in taken:
        number += 1
        free = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return free
