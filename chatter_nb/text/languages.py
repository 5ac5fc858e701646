"""Guesses the language of a text by its commonest words; languages in Latin letters only."""

from __future__ import annotations

import re
from collections import Counter

_LOOKED_AT_CHARS = 20_000
_LEAST_WORDS = 3  # different ones of the language's commonest: "no, no, no" is no Spanish
_LEAST_SHARE = 0.12  # of a text's words, that are among them
_COMMONEST = {
    "da": "og det er ikke jeg til af den på der med vi har han hun som",
    "de": "der die und das ist nicht ein eine ich zu den mit von sie auf im es",
    "en": "the and of to in is that it was for a he you i with not be she on",
    "es": "el la de que y los en un las por con una es no se del su",
    "fi": "ja on ei se että oli hän mutta ovat joka kun niin minä",
    "fr": "le la les des et est un une que dans pas pour il je vous du elle",
    "it": "il di che è e la un per non sono della con gli una del si",
    "ms": "yang dan di ini itu dengan untuk tidak dari pada saya dia",
    "nl": "de het een en van is niet ik dat zijn op met hij ze",
    "no": "og det er ikke jeg som på en til av har med vi han",
    "pl": "i w nie na się z że jest do to jak ale był",
    "pt": "o que de e não um uma os com para em as do da é",
    "sv": "och det att är inte jag en som på av för med han hon",
    "sw": "na ya wa kwa ni katika la za hii kuwa yake",
    "tr": "ve bir bu da de için ile çok ne ben değil gibi",
}
_SETS = {code: frozenset(words.split()) for code, words in _COMMONEST.items()}


def other_language(text: str, language: str) -> str | None:
    """The code of the language that a text seems to be in; None if it may be in `language`."""
    words = Counter(re.findall(r"[^\W\d_]+", text[:_LOOKED_AT_CHARS].lower()))
    counts = {code: sum(words[word] for word in common) for code, common in _SETS.items()}
    best = max(counts, key=lambda code: counts[code])
    is_rich = len(_SETS[best] & words.keys()) >= _LEAST_WORDS
    enough = is_rich and counts[best] >= _LEAST_SHARE * words.total()
    return best if enough and counts[best] > 2 * counts.get(language, words.total()) else None
