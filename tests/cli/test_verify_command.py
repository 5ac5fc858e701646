"""`chatter-nb verify RECORDING TEXT`: real speech against its text, and against others."""

import json
from itertools import pairwise

import numpy as np
import pytest
import soundfile
from hibari import Hibari

from chatter_nb.verify.recording import parts_of, pieces_of
from chatter_nb.verify.spelling import normal_words

RATE_HZ = Hibari.sample_rate
SENTENCES = (
    "The miller carried his heavy sacks across the wooden bridge.",
    "Nobody had seen the river so high since the great flood.",
    "Two herons stood beside the road and waited for the rain.",
    "In the evening the whole village came together in the barn.",
)


@pytest.fixture(scope="module")
def speech():
    return [Hibari()(sentence, seed=at) for at, sentence in enumerate(SENTENCES)]


@pytest.fixture
def recording(tmp_path, speech):
    pause = np.zeros(RATE_HZ, np.float32)
    path = tmp_path / "narrator.wav"
    soundfile.write(path, np.concatenate([p for one in speech for p in (one, pause)]), RATE_HZ)
    return path


def test_a_recording_that_says_its_text_passes(cli, recording, tmp_path):
    text = tmp_path / "chapter.txt"
    text.write_text("\n\n".join(SENTENCES))
    done = cli("verify", recording, text, check=0)
    assert "narrator.wav: ok" in done.stdout
    assert "4 pieces, 0 doubtful" in done.stdout


def test_a_sentence_that_is_not_there_is_named_with_its_place(cli, recording):
    text = " ".join([*SENTENCES[:2], "A stranger had sold them a blind horse.", *SENTENCES[2:]])
    answer = json.loads(cli("verify", recording, text, "--json", check=1).stdout)
    assert answer["verdict"] == "doubtful"
    doubted = [p for p in answer["pieces"] if p["verdict"]["verdict"] == "doubtful"]
    [piece] = doubted
    assert "blind horse" in piece["text"]
    findings = piece["verdict"]["findings"]
    assert any("blind horse" in finding["expected"] for finding in findings)
    assert all(piece["start_s"] - 0.5 <= f["start_s"] <= piece["end_s"] for f in findings)
    assert 8 < piece["start_s"] < 14


def test_speech_that_is_not_in_the_text_is_named(cli, recording):
    text = " ".join([SENTENCES[0], *SENTENCES[2:]])
    done = cli("verify", recording, text, check=1)
    assert 'since the Great Flood." is not in the text' in done.stdout


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("missing.wav", "Hello."), "missing.wav"),
        (("{recording}", "***"), "nothing to speak"),
        (("{recording}", "Guten Morgen.", "--language", "de"), "cannot hear language 'de'"),
        (("{recording}", "Hello.", "-p", "verify=off"), "choose fast or full"),
        (("{recording}", "Hello.", "-p", "asr_model=none-such"), "asr_model 'none-such'"),
        (("{recording}", "Hello.", "-p", "text=More"), "second argument"),
        (("{recording}", "chapter.txt"), "there is no file 'chapter.txt'"),
    ],
)
def test_what_cannot_be_checked_is_a_sentence(cli, recording, args, message):
    done = cli("verify", *(arg.format(recording=recording) for arg in args), check=2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_pieces_end_in_pauses_and_are_short_enough_to_hear(speech):
    pause = np.zeros(round(0.3 * RATE_HZ), np.float32)
    audio = np.concatenate([part for one in speech * 4 for part in (one, pause)])
    pieces = pieces_of(audio, RATE_HZ)
    assert max(end - start for start, end in pieces) <= 15.2 * RATE_HZ
    assert all(a[1] <= b[0] for a, b in pairwise(pieces))
    covered = sum(np.abs(audio[start:end]).sum() for start, end in pieces)
    assert covered > 0.999 * np.abs(audio).sum()


def test_every_word_of_the_text_has_a_piece():
    text = ["red", "blue", "green", "white", "black", "brown", "grey", "pink"]
    heard = ["red blue", "grin wide", "", "grey pink purple"]
    parts = parts_of(text, [normal_words(words) for words in heard])
    assert " ".join(filter(None, parts)).split() == text
    assert parts[0] == "red blue"
    assert "pink" in parts[3]
    assert parts_of(text, [[], []]) == ["", " ".join(text)]
