"""Does the audio say the text? hibari speaks, faults are planted, real witnesses listen."""

from dataclasses import replace

import numpy as np
import pytest
from hibari import Hibari

from chatter_nb.base.errors import ParamError, UnavailableError
from chatter_nb.bench import faults
from chatter_nb.verify.aligner import arpabet
from chatter_nb.verify.checker import Checker
from chatter_nb.verify.cuts import moved_sample, without
from chatter_nb.verify.findings import Expectation, Finding
from chatter_nb.verify.habits import misheard
from chatter_nb.verify.spelling import is_unsure, readings

RATE_HZ = Hibari.sample_rate
TEXTS = (
    "The ferry left the harbour early, before the market opened its doors.",
    "Every winter the old gardener covered his roses with dry straw.",
    "Nobody in the village remembered who had painted the bridge green.",
)


@pytest.fixture(scope="module")
def readings_():
    return [faults.read(text, seed=at) for at, text in enumerate(TEXTS)]


@pytest.fixture(scope="module")
def fast():
    return Checker("fast", phonemes=lambda word: "".join(faults.speaker().phonemize(word)))


@pytest.fixture(scope="module")
def full():
    return Checker("full")


@pytest.fixture(scope="module")
def full_with_phonemes():
    return Checker("full", phonemes=lambda word: "".join(faults.speaker().phonemize(word)))


def check(checker, audio, text):
    return checker.check(audio, RATE_HZ, Expectation(text, "en"))


def test_clean_speech_passes_and_its_words_have_times(fast, readings_):
    """Starts lie within 80 ms of hibari's own times, the median within 20 ms."""
    apart_s = []
    for reading in readings_:
        verdict = check(fast, reading.audio, reading.text)
        assert (verdict.verdict, verdict.cuts) == ("ok", ()), verdict
        assert [word.text for word in verdict.words] == reading.text.split()
        pairs = zip(verdict.words, reading.words, strict=True)
        apart_s += [abs(word.start_s - truth.start_s) for word, truth in pairs]
    assert np.median(apart_s) <= 0.02
    assert max(apart_s) <= 0.08


CAUGHT = sorted(set(faults.KINDS) - {"function word dropped"})


@pytest.mark.parametrize("kind", CAUGHT)
def test_a_planted_fault_is_found_or_cut(fast, readings_, kind):
    fault = faults.plant(kind, readings_[0], readings_[1], seed=3)
    verdict = check(fast, fault, readings_[0].text)
    assert verdict.verdict == "doubtful" or verdict.cuts, verdict
    assert all(finding.reason for finding in verdict.findings)


def test_a_word_after_a_pause_starts_with_its_sound(fast, readings_):
    """Digital silence is spliced in before a word, so that its start is known to the sample."""
    for reading in readings_:
        audio = faults.with_pause(reading, 4, 0.3)
        words = check(fast, audio, reading.text).words
        assert abs(words[4].start_s - reading.bounds[4] / RATE_HZ - 0.3) <= 0.05
        assert words[3].end_s <= words[4].start_s - 0.25


def test_a_dropped_phrase_is_named(fast, readings_):
    bounds, audio = readings_[1].bounds, readings_[1].audio
    without_roses = np.concatenate([audio[: bounds[6]], audio[bounds[8] :]])
    verdict = check(fast, without_roses, readings_[1].text)
    assert "his roses" in " ".join(finding.expected for finding in verdict.findings), verdict
    assert verdict.missing_words >= 2


def _with_hole(reading):
    return faults.plant("silence of 3 s", reading, reading, seed=1)


def _with_tail(reading):
    """Babble after the text and the silence at its end."""
    return np.concatenate([reading.audio, faults.babble(2.0, np.random.default_rng(1))])


@pytest.mark.parametrize("spoiled", [_with_hole, _with_tail])
def test_a_hole_and_a_tail_are_cut_and_the_rest_passes(fast, readings_, spoiled):
    audio = spoiled(readings_[1])
    verdict = check(fast, audio, readings_[1].text)
    healed = without(audio, verdict.cuts, RATE_HZ)
    assert verdict.verdict == "ok", verdict
    assert verdict.notes
    assert len(healed) < len(readings_[1].audio) + 1.1 * RATE_HZ


def test_the_same_chunk_gets_the_same_verdict_whatever_came_before(fast, readings_):
    first = check(fast, readings_[0].audio, readings_[0].text)
    check(fast, readings_[1].audio, readings_[1].text)
    assert check(fast, readings_[0].audio, readings_[0].text) == first


def test_an_invented_name_passes_with_phonemes_and_is_not_checked_without(fast):
    text = "In the evening Zaldor Vremek walked home along the river."
    audio = Hibari()(text, seed=4)
    assert check(fast, audio, text).verdict == "ok"
    alone = check(Checker("fast"), audio, text)
    assert alone.verdict == "unchecked"
    assert "Zaldor" in " ".join(alone.notes)


def test_full_hears_and_names_a_missing_word(full, readings_):
    text = readings_[2].text
    assert check(full, readings_[2].audio, text).verdict == "ok"
    fault = faults.plant("content word dropped", readings_[2], readings_[0], seed=5)
    verdict = check(full, fault, text)
    assert {"aligner", "recogniser"} >= {finding.witness for finding in verdict.findings} != set()


