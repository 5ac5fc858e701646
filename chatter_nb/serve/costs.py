"""What a run would cost, looked at before it is made: a short body may ask for days of audio."""

from __future__ import annotations

from chatter_nb.params import SpeakParams
from chatter_nb.planning import Estimate, minutes
from chatter_nb.serve.problems import Problem
from chatter_nb.text import chars_per_s

_SEARCH = 20_000_000  # words to replace, times characters to look through: about a second
_SLACK = 2  # texts are spoken at different paces


def check_replacements(params: SpeakParams, longest_s: float) -> None:
    """Raises `Problem` 422 where replacing words takes too long, or makes too long a text.

    Found before the text is built. A word is counted wherever its letters stand: never too few.
    """
    words, text = params.replacements, params.text.casefold()
    if len(words) * len(text) > _SEARCH:
        raise Problem(
            422,
            f"replacements: {len(words):,} words are too many for {len(text):,} characters: "
            f"up to {_SEARCH // len(text):,} are replaced",
        )
    grown = len(text) + sum(text.count(word.casefold()) * len(said) for word, said in words.items())
    if grown > _SLACK * longest_s * chars_per_s(params.language or "en"):
        raise Problem(
            422,
            f"replacements: they could make {grown:,} characters of {len(text):,}: use shorter "
            "ones, or fewer",
        )


def check_cost(cost: Estimate, longest_s: float) -> None:
    """Raises `Problem` 422 for more than `longest_s` of audio."""
    if cost.audio_s > longest_s:
        raise Problem(
            422,
            f"this would be {minutes(cost.audio_s)} of audio; up to {minutes(longest_s)} are made: "
            "shorten the text or its pauses",
        )
