"""Splits a text into chunks: cleaned, cut into sentences, packed, each with the pause after it.

No character is ever lost: the chunks' texts, concatenated, are the cleaned text without its pause
marks and with its whitespace collapsed. `text.files` reads files; `cuts` decides where a sentence
that is too long may be cut.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, pairwise
from operator import attrgetter
from types import MappingProxyType

from chatter_nb.base.budget import ask
from chatter_nb.base.errors import InputError
from chatter_nb.base.speakers import NARRATOR
from chatter_nb.text.cuts import cut, parted
from chatter_nb.text.headings import is_heading, set_counted_lines_apart, set_headings_apart
from chatter_nb.text.in_full import in_full
from chatter_nb.text.line import as_line
from chatter_nb.text.markup import TERMINAL_CODE, check_markup
from chatter_nb.text.pace import MIN_CHUNK_CHARS, chunk_limit
from chatter_nb.text.sentences import base_of, sentences
from chatter_nb.text.spans import Span
from chatter_nb.text.spoken.say import BOOK, LEXICON, Change, Spoken, divided, with_changes
from chatter_nb.text.spoken.saying import Saying

# An ornament such as "* * *" is a paragraph of its own without blank lines around it.
_ORNAMENT_LINE = re.compile(r"^[^\S\n]*(?:[*_~=#•·—–-][^\S\n]*){3,}$", re.MULTILINE)

# Layout, not speech: soft hyphen, grapheme joiner, zero-width space, word joiner, byte-order mark,
# what sets the direction of writing, and stray joiners. Joiners shape the letters of Arabic, Indic
# and other scripts, and build emoji; elsewhere voices break the word at them.
_JOINED = "\u0600-\u109f\u1780-\u18af\u2190-\u2bff\ua800-\uabff\ufb50-\ufeff\U00010a00-\U0001faff"
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]"
    rf"|(?<![\u200c\u200d{_JOINED}])[\u200c\u200d]++(?![{_JOINED}])"
)

# [12], [1, 2], [3–5]: up to three digits, so that a year in brackets stays.
_BRACKET_REFERENCE = re.compile(r"(?<![^\S\n])[^\S\n]*\[\d{1,3}(?:\s*[,–-]\s*\d{1,3})*\]")
# Superscript digits after a word of three letters or more, or after closing punctuation: "m²",
# "x²", "(a+b)²" and "10⁶" are powers, not footnotes, and so is "sin²x".
_SUPERSCRIPT_REFERENCE = re.compile(
    r"(?:(?<=[^\W\d_⁰¹²³⁴-⁹]{3})|(?<=[.,;:!?”’\"]))[⁰¹²³⁴-⁹]++(?!\w)"
)
# A letter's accents, however they are written; sorting them takes the square of their number.
MAX_ACCENTS = 100
_SIGNS = re.compile(r"[^\w\s\x00-\x7f]++")

MOST_SPOKEN = 1.5  # characters that are said, for one that a chunk may have
_GAP = " \t\n"  # not a chapter's break
_PAGE_EDGE_CHARS = 200  # are looked at to tell whether a sentence ends with a page


@dataclass(frozen=True)
class Chunk:
    """A piece of text that is spoken in one go, and the silence after it.

    `text` ends with the space before the next chunk; `spoken` is the text for an engine. `block`
    is the number of breaks before it, of blocks and of chapters. `speaker` is "" for the narrator,
    and says it in a `mood`, or in none, for a `reason`. A voice that cannot speak all of it has
    `unspoken`, and `said` in place of the text. `left`: see `Spoken`.
    """

    index: int
    text: str
    pause_ms: int
    language: str = ""
    block: int = 0
    speaker: str = NARRATOR
    mood: str = ""
    reason: str = ""
    changes: tuple[Change, ...] = ()  # from its text to what is said
    unspoken: str = ""  # words and runs of letters, in order, with spaces between them
    said: str | None = None
    left: int = 0

    @cached_property
    def spoken(self) -> str:
        """What is said, for an engine.

        A word of many parts gets spaces, as the time of voices grows with the cube of the parts.
        English abbreviations whose full stop would become a pause are written in full.
        """
        text = (plain(self.text) if self.said is None else self.said).strip()
        return parted(in_full(text) if base_of(self.language) == "en" else text)

    @cached_property
    def heard(self) -> str:
        """What a listener writes down: as `spoken`, but the lexicon's words as they are written."""
        changes = [change for change in self.changes if change.rule not in (LEXICON, BOOK)]
        if self.unspoken or len(changes) == len(self.changes):
            return self.spoken
        return replace(self, said=with_changes(plain(self.text), changes)).spoken

    def as_said(self, spoken: Spoken) -> Chunk:
        """The chunk with what is said for its `plain` text."""
        said = spoken.text if spoken.changes else None
        return replace(self, said=said, changes=spoken.changes, left=spoken.left)

    @cached_property
    def speakable(self) -> bool:
        """Whether the text has a letter or a digit; a lone "* * *" is a pause."""
        return any(map(str.isalnum, self.text if self.said is None else self.said))


