"""What a file says about itself, and what FFmpeg calls it. FFmpeg is not needed here."""

from __future__ import annotations

import re
from dataclasses import dataclass

# ISO 639-2, which files use, by ISO 639-1.
_CODES = """ar ara da dan de deu el ell en eng es spa fi fin fr fra he heb hi hin it ita ja jpn
ko kor ms msa nl nld no nor pl pol pt por ru rus sv swe sw swa tr tur zh zho"""
_LANGUAGES = dict(re.findall(r"(\w\w) (\w{3})", _CODES))
MOST_IN_OGG = 1000  # chapters: their numbers have three digits
# What muxers call some fields of `Tags`. Players look for the narrator in the composer's place.
_NAMES = {"title": "title album", "author": "artist album_artist", "read_by": "composer performer"}


@dataclass(frozen=True)
class Tags:
    """What a book's file says about itself; empty is left out.

    `album` and `track` are of a file that is a chapter. `cover` is a JPEG or PNG; opus files carry
    none. `date` is a year or a date, `language` a code of two letters.
    """

    title: str = ""
    author: str = ""
    read_by: str = ""
    date: str = ""
    language: str = ""
    description: str = ""
    cover: bytes | None = None
    album: str = ""
    track: str = ""

    def metadata(self) -> dict[str, str]:
        """The values by FFmpeg's names; without the cover."""
        # 2 is MPEG-4's number of an audiobook. Other formats take no notice.
        values = {"genre": "Audiobook", "media_type": "2", "gapless_playback": "1"}
        for field, value in vars(self).items():
            if value and field != "cover":
                text = _LANGUAGES.get(value, value) if field == "language" else value
                values |= dict.fromkeys(_NAMES.get(field, field).split(), text)
        return values
