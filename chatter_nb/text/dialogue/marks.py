"""Marks of speakers that an author has set: `[voice: emma]`, `[Anna, angry]`, `Anna:`.

`[voice: x]` is always a mark. The others are marks only of names in the cast, at a line's start; a
name that is one letter away from one of these is a slip, and refused. All else in brackets is text.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

from chatter_nb.base.errors import InputError, Problems, shorten, shown
from chatter_nb.base.speakers import NARRATOR
from chatter_nb.text.line import (
    BLOCK_BREAK,
    CHAPTER_BREAK,
    DIRECTION_END,
    DIRECTION_START,
    GOES_ON,
)
from chatter_nb.text.markup import PAUSE_MARK, is_acted
from chatter_nb.text.spans import Span, tiled

_VOICE = r"\[[^\S\n]*+voice[^\S\n]*+:[^\S\n]*+(?P<voice>[^\s\[\]][^\[\]\n]{0,199})\]"
_BRACKETS = r"^[^\S\n]*\[(?P<inner>[^\[\]\n]{1,80})\]"
_COLON = (
    r"^[^\S\n]*(?P<name>[^\s:\[\]][^:\[\]\n]{0,39}?)(?:[^\S\n]\((?P<mood>[^()\n]{1,40})\))?:(?=\s)"
)
_MARK = re.compile(f"{_VOICE}|{_BRACKETS}|{_COLON}", re.IGNORECASE | re.MULTILINE)
_VOICE_MARK = re.compile(_VOICE, re.IGNORECASE)
_NAME = re.compile(r"[A-Z][\w.'’-]*(?: [A-Z][\w.'’-]*){0,2}")
_PARAGRAPH = re.compile(rf"\n\s*\n|[{BLOCK_BREAK}{CHAPTER_BREAK}]")
_DIRECTION = re.compile(
    rf"{DIRECTION_START}[^{DIRECTION_START}{DIRECTION_END}{BLOCK_BREAK}{CHAPTER_BREAK}]+"
)
DIRECTION = "stage direction"  # the reason of its span
_NARRATOR = "narrator"  # [voice: narrator] ends what another mark began
_ALONE_CHARS = 200  # are looked at on each side of a mark
_FEWEST_LETTERS = 4  # of a name for which a neighbour is a slip: "And:" is none of "Ann:"
_LISTED = 6


class Cast(NamedTuple):
    """The names that a text may use, with their speakers, in lower case; and the moods.

    `pronouns`: "he" or "she" of a speaker; both fit a speaker who is not in it.
    """

    speakers: Mapping[str, str]
    moods: Collection[str] = ()
    pronouns: Mapping[str, str] = MappingProxyType({})

    def speaker(self, name: str) -> str | None:
        """Whose name it is; None if nobody's. "Alg." is Alg too."""
        own = " ".join(name.lower().split())
        return self.speakers.get(own) or self.speakers.get(own.rstrip("."))

    def near(self, name: str) -> str | None:
        """The name of the cast that differs from this one by one letter; None if none does."""
        own = " ".join(name.lower().split())
        close = (known for known in self.speakers if _is_one_edit(own, known))
        found = next((known for known in close if len(known) >= _FEWEST_LETTERS), None)
        speaker = self.speakers.get(found or "", "")
        return speaker if speaker.lower() == found else found


def read_marks(text: str, cast: Cast) -> tuple[list[Span], list[str]]:
    """The spans of a text by its marks, and notes. Raises `ParamError` with every slip in it.

    A mark holds to its paragraph's end, and where nothing follows it there, through the next
    paragraph; `[voice: x]` alone on a line to the next such line, or to the end of the chapter. A
    play's row without a name goes on with the speaker before.
    """
    problems, brackets = Problems(), list[str]()
    spans = list(tiled(_spans(text, cast, problems, brackets), len(text)))
    problems.raise_any()
    return spans, _notes(brackets)


def voices_marked(text: str) -> list[str]:
    """The names in the marks `[voice: …]` of a text."""
    names = dict.fromkeys(match["voice"].strip() for match in _VOICE_MARK.finditer(text))
    return [name for name in names if name.lower() != _NARRATOR]


def read_directions(text: str) -> list[Span]:
    """The narrator's spans for the stage directions of a play."""
    found = _DIRECTION.finditer(text)
    return [Span(match.start(), match.end(), reason=DIRECTION) for match in found]


