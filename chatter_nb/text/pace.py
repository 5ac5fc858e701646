"""How fast a language is spoken, and so how long a chunk of it may be."""

from __future__ import annotations

from chatter_nb.text.sentences import base_of

# Characters of written text, spaces and marks too, read aloud in a second; rough. English: `plan`
# measures 17 of the embedded voice. News readers take about 270 Chinese characters a minute, 360
# Japanese ones (kana and Chinese characters mixed), 390 Korean ones with their spaces. Where vowels
# are signs of their own (Thai, Hindi) or not written (Arabic, Hebrew) a character is worth its
# share of a syllable, at 4 to 5 syllables a second with pauses (Coupé et al. 2019, without them:
# 4.7 to 8, doi:10.1126/sciadv.aaw2594).
_LATIN_CHARS_PER_S = 15.0
_CHARS_PER_S = {
    "en": 17.0,
    "zh": 4.5,
    "yue": 4.5,
    "ja": 6.0,
    "ko": 6.5,
    "th": 13.0,
    "hi": 12.0,
    "ar": 12.0,
    "he": 12.0,
}
MIN_CHUNK_CHARS = 20


def chars_per_s(language: str) -> float:
    """Roughly how many characters of a language are spoken in a second; `zh-CN` counts as `zh`."""
    return _CHARS_PER_S.get(base_of(language), _LATIN_CHARS_PER_S)


def chunk_limit(chunk_chars: int, language: str) -> int:
    """`chunk_chars`, a limit for Latin text, scaled so that a chunk of `language` lasts as long.

    The result is at most `chunk_chars`, and at least `MIN_CHUNK_CHARS`.
    """
    share = min(1.0, chars_per_s(language) / _LATIN_CHARS_PER_S)
    return max(MIN_CHUNK_CHARS, round(chunk_chars * share))
