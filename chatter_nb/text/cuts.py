"""Where what is too long to be spoken in one go may be cut, sentence or word, in any script.

Not here: where sentences end (`sentences`), and how they are packed (`text`).
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator

# What some engines act rather than read: [laugh], [clear throat]. Never cut, where it fits at all.
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
_UNSPACED = re.compile(
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
    """Parts of at most `limit` characters, spaces at their ends apart; joined, the sentence."""
    start, end = 0, len(sentence.rstrip())
    while end - start > limit:
        # What follows is of no account but for its length; copied, it would cost the square.
        reach = sentence[start : start + limit + limit // 4 + MAX_TAG_CHARS + 2]
        at = start + _cut_position(reach, limit, len(sentence) - start)
        yield sentence[start:at]
        start = at
    yield sentence[start:]


def parted(text: str) -> str:
    """The text with a space in words of more than `MAX_PARTS` parts, after hyphens or slashes.

    Where such a word has none, between other parts. Scripts without spaces have no words here.
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
    """What a part is made of; empty for a mark, which belongs to the letter before."""
    category = unicodedata.category(char)
    if category == "Lo" and _UNSPACED.match(char):
        return _UNSPACED_LETTER
    if category.startswith("M"):
        return ""
    return _KINDS.get(category) or (char if char in _RULES else _SIGN)


def _cut_position(sentence: str, limit: int, length: int) -> int:
    """Where to cut, near to parts of equal length: very short ones are what engines say worst.

    `sentence` may be the beginning of a longer one, of `length` characters in all.
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
    """Places to cut, the best kind first: clause marks, spaces, between words of no spaces, at the
    joints of a long word.

    A space near the beginning makes no good part where the script has no other, nor where the word
    after it has to be cut anyway.
    """
    near, reach = limit // 4, sentence[: limit + 1]
    clauses = [found.end() for found in _CLAUSE_END.finditer(reach)]
    yield [at for at in clauses if near <= at and TAG.sub("", reach[:at]).strip()]
    spaces = [found.end() for found in _SPACE.finditer(reach)]
    spaces = [at for at in spaces if near <= at or not _is_too_long(sentence, at, limit)]
    unspaced = [at for at in range(1, len(reach)) if _is_unspaced(reach[at - 1], reach[at])]
    yield [at for at in spaces if near <= at] if unspaced else spaces
    yield unspaced
    yield spaces
    yield [found.end() for found in _JOINT.finditer(reach) if near <= found.end()]


def _is_too_long(sentence: str, start: int, limit: int) -> bool:
    """Whether the word that begins there is over the limit alone."""
    end = start + limit + 1
    return end <= len(sentence) and not _SPACE.search(sentence, start, end)


def _is_unspaced(before: str, after: str) -> bool:
    """Whether two words may meet there without a space: no mark parted from its word, no number
    from what it counts."""
    return (
        bool(_UNSPACED.match(before) or _UNSPACED.match(after))
        and unicodedata.category(after) not in ("Pe", "Pf", "Po", "Zs")
        and unicodedata.category(before) not in ("Ps", "Pi", "Nd")
    )


def _separable(text: str, at: int) -> bool:
    """Whether a cut there parts no letter from its accents or vowels, no emoji, and no quote from
    the particle after it."""
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
    """The places inside tags. One that is over the limit itself has to be cut like any text."""
    found = TAG.finditer(sentence, 0, limit + MAX_TAG_CHARS + 2)
    return {at for tag in found if len(tag[0]) <= limit for at in range(tag.start() + 1, tag.end())}
