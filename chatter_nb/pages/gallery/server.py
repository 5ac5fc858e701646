"""Serves a gallery to a browser on this machine, so that what is chosen goes into choices.json.

Every address begins with a token that is drawn at the start: no other page, and no other user of
the machine, can read the runs or write the choices. Only files that the page links are served.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from chatter_nb.base.errors import ChatterError
from chatter_nb.base.formats import mime_of
from chatter_nb.batch.choices import CHOICES, parse_choices, save_choices
from chatter_nb.batch.record import is_plain
from chatter_nb.pages.gallery.page import Gallery, read_gallery, render_gallery

MAX_BODY_BYTES = 10_000_000
_IDLE_S = 60  # a connection that says nothing is closed
_BLOCK_BYTES = 1 << 18
_REVIEW = "review.html"  # it links the takes in the folder review/ beside it
_TYPES = {".html": "text/html; charset=utf-8", ".json": "application/json"}


class GalleryServer(ThreadingHTTPServer):
    """Serves the gallery of `folder` at `url`, on 127.0.0.1, until `shutdown`."""

    daemon_threads = True
    allow_reuse_address = os.name != "nt"  # there it would share the port with a stranger

    def __init__(self, folder: Path) -> None:
        try:  # the same port each time: a review keeps its marks in the browser by the address
            super().__init__(("127.0.0.1", _port_of(folder)), _Handler)
        except OSError:  # it is taken
            super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.host = f"127.0.0.1:{self.server_port}"
        self.token = secrets.token_urlsafe(16)
        self.url = f"http://{self.host}/{self.token}/"
        self._names: set[str] = set()

    def handle_error(self, *request: Any) -> None:
        """Say nothing of a browser that has left in the middle of a file."""
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            super().handle_error(*request)

    def page(self) -> bytes:
        """Return the page as the folder is now; what it links can be read from then on."""
        gallery = read_gallery(self.folder)
        self._names = _linked(gallery)
        return render_gallery(gallery, save_to=CHOICES).encode("utf-8", "replace")

    def file(self, name: str) -> Path | None:
        """Return a file by its name relative to the folder, if the page leads to it, else None."""
        run, _, take = name.rpartition("/review/")
        is_take = f"{run}/{_REVIEW}" in self._names and is_plain(take) and take.endswith(".opus")
        path = self.folder / name
        return path if (name in self._names or is_take) and path.is_file() else None


def _port_of(folder: Path) -> int:
    """Return one of the ports that are for private use, the same for the same folder."""
    digest = hashlib.sha256(os.fsencode(folder.resolve())).digest()
    return 49152 + int.from_bytes(digest[:4], "big") % 16384


def _linked(gallery: Gallery) -> set[str]:
    links = [link for row in gallery.rows for link in row.links]
    links += [link for row in gallery.rows for player in row.players for link in player.files]
    return {unquote(link.href, errors="surrogateescape") for link in links}


class _Handler(BaseHTTPRequestHandler):
    server: GalleryServer
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_S

    def do_GET(self) -> None:
        name = self._name()
        if name == "":
            return self._answer(HTTPStatus.OK, self.server.page(), _TYPES[".html"])
        path = self.server.file(name) if name else None
        if path is None:
            return self._refuse(HTTPStatus.NOT_FOUND, "the gallery links no such file")
        self._send_file(path)

    def do_POST(self) -> None:
        origin = self.headers.get("Origin", f"http://{self.server.host}")
        if self._name() != CHOICES or origin != f"http://{self.server.host}":
            return self._refuse(HTTPStatus.NOT_FOUND, "there is nothing to write here")
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > MAX_BODY_BYTES:
            return self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "these are too many choices")
        try:
            changed = parse_choices(self.rfile.read(int(length)), where="the page")
            save_choices(self.server.folder, changed)
        except ChatterError as error:
            return self._refuse(HTTPStatus.BAD_REQUEST, str(error))
        self._answer(HTTPStatus.OK, b"{}", _TYPES[".json"])

    def _name(self) -> str | None:
        """Return what is asked for, after the token; None without the token, or of another host."""
        path = self.path.partition("?")[0]
        _, token, *parts = path.split("/", 2)
        if self.headers.get("Host") != self.server.host or not parts:
            return None
        is_ours = secrets.compare_digest(token.encode(), self.server.token.encode())
        return unquote(parts[0], errors="surrogateescape") if is_ours else None

    def _send_file(self, path: Path) -> None:
        """Send a file, or the range of it that a player asks for after a seek."""
        size = path.stat().st_size
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        first = int(asked[1]) if asked else 0
        last = min(int(asked[2]) if asked and asked[2] else size - 1, size - 1)
        if asked and first > last:
            return self._refuse(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "beyond the end")
        self.send_response(HTTPStatus.PARTIAL_CONTENT if asked else HTTPStatus.OK)
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self._send_headers(_TYPES.get(path.suffix, mime_of(path)), last - first + 1)
        with path.open("rb") as file:
            file.seek(first)
            left = last - first + 1
            while left > 0 and (block := file.read(min(left, _BLOCK_BYTES))):
                self.wfile.write(block)
                left -= len(block)

    def _refuse(self, status: HTTPStatus, sentence: str) -> None:
        self.close_connection = True  # a body that was not read would be taken for a request
        self._answer(status, sentence.encode(), "text/plain; charset=utf-8")

    def _answer(self, status: HTTPStatus, content: bytes, mime: str) -> None:
        self.send_response(status)
        self._send_headers(mime, len(content))
        self.wfile.write(content)

    def _send_headers(self, mime: str, size_bytes: int) -> None:
        headers = {
            "Content-Type": mime,
            "Content-Length": str(size_bytes),
            "Accept-Ranges": "bytes",
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
            "X-Frame-Options": "DENY",
        }
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing: the command's output is for people."""