def test_a_phrase_that_both_takes_drop_stays_doubtful(full, readings_):
    """An engine may drop the same words again, so that the other take proves nothing here."""
    text = TEXTS[1].replace("dry straw", "heavy purple straw")
    audio, other = Hibari()(TEXTS[1], seed=1), Hibari()(TEXTS[1], seed=9)
    verdict = full.check(audio, RATE_HZ, Expectation(text, "en"), other_take=other)
    assert verdict.verdict == "doubtful"
    assert "aligner" in {finding.witness for finding in verdict.findings}


def test_what_the_recogniser_alone_mishears_in_both_takes_is_no_fault(full):
    """It writes "set homes" for "said Holmes" in either take; the aligner hears both words."""
    text = "Certainly, said Holmes, turning over the key in the door."
    audio, other = (Hibari()(text, seed=seed) for seed in (1, 9))
    alone = check(full, audio, text)
    assert {finding.witness for finding in alone.findings} == {"recogniser"}
    verdict = full.check(audio, RATE_HZ, Expectation(text, "en"), other_take=other)
    assert verdict.verdict == "ok"
    assert "another take" in " ".join(verdict.notes)


def test_the_recogniser_is_not_asked_how_an_invented_name_is_spelt(full_with_phonemes):
    """Where the name is gone, the aligner says it."""
    text = "Old Gwythzel and Prunkhild Thraxmoor sold kippers beside the mill."
    verdict = check(full_with_phonemes, Hibari()(text, seed=1), text)
    assert verdict.verdict == "ok"
    assert "in no dictionary" in " ".join(verdict.notes)
    without_name = Hibari()(text.replace("Gwythzel", "Robert"), seed=1)
    assert check(full_with_phonemes, without_name, text).verdict == "doubtful"


def test_words_gone_where_the_aligner_cannot_judge_stay_doubtful():
    """Nobody but the recogniser could tell: the other take may have dropped them as well."""
    gone = Finding("missing words", 1.0, 1.2, "", "amber", "not heard", "recogniser")
    other = replace(gone, kind="other words", heard="umber")
    assert misheard([gone, other], is_aligned=True) == [gone, other]
    assert misheard([gone, other], is_aligned=False) == [other]


def test_what_a_reference_reading_shares_is_no_fault(readings_):
    """The reference says the text as well as can be: the same finding there is a habit."""
    text = TEXTS[1].replace("dry straw", "dry purple straw")
    spoken = Hibari()(TEXTS[1], seed=9)
    checker = Checker("fast", reference=lambda text: (spoken, RATE_HZ))
    assert check(Checker("fast"), readings_[1].audio, text).verdict == "doubtful"
    assert check(checker, readings_[1].audio, text).verdict == "ok"


def test_a_kept_report_is_not_made_again(readings_, tmp_path, monkeypatch):
    reading = readings_[0]
    first = check(Checker("fast", folder=tmp_path), reading.audio, reading.text)
    again = Checker("fast", folder=tmp_path)
    monkeypatch.setattr(again._aligner, "listen", None)
    assert check(again, reading.audio, reading.text) == first
    for path in tmp_path.rglob("*.json"):
        path.write_text("{")  # a damaged report counts as none
    assert check(Checker("fast", folder=tmp_path), reading.audio, reading.text) == first


def test_a_language_without_an_aligner_is_not_called_checked(fast, readings_):
    verdict = fast.check(readings_[0].audio, RATE_HZ, Expectation("Guten Morgen", "de"))
    assert "no aligner for 'de'" in " ".join(verdict.notes)
    assert verdict.verdict != "ok"


def test_bad_input_is_refused_with_the_cure():
    with pytest.raises(ParamError, match="fast, full"):
        Checker("slow")
    with pytest.raises(UnavailableError, match="asr_model 'no-such'"):
        Checker("full", asr_model="no-such").prepare("en")
    with pytest.raises(ParamError, match="verify: fast"):
        Checker("full").prepare("de")


def test_silence_instead_of_speech(fast):
    assert check(fast, np.zeros(RATE_HZ, np.float32), "Hello there.").verdict == "doubtful"


def test_numbers_are_read_in_more_than_one_way():
    assert ["nineteen", "oh", "five"] in readings("1905")
    assert readings("3rd") == [["third"]]
    assert readings("2.5") == [["two", "point", "five"]]


@pytest.mark.parametrize(
    ("word", "unsure"),
    [
        *[(word, True) for word in ("$0.02", "kHz", "vs.", "e.g.", "R&D/IT", "3x", "B2B", "£5,")],
        *[(word, False) for word in ("1905", "3rd", "1950s", "2.5", "Dr.", "Zaldor", "don’t", "I")],
    ],
)
def test_a_word_that_voices_read_in_many_ways_is_not_judged(word, unsure):
    assert is_unsure(word) == unsure


def test_phonemes_become_the_dictionary_s():
    assert arpabet("wˈɔTəɹ") == "W AO D ER"


def test_places_before_inside_and_after_cuts_move_by_what_is_gone():
    cuts = ((100, 150), (300, 400))
    assert [moved_sample(at, cuts) for at in (50, 100, 120, 150, 299, 350, 500)] == [
        *(50, 100, 100, 100, 249, 250, 350)
    ]
    audio = np.ones(500, np.float32)
    assert len(without(audio, cuts, RATE_HZ)) == moved_sample(len(audio), cuts)
