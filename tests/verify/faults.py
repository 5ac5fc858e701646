"""Plants faults of known place and kind into hibari's speech, by hibari's own word times.

A fault is what an engine does that hallucinates: words left out, said twice or replaced, babble,
silence, noise, an end cut off. Knows hibari and audio, not the room that is tested.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnxruntime
from hibari import Hibari, dsp

from chatter_nb.audio.join import crossfade
from chatter_nb.audio.reading import Signal
from chatter_nb.audio.words import WordTime

# One more output of hibari's model, as bytes of protobuf that are merged when they follow the
# model: how long each phoneme lasts, in steps of 25 ms.
_DURATIONS_OUTPUT = b"\x3a\x12\x62\x10\x0a\x0e/Clip_output_0"
_STEP_SAMPLES = 600
_SPLICE_S = 0.005
_SYLLABLES = "bˈɑ dˈi ɡˈu lˈɛ mˈO nˈɪ fˈA sˈI tˈʌ vˈW ʃˈæ kˈɔ ɹˈɪ pˈu"
FUNCTION_WORDS = frozenset(
    [
        "a",
        "an",
        "the",
        "and",
        "or",
        "but",
        "nor",
        "so",
        "as",
        "at",
        "by",
        "for",
        "from",
        "in",
        "into",
        "of",
        "off",
        "on",
        "onto",
        "out",
        "over",
        "to",
        "up",
        "with",
        "than",
        "that",
        "this",
        "these",
        "those",
        "there",
        "here",
        "then",
        "if",
        "i",
        "me",
        "my",
        "we",
        "us",
        "our",
        "you",
        "your",
        "he",
        "him",
        "his",
        "she",
        "her",
        "it",
        "its",
        "they",
        "them",
        "their",
        "who",
        "whom",
        "which",
        "what",
        "is",
        "am",
        "are",
        "was",
        "were",
        "be",
        "been",
        "being",
        "do",
        "does",
        "did",
        "has",
        "have",
        "had",
        "will",
        "would",
        "shall",
        "should",
        "can",
        "could",
        "may",
        "might",
        "must",
        "not",
        "no",
    ]
)


@dataclass(frozen=True)
class Reading:
    """A text as hibari reads it, and when each of its words sounds."""

    text: str
    audio: Signal
    words: tuple[WordTime, ...]

    @property
    def bounds_samples(self) -> list[int]:
        """Where each word starts, and where the last one ends, in samples."""
        rate = Hibari.sample_rate
        return [*(round(word.start_s * rate) for word in self.words), round(self.end_s * rate)]

    @property
    def end_s(self) -> float:
        return self.words[-1].end_s


@dataclass(frozen=True)
class Fault:
    """Audio with a fault between two times, in seconds; `missing` are the words that are gone."""

    kind: str
    audio: Signal
    start_s: float
    end_s: float
    missing: tuple[str, ...] = ()


@functools.cache
def speaker() -> Hibari:
    """hibari with its phonemes' durations as a seventh output."""
    hibari = Hibari()
    model = Path(hibari.model_path).read_bytes() + _DURATIONS_OUTPUT
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    hibari.sess = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return hibari


def read(text: str, *, speed: float = 1.0, seed: int = 1) -> Reading | None:
    """Speak one sentence; None if its words cannot be told apart in its phonemes."""
    parts = speaker().phonemize(text)
    groups = " ".join(parts).split()
    if len(parts) != 1 or len(groups) != len(text.split()):
        return None
    if not all(any(map(str.isalpha, group)) for group in groups):
        return None
    audio, durations = _spoken(parts[0], speed, seed)
    return Reading(text, audio, _word_times(text, parts[0], durations, audio))


def _spoken(phonemes: str, speed: float, seed: int) -> tuple[Signal, list[int]]:
    hibari = speaker()
    ids = np.asarray([hibari.ids(phonemes)], np.int64)
    *spectrum, durations = hibari.sess.run(
        None, {"ids": ids, "speed": np.asarray([speed], np.float32)}
    )
    audio = dsp.synth(*(output[0] for output in spectrum), np.random.default_rng(seed))
    steps = [round(float(value)) for value in np.ravel(durations)]
    assert sum(steps) * _STEP_SAMPLES == len(audio), "hibari's durations are not its audio's"
    return audio, steps


