"""Uploads: a file picker for large files, a copy button, and what becomes of an uploaded voice.

`ipywidgets.FileUpload` sends a file as a single message. Jupyter's server closes the connection for
a message above 10 MB, which half a minute of studio audio exceeds. The picker here sends a file in
parts, and the browser refuses a file that is too large before it reads the file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from chatter_nb.audio.curves import duration_s
from chatter_nb.base.disk import copy_whole, part_path, writing
from chatter_nb.base.errors import ChatterError, InputError
from chatter_nb.base.formats import RECORDING_SUFFIXES
from chatter_nb.engines.recordings import HEARD_S, MIN_S, read_checked
from chatter_nb.engines.voices import Library, library_of
from chatter_nb.pages.players import asset
from chatter_nb.params.runs import AnyParams

LIMIT_BYTES = 500_000_000  # 47 minutes of 16-bit stereo at 44.1 kHz
PART_BYTES = 2_000_000  # far below the server's 10 MB, large enough to be fast
MAX_NAME_BYTES = 180  # file systems allow 255; suffixes and numbers are added

_FOREIGN = re.compile(r"[^\w .+-]+")


class Upload(anywidget.AnyWidget):
    """A file picker. A complete file is stored in `folder()`; then `on_file(path)` is called.

    The picker shows the sentence that `on_file` returns. If `on_file` raises an error, the picker
    shows the error and the file is removed. No existing file is overwritten.
    """

    _esm = asset("upload.js")
    _css = asset("upload.css")
    label = traitlets.Unicode().tag(sync=True)
    accept = traitlets.Unicode().tag(sync=True)
    disabled = traitlets.Bool(False).tag(sync=True)
    limit_bytes = traitlets.Int(LIMIT_BYTES).tag(sync=True)
    part_bytes = traitlets.Int(PART_BYTES).tag(sync=True)

    def __init__(
        self, label: str, *, accept: str, folder: Callable[[], Path], on_file: Callable[[Path], str]
    ) -> None:
        super().__init__(label=label, accept=accept)
        self._folder, self._on_file = folder, on_file
        self._incoming: _Incoming | None = None
        self._turn: str | None = None
        self.on_msg(self._take)

    def _take(self, widget: Any, content: dict[str, Any], buffers: list[Any]) -> None:
        turn = content.get("turn")
        try:
            text = self._step(content, buffers)
        except ChatterError as error:
            self._drop()
            text = str(error)
        except Exception as error:  # without an answer, the page would wait forever
            self._drop()
            text = f"the upload failed ({type(error).__name__}: {error})"
        if text is None:
            self.send({"kind": "more", "turn": turn})
        else:
            self.send({"kind": "done", "turn": turn, "text": text})

    def _step(self, content: dict[str, Any], buffers: list[Any]) -> str | None:
        """Process a message; return None to ask for the next part, or a sentence at the end."""
        if content["kind"] == "begin":
            self._drop()
            self._incoming = _Incoming(self._folder(), content, self.limit_bytes)
            self._turn = content.get("turn")
            return None
        if self._incoming is None or content.get("turn") != self._turn:
            raise InputError("the kernel knows nothing of this upload: choose the file again")
        self._incoming.add(content["offset"], buffers)
        if not content["last"]:
            return None
        path, self._incoming = self._incoming.finish(), None
        try:
            return self._on_file(path)
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def _drop(self) -> None:
        if self._incoming is not None:
            self._incoming.drop()
            self._incoming = None


class CopyButton(anywidget.AnyWidget):
    """A button that copies the result of `text()` to the clipboard, unless it is None."""

    _esm = asset("copy.js")
    _css = asset("upload.css")
    label = traitlets.Unicode().tag(sync=True)
    tooltip_text = traitlets.Unicode().tag(sync=True)

    def __init__(self, label: str, *, tooltip: str, text: Callable[[], str | None]) -> None:
        super().__init__(label=label, tooltip_text=tooltip)
        self._text = text
        self.on_msg(self._answer)

    def _answer(self, widget: Any, content: dict[str, Any], buffers: list[Any]) -> None:
        text = self._text()
        if text is not None:
            self.send({"text": text})


class _Incoming:
    """A file that is being received: its parts in order, under a temporary name."""

    def __init__(self, folder: Path, content: dict[str, Any], limit_bytes: int) -> None:
        self._path = path = folder / safe_name(str(content["name"]))
        self._part = part_path(path)
        self._size, self._received_bytes = int(content["size"]), 0
        if self._size > limit_bytes:
            raise InputError(
                f"{path.name} has {self._size / 1e6:,.0f} MB; "
                f"up to {limit_bytes / 1e6:,.0f} MB can be uploaded: "
                "put it beside the notebook and give its path instead"
            )
        if self._size == 0:
            raise InputError(f"{path.name} is empty")
        with writing(path):
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self._part.open("wb")

    def add(self, offset: int, buffers: list[Any]) -> None:
        data = b"".join(bytes(buffer) for buffer in buffers)
        if offset != self._received_bytes or offset + len(data) > self._size:
            raise InputError(f"{self._path.name} did not come in order: choose it again")
        with writing(self._path):
            self._file.write(data)
        self._received_bytes += len(data)

    def finish(self) -> Path:
        """Give the file its final name, with a number if a file of that name exists."""
        self._file.close()
        if self._received_bytes != self._size:
            self.drop()
            raise InputError(f"{self._path.name} came only in part: choose it again")
        with writing(self._path):
            return self._part.rename(free_name(self._path))

    def drop(self) -> None:
        self._file.close()
        self._part.unlink(missing_ok=True)


def safe_name(name: str) -> str:
    """Return a file's name without folders and without characters that are special in a shell."""
    last = re.split(r"[/\\]", name)[-1]
    stem, dot, suffix = last.rpartition(".")
    clean = _FOREIGN.sub("-", stem if dot else suffix).strip(" .-")
    clean = clean.encode()[:MAX_NAME_BYTES].decode(errors="ignore") or "upload"
    ending = _FOREIGN.sub("", suffix)[:8] if dot else ""
    return f"{clean}.{ending}" if ending else clean


def free_name(path: Path, *, taken: Collection[str] = ()) -> Path:
    """Return `path`, with a number if the file exists or its stem is one of `taken`."""
    free, number = path, 1
    while free.exists() or free.stem in taken:
        number += 1
        free = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return free


def receive_voice(path: Path, params: AnyParams) -> tuple[str, str]:
    """Move an uploaded recording into the voices folder; return the voice's name and a sentence.

    Raises `InputError` for a file that is no recording, silent or too short; the file stays.
    """
    notes = check_upload(path)
    voice = _move(path, library_of(params))
    message = "; ".join([f"voice '{voice.stem}' is ready, {duration_s(voice):.1f} s", *notes])
    return voice.stem, message


def check_upload(path: Path, *, min_s: float = MIN_S, heard_s: float = HEARD_S) -> list[str]:
    """Return notes about a recording. Raises `InputError` for a file that cannot be used."""
    if path.suffix.lower() not in RECORDING_SUFFIXES:
        known = ", ".join(RECORDING_SUFFIXES)
        reason = f"its name ends in none of {known}"
        raise InputError(f"{path.name} is no recording that can be read: {reason}")
    return read_checked(path, where=path.name, min_s=min_s, heard_s=heard_s)[-1]


def _move(path: Path, library: Library) -> Path:
    """Move a file to the voices; a name that is taken, with any suffix, gets a number."""
    with writing(library.folder), library.naming():
        target = free_name(library.folder / path.name, taken=library.names())
        copy_whole(path, target)  # the voices may be on another disk, such as Drive
    path.unlink()
    return target