def clean(
    text: str,
    *,
    remove_references: bool = False,
    regex_replacements: Mapping[str, str] | None = None,
    language: str = "en",
    counted_lines: bool = True,
) -> str:
    """The text that is shown: in NFC with `\\n` as its only newline, after removals.

    The codes that colour a terminal's text are removed. A form feed, which ends a page, becomes a
    newline, or the end of a paragraph if a sentence of `language` ends before it. `counted_lines`:
    lines whose numbers count on are paragraphs.
    """
    text = composed(text.removeprefix("\ufeff"))
    text = TERMINAL_CODE.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    text = _join_pages(text, language)
    text = _ORNAMENT_LINE.sub(r"\n\g<0>\n", text)
    text = set_headings_apart(text)
    text = set_counted_lines_apart(text) if counted_lines else text
    for pattern, replacement in (regex_replacements or {}).items():
        try:
            text = re.sub(pattern, replacement, text)
        except (re.error, IndexError) as error:
            raise InputError(
                f"regex_replacements: {pattern!r} → {replacement!r}: {error}"
            ) from error
        ask(f"the pattern {pattern!r}")
    if remove_references:
        text = _SUPERSCRIPT_REFERENCE.sub("", _BRACKET_REFERENCE.sub("", text))
        ask("remove_references")
    return text


def split_chunks(
    text: str,
    *,
    chunk_chars: int = 280,
    sentence_pause_ms: int = 250,
    paragraph_pause_ms: int = 600,
    chapter_pause_ms: int = 1500,
    language: str = "en",
    say: Callable[[str], Spoken] = Spoken,
    spans: Sequence[Span] = (),
    sayings: Mapping[str, Saying] = MappingProxyType({}),
) -> list[Chunk]:
    """Pack whole sentences into chunks of at most `chunk_chars` characters.

    Packing starts anew at each paragraph, so that an edit changes only its paragraph. A sentence
    over the limit is cut at clause marks, else at spaces, else (in scripts without spaces) between
    characters; a word or a tag such as `[laugh]` is cut only if it alone is over the limit. Where a
    sentence is cut the pause is 0: its parts are crossfaded. `[pause 800ms]` replaces the silence
    at its place; before the first word it gives a chunk without text. `say` returns what is said
    for a text; a chunk for which much more is said than is written is cut. `spans` tile the text,
    and no chunk has two speakers; `sayings` are of speakers who have their own. Raises `InputError`
    for a mark that is not valid.
    """
    check_markup(text)
    line = as_line(
        text,
        spans,
        sentence_pause_ms=sentence_pause_ms,
        paragraph_pause_ms=paragraph_pause_ms,
        chapter_pause_ms=chapter_pause_ms,
    )
    pauses_ms, default = line.pauses_ms, (language, say, chunk_chars)
    chunks = [Chunk(0, "", pauses_ms[0], language)] if pauses_ms.get(0) else []
    for start, end in pairwise(sorted({0, *pauses_ms, len(line.text)})):
        block = line.blocks[bisect_right(line.blocks, (start, len(text))) - 1][1]
        turn = line.turns[bisect_right(line.turns, start, key=attrgetter("start")) - 1]
        own, said, limit = default
        if saying := sayings.get(turn.speaker):
            own, said, limit = saying.language, saying.say, chunk_limit(limit, saying.language)
        packed = list(_pack_spoken(line.text[start:end], limit, own, said))
        for number, (part, is_whole, spoken) in enumerate(packed, 1):
            pause_ms = sentence_pause_ms if is_whole else 0
            pause_ms = pause_ms if number < len(packed) else pauses_ms.get(end, 0)
            chunk = Chunk(len(chunks), part, pause_ms, own, block, *turn[1:])
            chunks.append(chunk.as_said(spoken))
    return chunks


