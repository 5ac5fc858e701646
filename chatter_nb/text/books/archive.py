"""Members of a zip archive that somebody made: bounded in size, never outside, never encrypted."""

from __future__ import annotations

import posixpath
import zipfile
import zlib
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import unquote, urlsplit

from lxml import etree

from chatter_nb.base.errors import InputError, shorten

MAX_MEMBERS = 20_000
MAX_MEMBER_BYTES = 64_000_000  # a long novel has 3 MB
MAX_BYTES = 256_000_000  # of all members that are read
MAX_RATIO = 200  # unpacked to packed, beyond `_SMALL_BYTES`; prose reaches 4, tables 30
_SMALL_BYTES = 1_000_000
_FONT_SCRAMBLING = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")


class Archive:
    """A zip archive. Every method raises `InputError` for what is damaged, too large or outside."""

    def __init__(self, path: Path) -> None:
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            raise InputError(f"it is no zip archive, or a damaged one: {error}") from None
        self._members = {info.filename: info for info in self._zip.infolist()}
        self._folded = {name.casefold(): name for name in self._members}
        self._read_bytes = 0
        if len(self._members) > MAX_MEMBERS:
            raise InputError(f"it has {len(self._members):,} members; at most {MAX_MEMBERS:,}")
        for name in self._members:
            if name.startswith("/") or ".." in name.replace("\\", "/").split("/"):
                raise InputError(f"its member {shorten(name, 80)!r} leads outside the archive")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._zip.close()

    def __contains__(self, name: str) -> bool:
        return name.casefold() in self._folded

    def read(self, name: str) -> bytes:
        info = self._members.get(self._folded.get(name.casefold(), ""))
        shown = shorten(name, 80)
        if info is None:
            raise InputError(f"its member {shown!r} is missing")
        packed_bytes = max(1, info.compress_size)
        is_bomb = info.file_size > max(_SMALL_BYTES, MAX_RATIO * packed_bytes)
        if is_bomb or info.file_size > MAX_MEMBER_BYTES:
            raise InputError(
                f"its member {shown!r} unpacks from {packed_bytes:,} to {info.file_size:,} bytes: "
                "no book does, and it is not read"
            )
        try:
            with self._zip.open(info) as member:
                data = member.read(info.file_size + 1)  # the header may lie
        except (
            *(zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError),
            *(NotImplementedError, IndexError),
        ) as error:
            raise InputError(f"its member {shown!r} is damaged or encrypted: {error}") from None
        self._read_bytes += len(data)
        if self._read_bytes > MAX_BYTES:
            raise InputError(f"it unpacks to more than {MAX_BYTES:,} bytes: divide it")
        return data

    def xml(self, name: str) -> etree._Element:
        """A member that must be XML, such as a package document."""
        try:
            return etree.fromstring(self.read(name), strict_parser())
        except (etree.XMLSyntaxError, ValueError) as error:
            raise InputError(f"its member {shorten(name, 80)!r} is no XML: {error}") from None

    def check_encryption(self) -> None:
        """Raise `InputError` if more than fonts are encrypted."""
        if "META-INF/encryption.xml" not in self:
            return
        for method in self.xml("META-INF/encryption.xml").iter("{*}EncryptionMethod"):
            if method.get("Algorithm") not in _FONT_SCRAMBLING:
                raise InputError(
                    "it is encrypted (DRM), and cannot be read without its shop's reader: get an "
                    "edition without copy protection"
                )


def strict_parser() -> etree.XMLParser:
    """No entities but XML's own, no DTD, no network, nothing repaired in silence."""
    return etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        remove_pis=True,
        remove_comments=True,
    )


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
    fragment = unquote(parts.fragment)
    if not parts.path:
        return base, fragment
    path = posixpath.normpath(posixpath.join(posixpath.dirname(base), unquote(parts.path)))
    if path.startswith(("../", "/")) or path == "..":
        raise InputError(f"{shorten(href, 80)!r} in {shorten(base, 80)} leads outside the archive")
    return path, fragment
