"""The watermark: in the file, detected by PerTh, in blocks, nothing longer or shorter for it."""

import numpy as np
import pytest
from conftest import OZ

pytest.importorskip("perth", reason="needs resemble-perth")

from fakes import speaking_with

from chatter_nb.audio.reading import read_audio
from chatter_nb.base.errors import UnavailableError
from chatter_nb.engines.hibari import HibariEngine
from chatter_nb.engines.watermark import BLOCK_S, Watermark, load_perth, mark
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs import book_files
from chatter_nb.runs.speak import generate_tts

RATE = 24_000


@pytest.fixture(scope="module")
def perth():
    return load_perth()


@pytest.fixture(scope="module")
def speech():
    """Seventy-five seconds of hibari in chunks of five sentences, with pauses."""
    from hibari import Hibari

    speaker, sentences = Hibari(), OZ.read_text().split("\n\n")[2].split(". ")
    said = [speaker(sentence + ".", seed=1) for sentence in sentences[:8]]
    pause = np.zeros(RATE // 4, np.float32)
    chunk = np.concatenate([part for audio in said for part in (audio, pause)])
    return [chunk[start : start + 5 * RATE] for start in range(0, 5 * RATE * 15, 5 * RATE)] * (
        1 + 75 * RATE // len(chunk)
    )


def score(perth, signal, rate=RATE) -> float:
    return float(perth.get_watermark(signal, rate, round=False).mean())


def marked(chunks, **options) -> tuple[np.ndarray, list[np.ndarray]]:
    blocks: list[np.ndarray] = []
    watermark = Watermark(blocks.append, sample_rate=RATE, **options)
    for chunk in chunks:
        watermark.write(chunk)
        watermark.chunk_end()
    watermark.finish()
    return np.concatenate(blocks), blocks


def test_marked_speech_is_detected_and_as_long_as_it_was(perth, speech):
    whole = np.concatenate(speech)
    made, blocks = marked(speech)
    assert len(made) == len(whole)
    assert score(perth, made) > 0.95
    assert score(perth, whole) < 0.5
    assert len(blocks) > 1
    assert all(len(block) <= BLOCK_S * RATE for block in blocks)


def test_blocks_end_where_chunks_do(speech):
    _, blocks = marked(speech)
    ends = set(np.cumsum([len(chunk) for chunk in speech]))
    assert {int(end) for end in np.cumsum([len(block) for block in blocks])} <= ends


def test_who_listens_gets_every_chunk_at_once_and_marked(perth, speech):
    """A block a chunk, and the mark is as sure as in long ones."""
    chunks = speech[:6]
    made, blocks = marked(chunks, at_once=True)
    assert [len(block) for block in blocks] == [len(chunk) for chunk in chunks]
    assert score(perth, made) > 0.95


def test_no_step_where_blocks_meet_even_in_mid_word(speech):
    """A conversion has no chunks: its blocks end anywhere."""
    blocks: list[np.ndarray] = []
    watermark = Watermark(blocks.append, sample_rate=RATE)
    watermark.write(np.concatenate(speech))
    watermark.finish()
    made = np.concatenate(blocks)
    steps = np.abs(np.diff(made))
    for end in np.cumsum([len(block) for block in blocks])[:-1]:
        assert steps[end - 5 : end + 5].max() < np.percentile(steps, 99.9)


@pytest.mark.parametrize("samples", [1, 7, RATE // 2, 120_011])
def test_any_length_stays_as_it_is(samples, speech):
    """PerTh itself would make 120,000 samples of 120,011."""
    assert len(mark(np.concatenate(speech)[:samples], RATE)) == samples


def test_silence_stays_silence():
    """PerTh makes NaN of it when it looks for a mark."""
    silence = np.zeros(RATE, np.float32)
    assert np.array_equal(mark(silence, RATE), silence)
    made, _ = marked([silence] * 70)
    assert not made.any()


class MarkedHibari(HibariEngine):
    """Real speech in the place of Chatterbox': its weights are not here."""

    watermarked = True


@pytest.mark.slow
def test_the_final_file_carries_it_in_every_format(perth, tmp_path):
    """Also after lossy coding; each minute and the end of it by themselves."""
    with speaking_with(MarkedHibari()):
        params = SpeakParams(
            text_file=str(OZ),
            engine="hibari",
            outputs_dir=str(tmp_path),
            run_name="run",
            formats=("wav", "mp3", "opus"),
        )
        speech = generate_tts(params)
    assert speech.record.stages_s["watermark"] > 0
    for file in speech.record.files:
        signal, rate = speech.read(file.name)
        assert score(perth, signal[: 120 * rate], rate) > 0.9, file.name
    signal, rate = read_audio(tmp_path / "run" / "speech.wav")
    assert score(perth, signal[-20 * rate :], rate) > 0.9
    plain = SpeakParams(text="Hello there.", engine="hibari", outputs_dir=str(tmp_path))
    unmarked, rate = generate_tts(plain).read()
    assert score(perth, unmarked, rate) < 0.5


@pytest.mark.slow
@pytest.mark.parametrize("master", ["acx", "podcast"])
def test_every_chapter_of_a_mastered_file_carries_it(perth, tmp_path, monkeypatch, master):
    """Also after a resume, which marks all samples again: as before, so that none is mastered."""
    text = OZ.read_text().split("\n\n", 2)[2][:1600]
    half = len(text) // 2
    parts = [f"# Part {at + 1}\n\n{text[at * half : (at + 1) * half]}" for at in range(2)]
    (tmp_path / "book.md").write_text("\n\n".join(parts))
    values = {"text_file": str(tmp_path / "book.md"), "engine": "hibari", "run_name": "run"}
    values |= {"formats": ["m4b", "mp3", "opus"], "master": master, "outputs_dir": str(tmp_path)}
    with speaking_with(MarkedHibari()):
        with monkeypatch.context() as patch:
            patch.setattr(book_files, "write_book", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                generate_tts(SpeakParams.create(values))
        monkeypatch.setattr(book_files, "master_chapter", None)
        speech = generate_tts(SpeakParams.create(values))
    assert [report.notch_hz for report in speech.record.loudness] == [None] * 6
    for path in speech.files:
        signal, rate = read_audio(path)
        starts_s = [r.start_s for r in speech.record.loudness if r.file == path.name]
        for part in np.split(signal, [round(start_s * rate) for start_s in starts_s[1:]]):
            assert score(perth, part, rate) > 0.8, path.name  # room tone lies in its silence


def test_perth_that_could_not_load_comes_with_its_cure(monkeypatch):
    """Without pkg_resources (setuptools 81 and later) its class is None."""
    import perth

    from chatter_nb.engines import models, watermark

    monkeypatch.setattr(perth, "PerthImplicitWatermarker", None)
    monkeypatch.setattr(models, "_shared", {})
    with pytest.raises(UnavailableError, match=r"pip install 'setuptools<81'"):
        watermark.load_perth()


def test_a_chapter_is_marked_as_if_it_stood_alone(perth, speech):
    """So that its samples do not depend on the chapter before it."""
    blocks: list[np.ndarray] = []
    watermark = Watermark(blocks.append, sample_rate=RATE)
    watermark.write(speech[0])
    watermark.begin_anew()
    watermark.write(speech[1])
    watermark.finish()
    alone, _ = marked(speech[1:2])
    assert np.array_equal(np.concatenate(blocks)[len(speech[0]) :], alone)
