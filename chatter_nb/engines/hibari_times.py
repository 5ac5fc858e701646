"""hibari, and when each word of its speech sounds: its model decides how long every phoneme lasts.

The durations come out of the same call of the model that makes the audio; hibari's own code does
the rest, so that the samples are those of `hibari.Hibari`.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from hibari import SAMPLE_RATE, Hibari
from hibari.voices import DEFAULT, voice_path

from chatter_nb.audio.reading import Signal
from chatter_nb.audio.words import WordTime, end_at_energy, start_at_energy
from chatter_nb.engines.hibari_phonemes import without_marks
from chatter_nb.text.places import Place, place_words

# The model's value "durations, rounded" made one more output of it. Messages of protobuf may be
# joined by appending: field 7 (graph), in it field 12 (output), in it field 1 (its name).
_DURATIONS = b"\x3a\x12\x62\x10\x0a\x0e/Clip_output_0"
DURATION_SAMPLES = 600  # 25 ms, the unit of the model's durations
# Sounds come earlier than their phonemes' durations say. Measured on our fables and 30 sentences.
# Inside a phrase a word begins with the space before it, less half a window of the synthesis: 193
# borders between "s" or "f" and a vowel, at speeds 0.7 to 1.8, lie 30 ms before the space (80 % of
# them 17 to 40 ms).
LEAD_SAMPLES = 600
# After punctuation it begins with the space (79 onsets, median 2 ms after it), and at the start of
# a sentence 36 ms before the pad ends (50 onsets; 96 ms at speed 0.75, 13 ms at 1.4).
PAD_LEAD_SAMPLES = 864
_PROBE = "ɹˈɛdi."


class TimedHibari(Hibari):
    """A voice of hibari that also says when its words sound.

    `trouble` says why it cannot, if it cannot: then all else is as without times.
    """

    def __init__(self, voice: str = DEFAULT) -> None:
        path = voice_path(voice)
        self.trouble = ""
        try:
            super().__init__(voice, model=Path(path).read_bytes() + _DURATIONS)
            self._check_durations()
        except Exception as error:  # onnxruntime has its own kinds
            super().__init__(voice)
            self.trouble = f"hibari's word times are not known ({type(error).__name__}: {error})"
        self.model_path = path

    def speak(
        self, text: str, *, speed: float = 1.0, seed: int | None = None
    ) -> tuple[Signal, tuple[WordTime, ...] | None]:
        """The audio of a text, the samples of `hibari.Hibari`, and the times of the words in it.

        A word is what stands between spaces, without punctuation; words that are not spoken are
        left out. Times are None if they are not known.
        """
        if self.trouble:
            return self(text, speed, seed), None
        listening = self._listening()
        listening._g2p = reading = _Reading(self.g2p)
        audio: Signal = listening(text, speed, seed)
        owners = list(_owners(reading.lines, self.vocab))
        phonemes = list(listening.sess.phonemes(self.vocab[" "]))
        if len(owners) != len(phonemes) or listening.sess.samples != len(audio):
            return audio, None
        words = start_at_energy(_words(owners, phonemes), audio, sample_rate=SAMPLE_RATE)
        return audio, end_at_energy(words, audio, sample_rate=SAMPLE_RATE)

    def _check_durations(self) -> None:
        """Raise `ValueError` unless the durations add up to the length of the audio."""
        listening = self._listening()
        audio = listening.from_phonemes(_PROBE, seed=0)
        if listening.sess.samples != len(audio):
            raise ValueError(f"{listening.sess.samples} samples, but the audio has {len(audio)}")

    def _listening(self) -> TimedHibari:
        """This voice for one text: what it notes is not mixed with that of another thread."""
        listening = copy(self)
        listening.sess = _Session(self.sess)
        return listening


class _Session:
    """In the place of hibari's session: it keeps the durations, the last output, for itself.

    `calls` has the numbers of the phonemes, pads included, and their durations in units of 25 ms.
    """

    def __init__(self, session: Any) -> None:
        self.session = session
        self.calls: list[tuple[list[int], np.ndarray]] = []

    def run(self, names: None, feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        *outputs, durations = self.session.run(names, feed)
        self.calls.append((feed["ids"][0].tolist(), durations.ravel()))
        return outputs

    def phonemes(self, space: int) -> Iterator[tuple[int, int]]:
        """Start and end in samples of each phoneme but pads and spaces; a space is the next's."""
        done = 0
        for ids, durations in self.calls:
            edges = done + DURATION_SAMPLES * np.cumsum(durations, dtype=int)
            start = edges[0] - PAD_LEAD_SAMPLES
            for number, end in zip(ids[1:-1], edges[1:], strict=False):
                if number != space:
                    yield int(start), int(end)
                    start = end
            done = edges[-1]

    @property
    def samples(self) -> int:
        """The length of the audio, by the durations."""
        return DURATION_SAMPLES * sum(int(durations.sum()) for _, durations in self.calls)


class _Line(NamedTuple):
    """A sentence as hibari cuts them, and the tokens that it reads in it."""

    text: str
    tokens: Sequence[Any]


class _Reading:
    """In the place of hibari's `G2P`: it keeps the tokens that the phonemes are made of."""

    def __init__(self, g2p: Any) -> None:
        self._phonemize_tokens = g2p.phonemize_tokens
        self._g2p = copy(g2p)
        self._g2p.phonemize_tokens = self._keep
        self._tokens: Sequence[Any] = ()
        self.lines: list[_Line] = []

    def __call__(self, text: str) -> str:
        phonemes: str = self._g2p(text)
        self.lines.append(_Line(without_marks(text), self._tokens))
        return phonemes

    def _keep(self, tokens: Sequence[Any]) -> Sequence[Any]:
        self._tokens = self._phonemize_tokens(tokens)
        return self._tokens


class _Spoken(NamedTuple):
    """A word of the text; the number of its line and its place there tell equal words apart."""

    text: str
    line: int
    place: Place


def _owners(lines: Sequence[_Line], known: Container[str]) -> Iterator[_Spoken | None]:
    """The word of each phoneme of the text, spaces left out; None for punctuation."""
    for number, line in enumerate(lines):
        places = iter(place_words([t.text for t in line.tokens if _is_spoken(t)], line.text))
        for token in line.tokens:
            owner = None
            if _is_spoken(token):
                place = next(places)
                owner = _Spoken(line.text[slice(*place)], number, place)
            yield from (owner for char in token.phonemes or "" if char != " " and char in known)


def _is_spoken(token: Any) -> bool:
    return any(map(str.isalpha, token.phonemes or ""))


def _words(owners: Sequence[_Spoken | None], phonemes: Sequence[tuple[int, int]]) -> list[WordTime]:
    """The times of the words, each from its first phoneme to its last."""
    spans: dict[_Spoken, tuple[int, int]] = {}
    earlier = None
    for owner, (start, end) in zip(owners, phonemes, strict=True):
        if owner:
            lead = LEAD_SAMPLES if earlier and earlier.line == owner.line else 0
            spans[owner] = spans.get(owner, (start - lead, end))[0], end - LEAD_SAMPLES
        earlier = owner
    return [
        WordTime(word.text, max(0, start) / SAMPLE_RATE, max(0, start, end) / SAMPLE_RATE)
        for word, (start, end) in spans.items()
    ]
