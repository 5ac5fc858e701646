"""Members of a zip archive that somebody made: bounded in size, never outside, never encrypted."""

from __future__ import annotations

import posixpath
import zipfile
import zlib
from pathlib import Path
from urllib.parse import unquote, urlsplit

from lxml import etree

from chatter_nb.base.errors import InputError, shorten
from chatter_nb.text.parsers import STRICT

MAX_MEMBERS = 20_000
MAX_MEMBER_BYTES = 64_000_000  # a long novel has 3 MB
MAX_BYTES = 256_000_000  # of all members that are read
MAX_RATIO = 200  # unpacked to packed, beyond a megabyte; prose reaches 4, tables 30
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError, IndexError)


class Archive(zipfile.ZipFile):
    """A zip archive. Every method raises `InputError` for what is damaged, too large or outside."""

    def __init__(self, path: Path) -> None:
        try:
            super().__init__(path)
        except _DAMAGE as error:
            raise InputError(f"it is no zip archive, or a damaged one: {error}") from None
        self._read_bytes = 0
        if len(self.NameToInfo) > MAX_MEMBERS:
            raise InputError(f"it has {len(self.NameToInfo):,} members; at most {MAX_MEMBERS:,}")
        for name in self.NameToInfo:
            if name.startswith("/") or ".." in name.replace("\\", "/").split("/"):
                raise InputError(f"its member {shorten(name, 80)!r} leads outside the archive")

    def member(self, name: str) -> bytes:
        info, title = self.NameToInfo.get(name), shorten(name, 80)
        if info is None:
            raise InputError(f"its member {title!r} is missing")
        most_bytes = min(MAX_MEMBER_BYTES, max(1_000_000, MAX_RATIO * info.compress_size))
        if info.file_size > most_bytes:
            raise InputError(
                f"its member {title!r} unpacks from {info.compress_size:,} to {info.file_size:,} "
                "bytes: no book does, and it is not read"
            )
        try:
            with self.open(info) as member:
                data = member.read(info.file_size)  # the header may lie: its length, no more
        except _DAMAGE as error:
            raise InputError(f"its member {title!r} is damaged or encrypted: {error}") from None
        self._read_bytes += len(data)
        if self._read_bytes > MAX_BYTES:
            raise InputError(f"it unpacks to more than {MAX_BYTES:,} bytes: divide it")
        return data

    def xml(self, name: str, parser: etree.XMLParser = STRICT) -> etree._Element:
        """A member that must be XML, such as a package document."""
        try:
            return etree.fromstring(self.member(name), parser)
        except (etree.XMLSyntaxError, ValueError) as error:
            raise InputError(f"its member {shorten(name, 80)!r} is no XML: {error}") from None


def resolve(base: str, href: str) -> tuple[str, str]:
    """Member and fragment that `href` in member `base` points to; ("", "") for a web address.

    Raises `InputError` for a way out of the archive.
    """
    try:
        parts = urlsplit(href.strip())
    except ValueError:  # as "http://[" is
        return "", ""
    if parts.scheme or parts.netloc:
        return "", ""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(base), unquote(parts.path)))
    if path.startswith(("../", "/")) or path == "..":
        raise InputError(f"{shorten(href, 80)!r} in {shorten(base, 80)} leads outside the archive")
    return path if parts.path else base, unquote(parts.fragment)
