"""Plants faults of known kinds into hibari's speech, at hibari's own word times.

A fault is what an engine does that hallucinates: words left out, said twice or replaced, babble,
silence, noise, an end cut off. `suites.verify` measures which of them a check catches.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial, reduce

import numpy as np
from hibari import SAMPLE_RATE, Hibari

from chatter_nb.audio.join import crossfade
from chatter_nb.audio.reading import Signal
from chatter_nb.audio.words import WordTime
from chatter_nb.engines.hibari_times import TimedHibari
from chatter_nb.verify.spelling import is_content

VERSION = "1"  # of the faults: what was measured on others is measured again
_SPLICE_SAMPLES = SAMPLE_RATE // 200
_SYLLABLES = "bˈɑ dˈi ɡˈu lˈɛ mˈO nˈɪ fˈA sˈI tˈʌ vˈW ʃˈæ kˈɔ ɹˈɪ pˈu"
_BABBLE_ONSET_S = 0.3
_ONSETS = "br cr d dr f g gl j k kl l m n p r s st t th tr v w z"
_VOWELS = "a e i o u ai or ar ee"
_ENDS = "n l r th x s m nd rin lia dor vek mus"
_Rng = np.random.Generator
_Place = tuple[int, int]  # words [first, last) of a reading


@dataclass(frozen=True)
class Reading:
    """A text as hibari reads it, and when each of its words sounds."""

    text: str
    audio: Signal
    words: tuple[WordTime, ...]

    @property
    def bounds(self) -> list[int]:
        """The sample where each word starts, and where the last one ends."""
        times_s = [*(word.start_s for word in self.words), self.words[-1].end_s]
        return [round(time_s * SAMPLE_RATE) for time_s in times_s]

    @property
    def audio_s(self) -> float:
        return len(self.audio) / SAMPLE_RATE


_Plant = Callable[[Reading, Reading, _Rng], Signal | None]


@cache
def speaker() -> TimedHibari:
    return TimedHibari()


@cache
def _plain_speaker() -> Hibari:
    """A speaker that takes phonemes."""
    return Hibari()


def read(text: str, *, speed: float = 1.0, seed: int = 1) -> Reading | None:
    """Speak a sentence; None if hibari reads more or fewer words than are written."""
    audio, words = speaker().speak(text, speed=speed, seed=seed)
    is_whole = words is not None and len(words) == len(text.split())
    return Reading(text, audio, words) if words and is_whole else None


def plant(kind: str, reading: Reading, other: Reading, *, seed: int) -> Signal | None:
    """`reading` with a fault of a kind of `KINDS`; None if it has no place for the fault.

    `other` gives the words that are not the text's.
    """
    return KINDS[kind](reading, other, np.random.default_rng(seed))


def with_invented_name(text: str, rng: random.Random) -> str:
    """The sentence with a name that nobody has in place of a word inside it; "" without a place."""
    words = text.split()
    inner = [at for at in range(1, len(words) - 1) if words[at].isalpha() and len(words[at]) > 3]
    if not inner:
        return ""
    onsets, vowels, ends = (part.split() for part in (_ONSETS, _VOWELS, _ENDS))
    syllables = [rng.choice(onsets) + rng.choice(vowels) for _ in range(rng.randint(1, 2))]
    words[rng.choice(inner)] = ("".join(syllables) + rng.choice(ends)).capitalize()
    return " ".join(words)


def _spliced(audio: Signal, start: int, end: int, inserted: Signal | None = None) -> Signal:
    """`audio` with `inserted` in the place of [start, end); crossfades of 5 ms."""
    filling = np.zeros(0, np.float32) if inserted is None else inserted
    return reduce(_joined, (audio[:start], filling, audio[end:]))


def _joined(left: Signal, right: Signal) -> Signal:
    overlap = min(_SPLICE_SAMPLES, len(left) // 2, len(right) // 2)
    if not overlap:
        return np.concatenate([left, right])
    middle = crossfade(left[-overlap:], right[:overlap])
    return np.concatenate([left[:-overlap], middle, right[overlap:]])


def _word(reading: Reading, rng: _Rng, *, content: bool) -> _Place | None:
    """A word inside the text that carries meaning, or does not."""
    inner = range(1, len(reading.words) - 1)
    places = [at for at in inner if is_content(reading.words[at].text.lower()) == content]
    first = int(rng.choice(places)) if places else 0
    return (first, first + 1) if places else None


def _phrase(reading: Reading, rng: _Rng) -> _Place | None:
    """Two to four words inside the text, a content word among them."""
    size = int(rng.integers(2, 5))
    are_content = [is_content(word.text.lower()) for word in reading.words]
    starts = [at for at in range(1, len(reading.words) - size) if any(are_content[at : at + size])]
    first = int(rng.choice(starts)) if starts else 0
    return (first, first + size) if starts else None


def _dropped(
    reading: Reading, _other: Reading, rng: _Rng, *, choose: Callable[..., _Place | None]
) -> Signal | None:
    place = choose(reading, rng)
    if place is None:
        return None
    start, end = (reading.bounds[at] for at in place)
    return _spliced(reading.audio, start, end)


def _repeated(reading: Reading, _other: Reading, rng: _Rng) -> Signal | None:
    place = _phrase(reading, rng)
    if place is None:
        return None
    start, end = (reading.bounds[at] for at in place)
    return _spliced(reading.audio, end, end, reading.audio[start:end])


def _replaced(reading: Reading, other: Reading, rng: _Rng) -> Signal | None:
    place, source = _phrase(reading, rng), _phrase(other, rng)
    if place is None or source is None:
        return None
    (start, end), foreign = (reading.bounds[at] for at in place), other.bounds
    words = other.audio[foreign[source[0]] : foreign[source[1]]]
    return _spliced(reading.audio, start, end, words)


def _babbled(
    reading: Reading, _other: Reading, rng: _Rng, *, length_s: float, after: bool
) -> Signal:
    at = reading.bounds[-1] if after else _inner_bound(reading, rng)
    return _spliced(reading.audio, at, at, babble(length_s, rng))


def _inner_bound(reading: Reading, rng: _Rng) -> int:
    """The sample where some word but the first starts."""
    return reading.bounds[int(rng.integers(1, len(reading.words)))]


def babble(length_s: float, rng: _Rng) -> Signal:
    """Syllables that are no words, without a pause."""
    syllables = rng.permutation(_SYLLABLES.split() * max(1, round(length_s)))
    words = " ".join("".join(part) for part in np.array_split(syllables, len(syllables) // 3))
    audio: Signal = _plain_speaker().from_phonemes(words, seed=int(rng.integers(1 << 16)))
    start = round(_BABBLE_ONSET_S * SAMPLE_RATE)
    return audio[start : start + round(length_s * SAMPLE_RATE)]


def _end_cut(reading: Reading, _other: Reading, _rng: _Rng, *, share: float) -> Signal:
    """Ends after `share` of the last word's sound."""
    start, end = reading.bounds[-2:]
    return reading.audio[: start + round(share * (end - start))]