def plain(text: str) -> str:
    """A chunk's text without layout characters. Voices skip the "b" of "[a](b)": "[a (b)"."""
    return _INVISIBLE.sub("", text).replace("](", " (")


def _join_pages(text: str, language: str) -> str:
    """The text with a newline for each form feed, or a blank line where a paragraph ends."""
    if "\f" not in text:
        return text
    pages = [page.strip(_GAP) for page in text.split("\f") if page.strip(_GAP)]
    joined = pages[:1]
    for page in pages[1:]:
        joined += ["\n\n" if ends_sentence(joined[-1], page, language) else "\n", page]
    return "".join(joined)


def ends_sentence(before: str, after: str, language: str = "en") -> bool:
    """Whether a sentence ends between the texts of two pages, or a heading begins there."""
    before, after = before[-_PAGE_EDGE_CHARS:].rstrip(), after[:_PAGE_EDGE_CHARS].lstrip()
    if is_heading(after.partition("\n")[0].strip()):
        return True
    ends = accumulate(map(len, sentences(f"{before} {after}", language)))
    return not after[:1].islower() and len(before) + 1 in ends


def _pack(text: str, limit: int, language: str) -> Iterator[tuple[str, bool]]:
    """The chunks of a paragraph, filled greedily, each with whether a sentence ends with it."""
    current = ""
    for sentence in sentences(text, language, limit):
        ask("cutting it into chunks")
        *parts, rest = cut(sentence, limit)
        if current and (parts or len((current + rest).rstrip()) > limit):
            yield current, True
            current = ""
        for part in parts:
            yield part, False
        current += rest
    yield current, True


def _pack_spoken(
    text: str, limit: int, language: str, say: Callable[[str], Spoken]
) -> Iterator[tuple[str, bool, Spoken]]:
    """The chunks as of `_pack`, with what is said for each; if that is long, it is cut alone.

    The parts of a sentence are said together: an address or a number that a cut parts keeps its
    words, and the parts have them in turn.
    """
    parts: list[tuple[str, bool]] = []
    for packed in _pack(text, limit, language):
        parts.append(packed)
        if packed[1]:  # it ends a sentence
            said = _said(parts, say)
            sizes = [len(spoken.text) for spoken in said]
            parts = [p for of in zip(parts, sizes, strict=True) for p in _cut(*of, limit, language)]
            said = said if len(said) == len(parts) else _said(parts, say)
            yield from ((*part, spoken) for part, spoken in zip(parts, said, strict=True))
            parts = []


def _cut(
    part: tuple[str, bool], said_chars: int, limit: int, language: str
) -> list[tuple[str, bool]]:
    """A part in smaller ones, if much more is said for it than is written."""
    text, is_whole = part
    if said_chars <= MOST_SPOKEN * limit or len(text) <= MIN_CHUNK_CHARS:
        return [part]
    smaller = max(MIN_CHUNK_CHARS, len(text) * limit // said_chars)
    *heads, (last, _) = _pack(text, smaller, language)
    return [*heads, (last, is_whole)]


def _said(parts: Sequence[tuple[str, bool]], say: Callable[[str], Spoken]) -> list[Spoken]:
    texts = [plain(part) for part, _ in parts]
    return divided(say("".join(texts)), texts)


def composed(text: str) -> str:
    """The text in NFC. Raises `InputError` where a letter has more than `MAX_ACCENTS`."""
    for signs in _SIGNS.finditer(text):
        if signs.end() - signs.start() > MAX_ACCENTS:
            _check_accents(text, signs.start(), signs.end())
    return unicodedata.normalize("NFC", text)


def _check_accents(text: str, start: int, end: int) -> None:
    accents = 0
    for at in range(start, end):
        accents = accents + 1 if unicodedata.combining(text[at]) else 0
        if accents > MAX_ACCENTS:
            letters = at - MAX_ACCENTS  # up to the letter that has them
            raise InputError(
                f"the last letter of {text[max(0, letters - 20) : letters]!r} (character "
                f"{letters:,}) has more than {MAX_ACCENTS} accents: take them out"
            )