def _word_times(text: str, phonemes: str, steps: list[int], audio: Signal) -> tuple[WordTime, ...]:
    """Words between spaces; a boundary lies in the middle of its space, marks belong to pauses."""
    known = [char for char in phonemes if char in speaker().vocab]
    ends = np.cumsum(steps[:-1])  # a pad stands before the first phoneme and after the last
    step_s = _STEP_SAMPLES / Hibari.sample_rate
    spans: list[list[float]] = [[]]
    for char, start, end in zip(known, ends[:-1], ends[1:], strict=True):
        if char == " ":
            spans.append([])
        elif char.isalpha() or char in "ˈˌᵊᵻ":
            spans[-1] += [start * step_s, end * step_s]
    words = zip(text.split(), spans, strict=True)
    return tuple(WordTime(word, min(span), max(span)) for word, span in words)


def plant(kind: str, reading: Reading, other: Reading, *, seed: int) -> Fault | None:
    """`reading` with a fault of a kind of `KINDS`; None if it has no place for the fault.

    `other` gives the words that are not the text's.
    """
    return KINDS[kind](reading, other, np.random.default_rng(seed))


def _cut(audio: Signal, start: int, end: int, inserted: Signal | None = None) -> Signal:
    """`audio` without [start, end), with `inserted` in its place; short crossfades."""
    filling = np.zeros(0, np.float32) if inserted is None else inserted
    return functools.reduce(_spliced, (audio[:start], filling, audio[end:]))


