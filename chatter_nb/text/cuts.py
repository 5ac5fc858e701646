"""Finds where a sentence or a word that is too long to speak in one go may be cut, in any script.

Not here: where sentences end (`sentences`), and how they are packed (`chunking`).
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator

# Sounds that some engines act: [laugh], [clear throat]. Cut only if longer than the limit.
MAX_TAG_CHARS = 30
TAG = re.compile(rf"\[(?=[^\]]{{1,{MAX_TAG_CHARS}}}\])[^\W\d_]+(?: [^\W\d_]+)*\]")

# After a clause mark and the space that follows it; after an em dash between words; after the
# full-width marks, which no space follows, with the quotes and brackets that they close. Not after
# a full stop: where it ends a sentence that is cut already, elsewhere it belongs to "Mr. Smith".
_CLAUSE_END = re.compile(
    r"[,;:!?…،؛؟][)\]”’\"']*\s|[)\]”]\s|[—–]\s|(?<=[^\W\d_])—(?=[^\W\d_])"
    r"|(?:[，、；：。！？､｡]|…{2,}|—{2,})[”’」』）》〉】]*"
)
_SPACE = re.compile(r"\s")
_JOINT = re.compile(r"(?<=\w)[-/_.?&=#+~]+(?=\w)")

# Scripts that put no space between words: Thai and Lao, Burmese, Khmer, kana, Chinese characters.
UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u312f\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]"
)
# Letters that belong to the one before: Thai and Lao vowels written after their consonant, the Thai
# marks of repetition and abbreviation, Korean vowels and finals, small kana and marks of length.
_NEVER_FIRST = re.compile(
    "[ะาำๅๆฯະາຳໆຯ\u1160-\u11ffぁぃぅぇぉっゃゅょゎゕゖァィゥェォッャュョヮヵヶㇰ-ㇿーゝゞヽヾ々〻ｧ-ｰﾞﾟ]"
)
_NEVER_LAST = re.compile("[เแโใไເແໂໃໄ]")  # Thai and Lao vowels written before their consonant
_CLOSING_QUOTE, _HIRAGANA = re.compile("[”’」』]"), re.compile("[ぁ-ゖ]")  # 「…」と
_VIRAMA = 9  # Unicode's combining class of marks that tie two consonants into one sign

# A word's parts: letters, digits, signs ("a-1" has three). Who reads words by their parts compares
# all runs of them: the work grows with the cube of their number.
MAX_PARTS = 20
_LONG_WORD = re.compile(rf"\S{{{MAX_PARTS + 1},}}")
_RULES = "-._=*~#!?…—–"  # many of one of these in a row are one part
_KINDS = {"Lu": "A", "Lt": "A", "Ll": "a", "Lm": "a", "Lo": "a", "Nd": "0"}
_SIGN, _UNSPACED_LETTER = "sign", "unspaced"


def cut(sentence: str, limit: int) -> Iterator[str]:
    """Parts of at most `limit` characters without spaces at their ends; joined, the sentence."""
    start, end = 0, len(sentence.rstrip())
    while end - start > limit:
        # Only the length of the rest matters; copies of it would cost the square of its length.
        reach = sentence[start : start + limit + limit // 4 + MAX_TAG_CHARS + 2]
        at = start + _cut_position(reach, limit, len(sentence) - start)
        yield sentence[start:at]
        start = at
    yield sentence[start:]


def clauses(sentence: str, least: int) -> Iterator[str]:
    """The clauses of a sentence, of at least `least` characters each; joined, the sentence."""
    start, tags = 0, _within_tags(sentence, len(sentence))
    for match in _CLAUSE_END.finditer(sentence):
        end = match.end()
        if end - start >= least and len(sentence) - end >= least and end not in tags:
            yield sentence[start:end]
            start = end
    yield sentence[start:]


def parted(text: str) -> str:
    """The text with spaces inside words of more than `MAX_PARTS` parts, after hyphens or slashes.

    A word without them gets its spaces between other parts. Scripts without spaces stay unchanged.
    """
    return _LONG_WORD.sub(lambda word: _parted(word[0]), text)


def _parted(word: str) -> str:
    pieces, start, parts, before = [], 0, 0, ""
    joint, joint_parts = 0, 0  # after the last hyphen or slash, and the parts up to there
    for at, char in enumerate(word):
        kind = _kind(char) or before
        if kind == _UNSPACED_LETTER:
            parts, joint_parts = 0, 0
        elif kind == _SIGN or kind not in (before, before.lower()):  # "Ab" is one, "aB" two
            parts += 1
        if parts > MAX_PARTS:
            near = joint_parts > MAX_PARTS // 2
            end, parts = (joint, parts - joint_parts) if near else (at, 1)
            pieces.append(word[start:end])
            start, joint_parts = end, 0
        if char in "-/":
            joint, joint_parts = at + 1, parts
        before = kind
    return " ".join([*pieces, word[start:]])


def _kind(char: str) -> str:
    """The kind of part that a character belongs to; empty for a mark on the letter before."""
    category = unicodedata.category(char)
    if category == "Lo" and UNSPACED.match(char):
        return _UNSPACED_LETTER
    if category.startswith("M"):
        return ""
    return _KINDS.get(category) or (char if char in _RULES else _SIGN)


def _cut_position(sentence: str, limit: int, length: int) -> int:
    """Where to cut so that parts have about equal lengths, as engines speak very short parts worst.

    `sentence` may be the beginning of a longer sentence of `length` characters.
    """
    target = length / math.ceil(length / limit)
    tags = _within_tags(sentence, limit)
    for places in _places(sentence, limit):
        fitting = [
            at
            for at in places
            if at < len(sentence)
            and len(sentence[:at].rstrip()) <= limit
            and at not in tags
            and _separable(sentence, at)
        ]
        if fitting:
            return min(fitting, key=lambda at: abs(at - target))
    whole = (at for at in range(limit, 0, -1) if at not in tags and _separable(sentence, at))
    return next(whole, limit)


def _places(sentence: str, limit: int) -> Iterator[list[int]]:
    """Places to cut, by kind, the best kind first: clause marks, spaces, between words of scripts
    without spaces, at the joints of a long word.

    A space near the beginning is left out in scripts without spaces, and if the word after it must
    be cut anyway.
    """
    near, reach = limit // 4, sentence[: limit + 1]
    clauses = [match.end() for match in _CLAUSE_END.finditer(reach)]
    yield [at for at in clauses if near <= at and TAG.sub("", reach[:at]).strip()]
    spaces = [match.end() for match in _SPACE.finditer(reach)]
    spaces = [at for at in spaces if near <= at or not _is_too_long(sentence, at, limit)]
    unspaced = [at for at in range(1, len(reach)) if _is_unspaced(reach[at - 1], reach[at])]
    yield [at for at in spaces if near <= at] if unspaced else spaces
    yield unspaced
    yield spaces
    yield [match.end() for match in _JOINT.finditer(reach) if near <= match.end()]


def _is_too_long(sentence: str, start: int, limit: int) -> bool:
    """Whether the word that begins at `start` is longer than the limit."""
    end = start + limit + 1
    return end <= len(sentence) and not _SPACE.search(sentence, start, end)


def _is_unspaced(before: str, after: str) -> bool:
    """Whether a cut between two characters without a space parts no mark from its word, and no
    number from what it counts."""
    return (
        bool(UNSPACED.match(before) or UNSPACED.match(after))
        and unicodedata.category(after) not in ("Pe", "Pf", "Po", "Zs")
        and unicodedata.category(before) not in ("Ps", "Pi", "Nd")
    )


def _separable(text: str, at: int) -> bool:
    """Whether a cut at a position parts no letter from its accents or vowels, no emoji, and no
    quote from the particle after it."""
    before, after = text[at - 1], text[at]
    return not (
        unicodedata.category(after) in ("Mn", "Mc", "Me")
        or unicodedata.combining(before) == _VIRAMA
        or "\u200d" in (before, after)
        or _NEVER_FIRST.match(after)
        or _NEVER_LAST.match(before)
        or (_CLOSING_QUOTE.match(before) and _HIRAGANA.match(after))
    )


def _within_tags(sentence: str, limit: int) -> set[int]:
    """The positions inside tags, except tags over the limit: these are cut like other text."""
    tags = TAG.finditer(sentence, 0, limit + MAX_TAG_CHARS + 2)
    return {at for tag in tags if len(tag[0]) <= limit for at in range(tag.start() + 1, tag.end())}