def _spans(text: str, cast: Cast, problems: Problems, brackets: list[str]) -> Iterator[Span]:
    lasting, speaker, mood, reason, at = NARRATOR, NARRATOR, "", "", 0
    is_held = False  # whether the last mark has had nothing to say yet
    for end, ends_chapter in _paragraph_ends(text):
        if not is_held and not text.startswith(GOES_ON, at):
            speaker, mood, reason = lasting, "", "mark" if lasting else ""
        is_held = is_held and not text[at:end].strip()
        first = at
        for match in _MARK.finditer(text, at, end):
            found = problems.of(partial(_speaker_of, match, cast))
            if found is None:
                brackets += [match[0].strip()] if _is_listed(match) else []
                continue
            yield Span(at, match.start(), "text", speaker, mood, reason)
            (speaker, mood), reason, at = found, "mark", match.end()
            yield Span(match.start(), at, "mark", speaker, mood, reason)
            lasting = speaker if match["voice"] and _is_alone(text, match) else lasting
        is_held = is_held or (at > first and not text[at:end].strip())
        yield Span(at, end, "text", speaker, mood, reason)
        at, is_held = end, is_held and not ends_chapter
        lasting = NARRATOR if ends_chapter else lasting


def _paragraph_ends(text: str) -> Iterator[tuple[int, bool]]:
    """Where each paragraph ends, its break included, and whether a chapter ends there too."""
    for gap in _PARAGRAPH.finditer(text):
        yield gap.end(), CHAPTER_BREAK in gap[0]
    yield len(text), False


def _speaker_of(match: re.Match[str], cast: Cast) -> tuple[str, str] | None:
    """The speaker and the mood of a mark; None if it is text. Raises `InputError` for a slip."""
    if voice := (match["voice"] or "").strip():
        speaker = cast.speaker(voice)
        is_narrator = speaker is None and voice.lower() == _NARRATOR
        return (NARRATOR if is_narrator else speaker or voice), ""
    name, _, mood = (match["inner"] or match["name"]).partition("," if match["inner"] else "\0")
    mood = (mood or match["mood"] or "").strip()
    speaker = cast.speaker(name)
    if speaker is None and (near := cast.near(name)):
        raise InputError(
            f"{shown(match[0].strip())} is no name of the cast: did you mean {near}? "
            "If somebody else speaks here, add that name to the cast"
        )
    if speaker is not None and mood and mood not in cast.moods:
        known = ", ".join(cast.moods) or "none"
        raise InputError(f"{shown(match[0].strip())}: mood {shown(mood)} is not in moods ({known})")
    return None if speaker is None else (speaker, mood)


def _is_alone(text: str, match: re.Match[str]) -> bool:
    """Whether nothing else stands on the line of a mark; in linear time for all marks together."""
    start, end = match.start() - _ALONE_CHARS, match.end() + _ALONE_CHARS
    before = text[max(0, start) : match.start()].rpartition("\n")
    after = text[match.end() : end].partition("\n")
    is_seen = (before[1] or start <= 0) and (after[1] or end >= len(text))  # to the line's ends
    return bool(is_seen) and not (before[2] + after[0]).strip()


def _is_listed(match: re.Match[str]) -> bool:
    """Whether a line's start looks like a mark: brackets that are no pause and no sound, a name."""
    if not match["inner"]:
        return bool(_NAME.fullmatch(match["name"] or ""))
    mark = f"[{match['inner']}]"
    return not PAUSE_MARK.fullmatch(mark) and not is_acted(mark)


def _notes(brackets: list[str]) -> list[str]:
    if not brackets:
        return []
    listed = ", ".join(shorten(mark, 40) for mark in dict.fromkeys(brackets[:_LISTED]))
    more = f" and {len(brackets) - _LISTED} more" if len(brackets) > _LISTED else ""
    cure = "marks are [Name], [Name, mood] and Name: with a name of the cast"
    return [f"{listed}{more}: read as text; {cure}"]


def _is_one_edit(one: str, other: str) -> bool:
    """Whether one letter is another, or one too many, or missing, or two changed places."""
    if one == other or abs(len(one) - len(other)) > 1:
        return False
    at = next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), len(one))
    rest, others = one[at:], other[at:]
    swapped = rest[1::-1] + rest[2:] == others and len(rest) == len(others)
    return rest[1:] == others[1:] or rest[1:] == others or rest == others[1:] or swapped