def _spliced(left: Signal, right: Signal) -> Signal:
    overlap = min(round(_SPLICE_S * Hibari.sample_rate), len(left) // 2, len(right) // 2)
    if not overlap:
        return np.concatenate([left, right])
    middle = crossfade(left[-overlap:], right[:overlap])
    return np.concatenate([left[:-overlap], middle, right[overlap:]])


def _dropped(kind: str, reading: Reading, first: int, last: int) -> Fault:
    """Without the words [first, last)."""
    bounds = reading.bounds_samples
    words = tuple(word.text for word in reading.words[first:last])
    audio = _cut(reading.audio, bounds[first], bounds[last])
    place_s = reading.words[first].start_s
    return Fault(kind, audio, place_s, place_s, words)


def _is_content(word: str) -> bool:
    letters = word.strip(",.;:!?'’‘“”\"-").lower()
    return letters not in FUNCTION_WORDS and len(letters) > 2


def _word(kind: str, content: bool) -> Callable[..., Fault | None]:
    def planted(reading: Reading, _other: Reading, rng: np.random.Generator) -> Fault | None:
        inner = range(1, len(reading.words) - 1)
        places = [at for at in inner if _is_content(reading.words[at].text) == content]
        if not places:
            return None
        at = int(rng.choice(places))
        return _dropped(kind, reading, at, at + 1)

    return planted


def _phrase(reading: Reading, rng: np.random.Generator) -> tuple[int, int] | None:
    """Two to four words inside a reading, a content word among them."""
    size = int(rng.integers(2, 5))
    starts = [
        at
        for at in range(1, len(reading.words) - size)
        if any(_is_content(word.text) for word in reading.words[at : at + size])
    ]
    if not starts:
        return None
    first = int(rng.choice(starts))
    return first, first + size


def _phrase_dropped(reading: Reading, _other: Reading, rng: np.random.Generator) -> Fault | None:
    place = _phrase(reading, rng)
    return place and _dropped("phrase dropped", reading, *place)


def _phrase_repeated(reading: Reading, _other: Reading, rng: np.random.Generator) -> Fault | None:
    place = _phrase(reading, rng)
    if place is None:
        return None
    start, end = (reading.bounds_samples[at] for at in place)
    audio = _cut(reading.audio, end, end, reading.audio[start:end])
    return _timed("phrase repeated", audio, end, 2 * end - start)


def _phrase_replaced(reading: Reading, other: Reading, rng: np.random.Generator) -> Fault | None:
    place, source = _phrase(reading, rng), _phrase(other, rng)
    if place is None or source is None:
        return None
    (start, end), bounds = (reading.bounds_samples[at] for at in place), other.bounds_samples
    words = other.audio[bounds[source[0]] : bounds[source[1]]]
    fault = _timed(
        "phrase replaced", _cut(reading.audio, start, end, words), start, start + len(words)
    )
    return replace(fault, missing=tuple(word.text for word in reading.words[slice(*place)]))


def _babble(kind: str, length_s: float, after: bool) -> Callable[..., Fault | None]:
    def planted(reading: Reading, _other: Reading, rng: np.random.Generator) -> Fault | None:
        bounds = reading.bounds_samples
        at = bounds[-1] if after else bounds[int(rng.integers(1, len(reading.words)))]
        sound = babble(length_s, rng)
        audio = _cut(reading.audio, at, at, sound)
        return _timed(kind, audio, at, at + len(sound))

    return planted


def babble(length_s: float, rng: np.random.Generator) -> Signal:
    """Syllables that are no words, without a pause."""
    syllables = rng.permutation(_SYLLABLES.split() * max(1, round(length_s)))
    words = " ".join("".join(part) for part in np.array_split(syllables, len(syllables) // 3))
    audio, _ = _spoken(words, 1.0, int(rng.integers(1 << 16)))
    start = round(0.3 * Hibari.sample_rate)
    return audio[start : start + round(length_s * Hibari.sample_rate)]


def _end_cut(kind: str, share: float) -> Callable[..., Fault | None]:
    """Ends after `share` of the last word."""

    def planted(reading: Reading, _other: Reading, rng: np.random.Generator) -> Fault | None:
        start, end = reading.bounds_samples[-2:]
        at = start + round(share * (end - start))
        return replace(_timed(kind, reading.audio[:at], at, at), missing=(reading.words[-1].text,))

    return planted


def _silence(reading: Reading, _other: Reading, rng: np.random.Generator) -> Fault | None:
    at = reading.bounds_samples[int(rng.integers(1, len(reading.words)))]
    silent = np.zeros(3 * Hibari.sample_rate, np.float32)
    return _timed("silence of 3 s", _cut(reading.audio, at, at, silent), at, at + len(silent))


def _noise(reading: Reading, _other: Reading, rng: np.random.Generator) -> Fault | None:
    """A second of speech drowned in noise as loud as the speech, or a hum in its place."""
    samples = Hibari.sample_rate
    at = int(rng.integers(samples // 2, max(samples // 2 + 1, len(reading.audio) - 2 * samples)))
    level = float(np.std(reading.audio))
    if rng.random() < 0.5:
        sound = rng.normal(0, level, samples).astype(np.float32)
    else:
        sound = _hum(samples, level)
    return _timed("noise", _cut(reading.audio, at, at + samples, sound), at, at + samples)


def _hum(samples: int, level: float) -> Signal:
    phase = 2 * np.pi * 180 / Hibari.sample_rate * np.arange(samples)
    wave = np.sin(phase) + 0.5 * np.sin(2 * phase) + 0.3 * np.sin(3 * phase)
    return (level * wave / np.std(wave)).astype(np.float32)


def _another(reading: Reading, other: Reading, _rng: np.random.Generator) -> Fault | None:
    missing = tuple(word.text for word in reading.words)
    return replace(_timed("another sentence", other.audio, 0, len(other.audio)), missing=missing)


def _timed(kind: str, audio: Signal, start: int, end: int) -> Fault:
    return Fault(kind, audio, start / Hibari.sample_rate, end / Hibari.sample_rate)


KINDS: dict[str, Callable[[Reading, Reading, np.random.Generator], Fault | None]] = {
    "content word dropped": _word("content word dropped", True),
    "function word dropped": _word("function word dropped", False),
    "phrase dropped": _phrase_dropped,
    "phrase repeated": _phrase_repeated,
    "phrase replaced": _phrase_replaced,
    "babble of 0.4 s inside": _babble("babble of 0.4 s inside", 0.4, False),
    "babble of 0.4 s after": _babble("babble of 0.4 s after", 0.4, True),
    "babble of 2 s inside": _babble("babble of 2 s inside", 2.0, False),
    "babble of 2 s after": _babble("babble of 2 s after", 2.0, True),
    "last word cut": _end_cut("last word cut", 0.0),
    "last word cut in half": _end_cut("last word cut in half", 0.5),
    "silence of 3 s": _silence,
    "noise": _noise,
    "another sentence": _another,
}
