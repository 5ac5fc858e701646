"""`chatter-nb loudness FILE…`: levels in words and as JSON, and exit codes by target."""

import json

import pytest
import soundfile
from hibari import Hibari

from chatter_nb.audio.mastering import master_chapter
from chatter_nb.audio.targets import TARGETS

RATE = Hibari.sample_rate


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A chapter of speech as a wav, and mastered for ACX as an mp3."""
    folder = tmp_path_factory.mktemp("files")
    wav, mp3, spool = (folder / name for name in ("chapter.wav", "chapter.mp3", "spool"))
    speech = Hibari()("The miller carried his heavy sacks across the wooden bridge.", seed=1)
    soundfile.write(wav, speech, RATE)
    speech.astype("<f4").tofile(spool)
    master_chapter(spool, mp3, TARGETS["acx"], sample_rate=RATE, codec_name="mp3")
    return wav, mp3


def test_words_tell_the_levels_and_pass_or_fail_by_target(cli, files):
    wav, mp3 = files
    out = cli("loudness", *files, check=0).stdout
    first, second = out.split(f"{mp3}: ")
    assert f"{wav}: pcm_s16le, " in first
    assert "24,000 Hz, mono" in first
    assert "asked mp3 of constant 192 kbit/s or more; rate 24,000 Hz, asked 44,100" in first
    assert second.startswith("mp3, constant 192 kbit/s, 44,100 Hz, mono, ")
    assert "acx: passes" in second
    assert "r128: fails: loudness -" in second


def test_the_exit_code_tells_whether_all_files_meet_the_target(cli, files):
    wav, mp3 = files
    assert "acx: passes" in cli("loudness", mp3, "--target", "acx", check=0).stdout
    done = cli("loudness", mp3, wav, "--target", "acx", "--json", check=1)
    passed, failed = json.loads(done.stdout)
    assert passed["failures"] == {"acx": []}
    assert any(words.startswith("format pcm_s16le") for words in failed["failures"]["acx"])
    assert passed["loudness"]["rms_db"] == pytest.approx(-20, abs=0.6)
    assert (passed["file"], passed["bits_per_s"]) == (str(mp3), 192_000)


@pytest.mark.parametrize("name", ["none.wav", "text.mp3", "--target"])
def test_bad_input_is_a_sentence(cli, files, tmp_path, name):
    (tmp_path / "text.mp3").write_text("No audio at all. " * 40)
    given = ("--target", "loud", files[0]) if name == "--target" else (tmp_path / name,)
    words = {
        "none.wav": "none.wav does not exist",
        "text.mp3": "text.mp3: Invalid data found when processing input (readable: wav flac mp3",
        "--target": "--target 'loud': there is acx podcast r128",
    }
    done = cli("loudness", *given, check=2)
    assert words[name] in done.stderr
    assert "Traceback" not in done.stderr
