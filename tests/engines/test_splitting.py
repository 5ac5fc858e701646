"""A chunk that never ends: made again in parts, all of it said, all of it recorded."""

import numpy as np
import pytest

from chatter_nb.base.errors import EngineError
from chatter_nb.base.hashing import chunk_seed
from chatter_nb.engines.chatterbox.splitting import say_or_split

RATE = 24_000
TEXT = "One sentence is here. Another one follows it, a little longer. And then a third."


class Speaker:
    """Says a tone a tenth of a second long for every word; does not end on what `stuck` says."""

    def __init__(self, stuck):
        self.stuck, self.heard = stuck, []

    def __call__(self, text, seed):
        self.heard.append((text, seed))
        if self.stuck(text, seed):
            return None
        time_s = np.arange(len(text.split()) * RATE // 10) / RATE
        return (0.3 * np.sin(2 * np.pi * 200 * time_s)).astype(np.float32)


def said(speaker, text=TEXT):
    return say_or_split(text, 5, speaker, sample_rate=RATE, language="en")


def test_a_chunk_that_ends_is_said_once_as_it_is():
    speaker = Speaker(lambda text, seed: False)
    audio, info = said(speaker)
    assert speaker.heard == [(TEXT, 5)]
    assert (info.attempts, info.parts) == (1, ())
    assert len(audio) == 15 * RATE // 10


def test_a_chunk_that_does_not_end_is_said_in_parts_with_seeds_of_their_own():
    """Nothing is lost: the parts' texts are the chunk's, and their places lie in the audio."""
    speaker = Speaker(lambda text, seed: text == TEXT)
    audio, info = said(speaker)
    assert "".join(part.text for part in info.parts) == TEXT
    assert info.attempts == 1 + len(info.parts) == len(speaker.heard)
    assert len({seed for _, seed in speaker.heard}) == len(speaker.heard)
    assert info.parts[0].start_samples == 0
    assert info.parts[-1].end_samples == len(audio)
    assert len(audio) == pytest.approx(
        15 * RATE / 10 + 0.25 * RATE * (len(info.parts) - 1), rel=0.1
    )


def test_a_part_that_does_not_end_is_split_again():
    speaker = Speaker(lambda text, seed: len(text) > 30)
    _, info = said(speaker)
    assert "".join(part.text for part in info.parts) == TEXT
    assert all(len(part.text.strip()) <= 30 for part in info.parts)


def test_a_text_too_short_to_be_split_is_tried_once_more_with_another_seed():
    speaker = Speaker(lambda text, seed: seed == 5)
    _, info = said(speaker, "Too short.")
    again = chunk_seed(seed=5, text="Too short.", occurrence=0, take=1)
    assert speaker.heard == [("Too short.", 5), ("Too short.", again)]
    assert (info.attempts, info.parts) == (2, ())


def test_what_never_ends_is_an_error_that_names_it():
    with pytest.raises(EngineError, match=r"did not end on 'Too short\.', nor on a second try"):
        said(Speaker(lambda text, seed: True), "Too short.")
    with pytest.raises(EngineError, match="did not end on 'One sentence is here"):
        said(Speaker(lambda text, seed: True))


def test_the_same_seed_splits_alike():
    stuck = lambda text, seed: len(text) > 40  # noqa: E731
    first, second = said(Speaker(stuck)), said(Speaker(stuck))
    assert np.array_equal(first[0], second[0])
    assert first[1] == second[1]
