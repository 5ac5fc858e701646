"""The embedded voice, for real: it speaks, repeats itself, and refuses what it would lose."""

import random
from pathlib import Path

import numpy as np
import pytest

from chatter_nb.engines.base import ChunkRequest
from chatter_nb.errors import EngineError, InputError, ParamError
from chatter_nb.models import get_or_load_tts_model
from chatter_nb.speak import process_one_chunk
from chatter_nb.text import split_chunks
from chatter_nb.voices import Library

LIBRARY = Library(Path("voices"), Path("voices"))  # none of hibari's is in it


@pytest.fixture(scope="module")
def engine():
    return get_or_load_tts_model("hibari")


def say(engine, text, seed=0, **knobs):
    request = ChunkRequest(0, text, seed, engine.prepare_voice("", LIBRARY), "en", knobs)
    ((index, audio, info),) = engine.synthesize([request])
    assert (index, info.attempts) == (0, 1)
    return audio


def test_same_seed_same_samples_and_the_global_generators_untouched(engine):
    """Our code leaves Python's and numpy's global generators as it found them."""
    before = np.random.get_state()[1].copy()  # noqa: NPY002  the global state is what is tested
    python_before = random.getstate()
    first = say(engine, "The same words.", seed=5)
    assert np.array_equal(first, say(engine, "The same words.", seed=5))
    assert not np.array_equal(first, say(engine, "The same words.", seed=6))
    assert random.getstate() == python_before
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_speed_changes_the_length(engine):
    slow, fast = (len(say(engine, "How fast is this?", speed=s)) for s in (0.8, 1.6))
    assert slow / fast == pytest.approx(2, rel=0.15)


def test_one_chunk_without_a_run():
    audio, rate = process_one_chunk("A single chunk.", engine="hibari", seed=3, speed=1.1)
    assert rate == 24_000
    assert 0.5 < len(audio) / rate < 3
    drawn, _ = process_one_chunk("A single chunk.", engine="hibari", seed=-1, speed=1.1)
    assert len(drawn) == len(audio)


@pytest.mark.parametrize("text", ["Hello 你好 friend", "مرحبا", "नमस्ते", "Привет"])
def test_letters_it_would_leave_out_are_refused(engine, text):
    """hibari passes over them in silence: text would be lost."""
    with pytest.raises(InputError, match=r"would leave out or spell .*chatterbox-multilingual"):
        engine.check_text(text, "en")


@pytest.mark.parametrize(
    "text",
    ["Café, naïve, Ångström, ﬁne", "½ cup, x², 20 °C, “so” — …", "Donʼt, Hawaiʻi, 5 µm, Ⅷ", "12"],
)
def test_letters_it_says_are_accepted(engine, text):
    engine.check_text(text, "en")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("It is 5 € a piece.", ["hibari passes over €"]),
        ("So x ≥ 5 and ∞ and 🙂.", ["hibari passes over ∞ ≥ 🙂"]),
        ("About 10⁶ of them.", ["hibari reads the power in '10⁶' as digits"]),
        ("It is €5, $3.50, 2 + 2 = 4, 20 °C.", []),
    ],
)
def test_symbols_it_passes_over_are_noted(engine, text, told):
    """A symbol is told by its making no difference to what is said where it stands."""
    notes = engine.check_text(text, "en")
    assert [note.split(": ")[0] for note in notes] == told


def test_one_chunk_refuses_what_the_engine_does_not_take():
    with pytest.raises(ParamError, match="does not take exaggeration"):
        process_one_chunk("Hi.", engine="hibari", exaggeration=0.5)
    with pytest.raises(ParamError, match="chunk_chars: no engine knob"):
        process_one_chunk("Hi.", chunk_chars=50)
    with pytest.raises(ParamError, match="seed: should be a valid integer"):
        process_one_chunk("Hi.", seed="x")


def test_a_chunk_that_makes_no_sound_is_an_error(engine):
    with pytest.raises(EngineError, match="no sound of"):
        say(engine, "你好")


def test_voices_are_by_name_and_a_recording_is_refused(engine):
    with pytest.raises(ParamError, match=r"has no voice 'me\.wav'; it has: heart, .*cannot clone"):
        engine.prepare_voice("me.wav", LIBRARY)
    assert engine.prepare_voice("heart", LIBRARY) == engine.prepare_voice("", LIBRARY)


def test_a_voice_that_cannot_be_downloaded_is_told(engine, monkeypatch, tmp_path):
    """The message names the file and where to put it by hand."""
    monkeypatch.setenv("HIBARI_HOME", str(tmp_path))
    monkeypatch.setattr("hibari.voices.BASE_URL", "http://127.0.0.1:9/")
    with pytest.raises(EngineError, match=r"could not download .*by hand"):
        engine.prepare_voice("emma", LIBRARY)


@pytest.mark.parametrize("text", ["The ¹a of May.", "See ❶①❼⑺.", "A ¹/ :b# of it."])
def test_digits_that_hibari_fails_at_are_refused_with_the_cure(text, speak):
    """Raised and circled ones in odd places: found before the work, and told with their words."""
    with pytest.raises(InputError, match="write its digits as 0 to 9"):
        speak(text=text)


@pytest.mark.parametrize(
    "word",
    ["a-" * 140, "a/" * 140, "/" * 280, "’s" * 140, "a1" * 140, "a+" * 140, "ab/c?d=1&" * 31],
)
def test_a_word_of_many_parts_is_read_in_steps_of_its_length(word, engine, monkeypatch):
    """hibari compares all runs of a word's parts: 280 characters took up to half a minute."""
    lexicon = type(engine._speakers["heart"].g2p.lexicon)
    plain, looked_up = lexicon.__call__, []

    def counted(self, token, context):
        looked_up.append(token)
        return plain(self, token, context)

    monkeypatch.setattr(lexicon, "__call__", counted)
    (chunk,) = split_chunks(word)
    engine.check_text(chunk.spoken, "en")
    engine._speakers["heart"].phonemize(chunk.spoken)
    assert len(looked_up) < 30_000
