"""When hibari's words sound: the samples stay hibari's, and the times are those of the audio."""

import itertools
import re

import numpy as np
import pytest
from conftest import OZ
from hibari import Hibari
from hibari.voices import VOICES, voice_path

from chatter_nb.audio.words import start_at_energy
from chatter_nb.engines import hibari_times
from chatter_nb.engines.base import ChunkRequest
from chatter_nb.engines.hibari import HibariEngine
from chatter_nb.engines.hibari_times import TimedHibari
from chatter_nb.engines.voices import Library
from chatter_nb.text.places import words_of

TEXTS = [
    "Hello.",
    "The cat sat; the dog -- well, the dog ran! And then? “Nothing,” she said.",
    "Dr. Smith paid $5 million on 12 Jan 2024 at 3:30 pm (see No. 5): 50% of it — for R&D.",
    "Xyzzyplugh and Brobdingnagian e.g. Tom's café, 1,250 times; call 555-1234.",
    "A line.\nAnother line, of " + "many long words, " * 26 + "and its end.",
]
ONSET_SILENCE_S = 0.08
RATE = TimedHibari.sample_rate


def voices_here():
    def is_here(name):
        try:
            return bool(voice_path(name, download_missing=False))
        except FileNotFoundError:
            return False

    return [name for name in VOICES if is_here(name)]


@pytest.fixture(scope="module", params=voices_here())
def pair(request):
    """hibari as it is, and as we use it."""
    return Hibari(request.param), TimedHibari(request.param)


@pytest.fixture(scope="module")
def timed():
    return TimedHibari()


@pytest.mark.parametrize("speed", [0.6, 1.0, 1.7])
@pytest.mark.parametrize("text", TEXTS, ids=[text[:12] for text in TEXTS])
def test_the_samples_are_hibaris_own(pair, text, speed):
    """Bit for bit, at any speed; else kept chunks would not be what their keys say."""
    hibari, timed = pair
    audio, words = timed.speak(text, speed=speed, seed=7)
    assert audio.tobytes() == hibari(text, speed=speed, seed=7).tobytes()
    assert words
    assert words[-1].end_s <= len(audio) / RATE


@pytest.mark.parametrize("text", TEXTS, ids=[text[:12] for text in TEXTS])
def test_words_are_those_of_the_text_in_order(timed, text):
    """A number or an abbreviation is one word, however many are said for it."""
    _, words = timed.speak(text, seed=0)
    assert [word.text for word in words] == [text[start:end] for start, end in words_of(text)]
    times_s = [time_s for word in words for time_s in (word.start_s, word.end_s)]
    assert times_s == sorted(times_s)
    assert all(word.end_s - word.start_s > 0.04 for word in words)


def test_what_is_not_said_has_no_time(timed):
    _, words = timed.speak("Rs 500 * * * and 你好 then - that.", seed=0)
    assert [word.text for word in words] == ["500", "and", "then", "that"]
    assert timed.speak("你好", seed=0)[1] == ()


def onsets_s(audio):
    """Where sound begins after silence, found in another way: RMS over 10 ms, each millisecond."""
    window, hop = RATE // 100, RATE // 1000
    energy = np.concatenate([[0], np.cumsum(audio.astype(np.float64) ** 2)])
    rms = np.sqrt(np.maximum(energy[window::hop] - energy[:-window:hop], 0) / window)
    loud = np.flatnonzero(rms > rms.max() * 10 ** (-40 / 20))
    after_silence = np.diff(loud, prepend=-1000) > ONSET_SILENCE_S * 1000
    return loud[after_silence] / 1000 + 0.005  # the middle of the window


def after_punctuation(text):
    """Numbers of the words of a text that stand first, or after a mark."""
    places = words_of(text)
    gaps = [text[a.end : b.start] for a, b in itertools.pairwise(places)]
    return [0, *(at for at, gap in enumerate(gaps, 1) if gap.strip())]


