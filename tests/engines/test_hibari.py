"""The embedded voice, for real: it speaks, repeats itself, and refuses what it would lose."""

import random
from pathlib import Path

import numpy as np
import pytest
import yaml

from chatter_nb.base.errors import EngineError, InputError, ParamError
from chatter_nb.engines.base import ChunkRequest
from chatter_nb.engines.models import get_or_load_tts_model
from chatter_nb.engines.voices import Library
from chatter_nb.runs.speak import process_one_chunk

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
        ("Here a > b and c < d.", []),
        ("So a>b, a <b, a= b, x ~ 5 and ± 5.", []),
        ("> quoted", ["hibari passes over >"]),
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


def refusal_of(engine, text: str) -> str:
    with pytest.raises(InputError) as refusal:
        engine.check_text(text, "en")
    return str(refusal.value)


HUGE = "1" * 40
UNREADABLE = [
    (f"The number is {HUGE} exactly.", [HUGE]),
    (f"It is ${'9' * 37}, {'9' * 37}% or {'8' * 38}th.", ["9" * 37, "8" * 38 + "th"]),
    (f"Or 1{',000' * 13} of them.\nAnd {'7' * 5000}!", ["1" + ",000" * 13]),
    ("The ¹a of May. The ¹b, and then ¹b.", ["¹b", "¹a"]),
    ("A ¹/ :b# of it.", ["¹"]),
]


@pytest.mark.parametrize(("text", "words"), UNREADABLE)
def test_what_hibari_fails_at_is_refused_all_at_once(engine, text, words):
    """Found before the work, whatever hibari raises; the words are named, the message is short."""
    message = refusal_of(engine, text)
    assert "engine 'hibari' cannot read" in message
    assert "write its digits as 0 to 9, at most 36 in a number" in message
    assert (
        list(yaml.safe_load(message[message.index("replacements:  #") :])["replacements"]) == words
    )
    assert len(message) < 1500


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("We say the word /ˈwɔːtə/ in two ways.", ["ˈwɔːtə"]),
        ("A lone ǆ, and ﬄ, and again ǆ.", ["ǆ", "ﬄ"]),
        ("The wide ｂｂ, small ᴀʙᴄ and ꝏ.", ["ｂｂ", "ᴀʙᴄ", "ꝏ"]),
    ],
)
def test_words_of_which_no_sound_comes_are_refused(engine, text, words):
    message = refusal_of(engine, text)
    assert "engine 'hibari' would leave out" in message
    assert "speaks English" not in message
    assert (
        list(yaml.safe_load(message[message.index("replacements:  #") :])["replacements"]) == words
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Some write [ˈwɔːtə] for it.", "hibari leaves letters out of ˈwɔːtə"),
        ("aǆb and Nguyễn.", "hibari leaves letters out of aǆb, Nguyễn"),
        # A word that is in no dictionary is read up to its 24th letter.
        (f"The Donau{'dampf' * 6}er.", f"hibari leaves letters out of Donau{'dampf' * 6}er"),
    ],
)
def test_words_that_lose_letters_are_told(engine, text, told):
    assert [note.split(": ")[0] for note in engine.check_text(text, "en")] == [told]


def test_a_number_that_is_taken_for_punctuation_is_told(engine, monkeypatch):
    """hibari's tagger does so now and then: no reason to stop a text of plain English."""
    tag = engine._speakers["heart"].g2p.tagger
    monkeypatch.setattr(
        engine._speakers["heart"].g2p,
        "tagger",
        lambda words: [":" if word == "443" else tag([word])[0] for word in words],
    )
    (note,) = engine.check_text("It listens on port 443 of this machine.", "en")
    assert "passes over a word or number in 'istens on port 443 of this machin'" in note


@pytest.mark.parametrize("text", ["Antidisestablishmentarianism.", "An ℹ️ and a Ⓜ️ sign, 1️⃣."])
def test_long_words_of_the_dictionary_and_emoji_lose_nothing(engine, text):
    assert not any("leaves letters out" in note for note in engine.check_text(text, "en"))


def test_all_refused_letters_are_counted_and_the_block_is_a_cure(engine, speak):
    """The block of the message, as it is, makes the text one that can be spoken."""
    text = "Hello 你好 friend, 你好, Привет, α rays. The ǆ. See ¹a."
    message = refusal_of(engine, text)
    assert "你 (2 times), 好 (2 times), П, р, и, в, е, т, α" in message
    block = yaml.safe_load(message[message.index("replacements:  #") :])
    assert block["replacements"] == {
        "你好": "",
        "Привет": "",
        "α": "alpha",
        "ǆ": "dž",
        "¹a": "1a",
    }
    assert '"你好": ""  # 2 times' in message
    assert speak(text=text, **block).record.status == "ok"


def test_the_block_reads_a_huge_number_digit_by_digit(engine, speak):
    text, words = UNREADABLE[0]
    message = refusal_of(engine, text)
    block = yaml.safe_load(message[message.index("replacements:  #") :])
    assert block["replacements"] == {words[0]: " ".join(HUGE)}
    assert speak(text=text, **block).record.status == "ok"


def test_the_message_of_a_foreign_book_is_bounded(engine):
    """Two thousand kinds of letter: the most frequent, and how many more."""
    text = " ".join(chr(0x4E00 + number % 2000) for number in range(20_000))
    message = refusal_of(engine, text)
    assert len(message) < 2500
    assert "and 1,960 more" in message
    assert "  # and 1,980 more" in message


def test_whatever_is_raised_at_a_chunk_names_the_chunk(engine, monkeypatch):
    def fail(*args, **kwargs):
        raise RecursionError("too deep")

    voice = engine.prepare_voice("", LIBRARY)
    monkeypatch.setattr(engine._speakers["heart"], "speak", fail)
    with pytest.raises(
        EngineError, match=r"chunk 7: cannot read 'Hello\.' \(RecursionError: too d"
    ):
        list(engine.synthesize([ChunkRequest(7, "Hello.", 0, voice, "en", {})]))
