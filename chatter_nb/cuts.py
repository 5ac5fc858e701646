"""Where a sentence that is too long to be spoken in one go may be cut, in any script.

Not here: where sentences end (`sentencex` finds that), and how they are packed (`text`).
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
_VIRAMA = 9  # Unicode's combining class of marks that tie two consonants into one sign


def cut(sentence: str, limit: int) -> Iterator[str]:
    """Parts of at most `limit` characters, spaces at their ends apart; joined, the sentence."""
    while len(sentence.rstrip()) > limit:
        at = _cut_position(sentence, limit)
        yield sentence[:at]
        sentence = sentence[at:]
    yield sentence


def _cut_position(sentence: str, limit: int) -> int:
    """Where to cut, near to parts of equal length: very short ones are what engines say worst."""
    target = len(sentence) / math.ceil(len(sentence) / limit)
    tags = _within_tags(sentence, limit)
    for places in _places(sentence[: limit + 1], limit):
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


def _places(reach: str, limit: int) -> Iterator[list[int]]:
    """Places to cut, the best kind first: clause marks, spaces, between words of no spaces.

    Where the script has no spaces, a single one near the beginning makes no good part.
    """
    near = limit // 4
    clauses = [found.end() for found in _CLAUSE_END.finditer(reach)]
    yield [at for at in clauses if near <= at and TAG.sub("", reach[:at]).strip()]
    spaces = [found.end() for found in _SPACE.finditer(reach)]
    unspaced = [at for at in range(1, len(reach)) if _is_unspaced(reach[at - 1], reach[at])]
    yield [at for at in spaces if near <= at] if unspaced else spaces
    yield unspaced
    yield spaces


def _is_unspaced(before: str, after: str) -> bool:
    """Whether two words may meet there without a space: no mark parted from its word, no number
    from what it counts."""
    return (
        bool(_UNSPACED.match(before) or _UNSPACED.match(after))
        and unicodedata.category(after) not in ("Pe", "Pf", "Po", "Zs")
        and unicodedata.category(before) not in ("Ps", "Pi", "Nd")
    )


def _separable(text: str, at: int) -> bool:
    """Whether a cut there parts no letter from its accents or vowels, and no emoji."""
    before, after = text[at - 1], text[at]
    return not (
        unicodedata.category(after) in ("Mn", "Mc", "Me")
        or unicodedata.combining(before) == _VIRAMA
        or "\u200d" in (before, after)
        or _NEVER_FIRST.match(after)
        or _NEVER_LAST.match(before)
    )


def _within_tags(sentence: str, limit: int) -> set[int]:
    """The places inside tags. One that is over the limit itself has to be cut like any text."""
    found = TAG.finditer(sentence, 0, limit + MAX_TAG_CHARS + 2)
    return {at for tag in found if len(tag[0]) <= limit for at in range(tag.start() + 1, tag.end())}
