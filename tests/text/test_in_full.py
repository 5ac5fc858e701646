"""English abbreviations in what is spoken: no pause after their stop."""

import numpy as np
import pytest
from hibari import Hibari

from chatter_nb.text.chunking import clean, split_chunks
from chatter_nb.text.in_full import in_full


@pytest.fixture(scope="module")
def hibari():
    return Hibari()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("See p. 5, pp. 6-7 and p.8.", "See page 5, pages 6-7 and page 8."),
        ("Fig. 3, FIG. 4, figs. 5 and 6", "Figure 3, Figure 4, figures 5 and 6"),
        ("cf. Smith et al. 2019", "compare Smith et al 2019"),
        ("approx. 5 km, approx. one hour", "approximately 5 km, approximately one hour"),
        ("Sept. 11 was", "September 11 was"),
        ("On Wed. Jan. 5, vol. 2", "On Wednesday January 5, volume 2"),
        ("No. 5 vs. No. 6", "Number 5 versus Number 6"),
        ("See vol. II, ch. XII and eq. V", "See volume II, chapter XII and equation V"),
        ("See e.g. Paris, i.e. 5 km", "See e.g., Paris, i.e., 5 km"),
    ],
)  # fmt: skip
def test_an_abbreviation_is_said_in_full_and_without_a_pause(text, said, hibari):
    """By the voice's own phonemes: none has the full stop that is a pause."""
    assert in_full(text) == said
    (phonemes,) = hibari.phonemize(said.rstrip("."))
    assert "." not in phonemes
    assert len(hibari.phonemize(text)) > 1


@pytest.mark.parametrize(
    "text",
    [
        *("He sat. 5 men came.", "The ship. 5 men", "It was 3 p.m. 5 men", "Smith et al. The end."),
        *("He said no. Then he left.", "It was in Dec. She left.", "map. 5", "Dr. Smith", "a.p. 5"),
        *("Read ch. I went.", "e.g. mine, i.e. yours"),
    ],
)
def test_what_may_end_a_sentence_stays(text):
    assert in_full(text) == text


def test_only_the_spoken_text_is_in_full_and_only_in_english():
    text = "See Fig. 3."
    (english,), (german,) = (split_chunks(clean(text), language=name) for name in ("en-GB", "de"))
    assert english.text == german.text == german.spoken == text
    assert english.spoken == "See Figure 3."


def test_a_page_of_the_field_has_no_pause_in_its_sentences(hibari):
    """Only the true ends are pauses."""
    text = (
        "Fig. 3 shows it. See p. 45, pp. 45–47, cf. Smith et al. 2019, approx. 5 km. On Sept. 11 "
    )
    (chunk,) = split_chunks(clean(text + "he left."))
    assert "".join(hibari.phonemize(chunk.spoken)).count(".") == 3


def test_a_stops_silence_is_gone(hibari):
    """Between two sentences it is far longer than any silence inside one."""
    text = "See p. 45 of it"
    assert longest_silence_s(hibari(in_full(text), seed=1)) < 0.2
    assert longest_silence_s(hibari(text, seed=1)) > 0.2


def longest_silence_s(audio: np.ndarray) -> float:
    """Of frames of 10 ms below -46 dB of the peak, ends apart."""
    frame = Hibari.sample_rate // 100
    frames = audio[: len(audio) // frame * frame].reshape(-1, frame)
    loud = np.flatnonzero(np.abs(frames).max(axis=1) > np.abs(audio).max() / 200)
    return float(np.diff(loud).max(initial=1) - 1) / 100
