"""What a run costs, before and while it is made: a short body may ask for days of audio."""

from __future__ import annotations

from collections.abc import Callable

from chatter_nb.base.wording import minutes
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.lifecycle import Progress
from chatter_nb.runs.settle import Estimate
from chatter_nb.serve.errors import Problem
from chatter_nb.text.chunking import chars_per_s

_SEARCH = 200_000_000  # words to replace, times characters to count them in: about a second
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


def stop_beyond(
    longest_s: float, progress: Callable[[Progress], object] | None
) -> Callable[[Progress], object]:
    """`progress`, and a `Problem` 422 once a run has outgrown `longest_s` before its last chunk.

    Estimates go by characters: digits and prices take eight times as long as they look.
    """

    def told(step: Progress) -> None:
        if progress:
            progress(step)
        if step.audio_s > longest_s and step.done < step.total:
            raise Problem(
                422,
                f"stopped after {step.done:,} of {step.total:,} chunks: they are "
                f"{minutes(step.audio_s)} of audio, and up to {minutes(longest_s)} are made; they "
                "are kept: ask for the text in parts",
            )

    return told