def _silenced(reading: Reading, _other: Reading, rng: _Rng) -> Signal:
    at = _inner_bound(reading, rng)
    return _spliced(reading.audio, at, at, np.zeros(3 * SAMPLE_RATE, np.float32))


def _noisy(reading: Reading, _other: Reading, rng: _Rng) -> Signal:
    """A second of noise or hum, as loud as the speech, in the place of a second of speech."""
    half = SAMPLE_RATE // 2
    at = int(rng.integers(half, max(half + 1, len(reading.audio) - 2 * SAMPLE_RATE)))
    wave = rng.normal(0, 1, SAMPLE_RATE) if rng.random() < 0.5 else _hum()
    sound = (float(np.std(reading.audio)) * wave / np.std(wave)).astype(np.float32)
    return _spliced(reading.audio, at, at + SAMPLE_RATE, sound)


def _hum() -> np.ndarray:
    phase = 2 * np.pi * 180 / SAMPLE_RATE * np.arange(SAMPLE_RATE)
    wave: np.ndarray = np.sin(phase) + 0.5 * np.sin(2 * phase) + 0.3 * np.sin(3 * phase)
    return wave


def with_pause(reading: Reading, word: int, pause_s: float) -> Signal:
    """The audio with digital silence before a word: its sound then starts at an exact time."""
    at = reading.bounds[word]
    silence = np.zeros(round(pause_s * SAMPLE_RATE), np.float32)
    return np.concatenate([reading.audio[:at], silence, reading.audio[at:]])


KINDS: dict[str, _Plant] = {
    "content word dropped": partial(_dropped, choose=partial(_word, content=True)),
    "function word dropped": partial(_dropped, choose=partial(_word, content=False)),
    "phrase dropped": partial(_dropped, choose=_phrase),
    "phrase repeated": _repeated,
    "phrase replaced": _replaced,
    "babble of 0.4 s inside": partial(_babbled, length_s=0.4, after=False),
    "babble of 0.4 s after": partial(_babbled, length_s=0.4, after=True),
    "babble of 2 s inside": partial(_babbled, length_s=2.0, after=False),
    "babble of 2 s after": partial(_babbled, length_s=2.0, after=True),
    "last word cut": partial(_end_cut, share=0.0),
    "last word cut in half": partial(_end_cut, share=0.5),
    "silence of 3 s": _silenced,
    "noise": _noisy,
    "another sentence": lambda _reading, other, _rng: other.audio,
}