@pytest.mark.parametrize("speed", [0.75, 1.0, 1.5])
def test_words_start_where_they_are_heard_to_start(timed, speed, monkeypatch):
    """Words after pauses, of a text that no constant of ours was chosen by.

    At speed 1 the durations alone are near, too: inside a phrase they are all there is.
    """
    by_durations = []

    def keeping(words, audio, **rate):
        by_durations.append(words)
        return start_at_energy(words, audio, **rate)

    monkeypatch.setattr(hibari_times, "start_at_energy", keeping)
    text = re.sub(r"\s+", " ", OZ.read_text(encoding="utf-8"))
    errors, raw_errors = [], []
    for number, sentence in enumerate(timed.split_sentences(text)[:14]):
        audio, words = timed.speak(sentence, speed=speed, seed=number)
        onsets = onsets_s(audio)
        for at in after_punctuation(sentence):
            distances = np.abs(onsets - words[at].start_s)
            if distances.min() < 0.25:  # else there is no silence
                errors.append(distances.min())
                raw_errors.append(np.abs(onsets - by_durations[-1][at].start_s).min())
    assert len(errors) >= 25
    for values in (errors, raw_errors if speed == 1 else errors):
        assert np.median(values) <= 0.02
        assert np.quantile(values, 0.95) <= 0.05


def border_s(audio, near_s):
    """The time at which hissing begins, around `near_s`: the steepest rise of treble over bass."""
    hop, window = RATE // 400, RATE // 100
    first = max(0, round((near_s - 0.12) * RATE))
    frames = np.lib.stride_tricks.sliding_window_view(
        audio[first : first + round(0.24 * RATE)], window
    )[::hop]
    power = np.abs(np.fft.rfft(frames * np.hanning(window), 512)) ** 2
    treble, bass = power[:, 96:].sum(axis=1), power[:, 2:32].sum(axis=1)
    level_db = 10 * np.log10((treble + 1e-7) / (bass + 1e-7))
    rise_db = [
        level_db[at : at + 14].mean() - level_db[max(0, at - 14) : at].mean()
        for at in range(8, len(level_db) - 8)
    ]
    return (first + window / 2 + (8 + int(np.argmax(rise_db))) * hop) / RATE


def test_words_inside_a_phrase_start_where_they_are_heard_to_start(timed):
    """A word that begins with "s" after a vowel: hissing begins with it."""
    pairs = "no sun|her seat|you sell|my side|low sand|we saw|three songs|new soap|so soon"
    errors = []
    for number, pair in enumerate(pairs.split("|")):
        audio, words = timed.speak(f"It was said that {pair} would come back.", seed=number)
        (word,) = (word for word in words if word.text == pair.split()[1])
        errors.append(abs(border_s(audio, word.start_s) - word.start_s))
    assert np.median(errors) <= 0.02
    assert max(errors) <= 0.05


@pytest.mark.parametrize("broken", ["name", "unit", "reading"])
def test_another_hibari_speaks_without_times(monkeypatch, broken):
    """A model without that value, or with other durations: same samples, and the run is warned."""
    if broken == "name":
        monkeypatch.setattr(hibari_times, "_DURATIONS", b"\x3a\x12\x62\x10\x0a\x0e/Clap_output_0")
    elif broken == "unit":
        monkeypatch.setattr(hibari_times, "DURATION_SAMPLES", 512)
    else:
        monkeypatch.setattr(hibari_times, "_owners", lambda lines, known: iter(()))
    engine = HibariEngine()
    voice = engine.prepare_voice("", Library(OZ.parent, OZ.parent))
    requests = [ChunkRequest(i, "The same words.", 5, voice, "en", {}) for i in range(2)]
    infos = []
    for _, audio, info in engine.synthesize(requests):
        assert audio.tobytes() == Hibari()("The same words.", seed=5).tobytes()
        infos.append(info)
    assert [info.words for info in infos] == [None, None]
    warnings = [warning for info in infos for warning in info.warnings]
    assert len(warnings) == (0 if broken == "reading" else 1)
    assert all("hibari's word times are not known (" in warning for warning in warnings)


def test_a_call_leaves_nothing_behind(timed):
    """The voice stays as it was: what one call notes is not there in the next."""
    before = dict(vars(timed))
    first = timed.speak("One, two.", seed=1)[1]
    timed.speak("And then another text.", seed=1)
    assert timed.speak("One, two.", seed=1)[1] == first
    assert vars(timed) == before
