"""Audio at the edge: what is written is what is read, and a failed write leaves nothing behind."""

import threading

import numpy as np
import pytest
import soundfile

from chatter_nb.audio import reading as audio
from chatter_nb.audio import writer as writing
from chatter_nb.audio.reading import check_signal, inspect_audio, peak, read_audio, resample
from chatter_nb.audio.writer import AudioWriter
from chatter_nb.base.errors import InputError, OutputError
from chatter_nb.base.formats import PLAIN_FORMATS
from chatter_nb.base.write_behind import WriteBehind

RATE = 24_000


def tone(seconds=1.0, hz=440, level=0.5):
    return (level * np.sin(2 * np.pi * hz * np.arange(round(RATE * seconds)) / RATE)).astype("f4")


def write(folder, signal, formats, *, rate=RATE, block=1000, **kwargs):
    with AudioWriter(folder, "a", formats, sample_rate=rate, **kwargs) as writer:
        for start in range(0, len(signal), block):
            writer.write(signal[start : start + block])
        writer.finish()
        return writer.commit()


@pytest.mark.parametrize(("bits", "tolerance"), [(16, 2**-15), (24, 2**-23), (32, 0)])
def test_wav_widths_hold_the_signal(tmp_path, bits, tolerance):
    (path,) = write(tmp_path, tone(), ["wav"], wav_bits=bits)
    back, rate = read_audio(path)
    assert rate == RATE
    assert soundfile.info(path).subtype == {16: "PCM_16", 24: "PCM_24", 32: "FLOAT"}[bits]
    assert np.abs(back - tone()).max() <= tolerance


def test_flac_holds_the_same_samples_as_wav(tmp_path):
    wav, flac = write(tmp_path, tone(), ["wav", "flac"])
    assert np.array_equal(read_audio(wav)[0], read_audio(flac)[0])


@pytest.mark.parametrize("name", ["mp3", "opus"])
def test_lossy_formats_keep_rate_length_and_sound(tmp_path, name):
    (path,) = write(tmp_path, tone(2.0), [name])
    back, rate = read_audio(path)
    assert (rate, len(back)) == (RATE, 2 * RATE)
    middle = slice(RATE // 2, RATE)
    assert np.corrcoef(back[middle], tone(2.0)[middle])[0, 1] > 0.99


@pytest.mark.parametrize("bits", [16, 24])
def test_files_are_those_of_a_writer_without_threads(bits, tmp_path, monkeypatch):
    """Byte for byte, in every format; a wav that goes on as RF64 in the middle too."""
    monkeypatch.setattr(writing, "WAV_LIMIT_BYTES", 60_000)
    behind, inline = tmp_path / "behind", tmp_path / "inline"
    for folder in (behind, inline):
        folder.mkdir()
    files = write(behind, tone(2.0, level=1.2), list(PLAIN_FORMATS), wav_bits=bits)
    monkeypatch.setattr(WriteBehind, "add", lambda self, write, size_bytes: write())
    expected = write(inline, tone(2.0, level=1.2), list(PLAIN_FORMATS), wav_bits=bits)
    assert [p.read_bytes() for p in files] == [p.read_bytes() for p in expected]


def test_a_writer_goes_on_while_an_encoder_is_busy(tmp_path, monkeypatch):
    """No block is written before all blocks were taken, and still the file is whole."""
    all_taken, encode = threading.Event(), writing._Sink._write

    def busy(sink, block):
        assert all_taken.wait(60)
        encode(sink, block)

    monkeypatch.setattr(writing._Sink, "_write", busy)
    with AudioWriter(tmp_path, "a", ["wav"], sample_rate=RATE) as writer:
        for block in np.split(tone(), 10):
            writer.write(block)
        all_taken.set()
        writer.finish()
        (path,) = writer.commit()
    assert np.abs(read_audio(path)[0] - tone()).max() <= 2**-15


@pytest.mark.parametrize("name", PLAIN_FORMATS)
def test_a_disk_that_is_full_is_told_and_nothing_is_left(name, small_disk):
    """At a later write, and where the first bytes reach the disk only at the end."""
    folder, threads = small_disk.folder, threading.active_count()
    noise = np.random.default_rng(0).uniform(-1, 1, 30 * RATE).astype("f4")
    told = rf"disk full while writing .*a\.{name}"
    with pytest.raises(OutputError, match=told):
        write(folder, np.tile(noise, 8), [name], block=len(noise))
    (folder / "filler").write_bytes(bytes(300 << 10))
    with pytest.raises(OutputError, match=told):
        write(folder, noise[:3000], [name])
    assert [path.name for path in folder.iterdir()] == ["filler"]
    assert threading.active_count() == threads


def test_no_thread_is_left(tmp_path):
    """After the files are finished, and where a run ends in the middle."""
    threads = threading.active_count()
    write(tmp_path, tone(), list(PLAIN_FORMATS))
    with AudioWriter(tmp_path, "b", list(PLAIN_FORMATS), sample_rate=RATE) as writer:
        writer.write(tone())
    assert threading.active_count() == threads
    assert {path.stem for path in tmp_path.iterdir()} == {"a"}


@pytest.mark.parametrize("rate", PLAIN_FORMATS["opus"].rates_hz)
def test_opus_holds_every_sample_in_its_place(rate, tmp_path):
    """Lengths around a packet of 20 ms; sound where it was, which granules and pre-skip decide."""
    packet = rate // 50
    for samples in (1, packet - 1, packet, packet + 1, 7 * rate // 4):
        signal = np.random.default_rng(0).normal(0, 0.1, samples).cumsum().astype("f4") % 0.5
        (path,) = write(tmp_path, signal, ["opus"], rate=rate)
        back, _ = soundfile.read(path, dtype="float32")
        assert (soundfile.info(path).samplerate, len(back)) == (rate, samples)
    lags = range(-5, 6)
    inner = signal[rate // 2 : rate] - signal.mean()
    match = [np.dot(inner, back[rate // 2 + lag : rate + lag]) for lag in lags]
    assert lags[int(np.argmax(match))] == 0


def test_over_full_scale_is_clipped_and_told(tmp_path):
    with AudioWriter(tmp_path, "a", ["wav"], sample_rate=RATE) as writer:
        writer.write(np.array([2.0, -2.0, 0.5], np.float32))
        writer.finish()
        writer.commit()
    assert writer.peak == 2.0
    assert read_audio(tmp_path / "a.wav")[0] == pytest.approx([1.0, -1.0, 0.5], abs=1e-4)


def test_a_folder_in_the_files_place_is_told(tmp_path):
    """Before a sample is written, and where it came meanwhile."""
    with AudioWriter(tmp_path, "a", ["wav"], sample_rate=RATE) as writer:
        writer.write(tone())
        writer.finish()
        (tmp_path / "a.wav").mkdir()
        with pytest.raises(OutputError, match=r"cannot write .*a\.wav"):
            writer.commit()
    with pytest.raises(OutputError, match=r"cannot write .*a\.wav: a folder is in its place"):
        AudioWriter(tmp_path, "a", ["wav"], sample_rate=RATE)


def test_nothing_is_in_place_before_commit_and_nothing_left_without(tmp_path):
    with AudioWriter(tmp_path, "a", ["wav", "mp3"], sample_rate=RATE) as writer:
        writer.write(tone())
        assert not (tmp_path / "a.wav").exists()
    assert list(tmp_path.iterdir()) == []


def test_a_wav_that_outgrows_its_format_goes_on_as_rf64(tmp_path, monkeypatch):
    """With the limit lowered, sample for sample the same, in every width."""
    monkeypatch.setattr(writing, "WAV_LIMIT_BYTES", 30_000)
    for bits, tolerance in ((16, 2**-15), (24, 2**-23), (32, 0)):
        (path,) = write(tmp_path, tone(), ["wav"], wav_bits=bits)
        assert soundfile.info(path).format == "RF64"
        assert np.abs(read_audio(path)[0] - tone()).max() <= tolerance
    assert [p.name for p in tmp_path.iterdir()] == ["a.wav"]


@pytest.mark.slow
def test_a_wav_past_four_gigabytes_is_whole(tmp_path):
    """25 hours of 24 kHz 16-bit speech: 4.3 GB, written for real; its last second is there."""
    hour = np.tile(tone(1.0), 600)  # ten minutes a block
    with AudioWriter(tmp_path, "a", ["wav"], sample_rate=RATE) as writer:
        for _ in range(151):
            writer.write(hour)
        writer.write(tone(1.0, hz=880))
        writer.finish()
        (path,) = writer.commit()
    info = soundfile.info(path)
    assert (info.format, info.frames) == ("RF64", 151 * len(hour) + RATE)
    end, _ = soundfile.read(path, start=info.frames - RATE, dtype="float32")
    assert np.abs(end - tone(1.0, hz=880)).max() <= 2**-15
    path.unlink()


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(OutputError, match=r"cannot write .*nowhere"):
        AudioWriter(tmp_path / "nowhere", "a", ["wav"], sample_rate=RATE)


def test_opus_names_the_rates_it_takes(tmp_path):
    with pytest.raises(OutputError, match="opus has no 22050 Hz"):
        AudioWriter(tmp_path, "a", ["opus"], sample_rate=22_050)


def test_samples_that_do_not_arrive_are_an_error(tmp_path, monkeypatch):
    """A file shorter than what was written is never put in place."""
    writer = AudioWriter(tmp_path, "a", ["wav"], sample_rate=RATE)
    writer.write(tone())
    writer.samples += 1
    with pytest.raises(OutputError, match="24000 of 24001 samples"), writer:
        writer.finish()
    assert list(tmp_path.iterdir()) == []


def test_reading_averages_channels_and_resamples(tmp_path):
    stereo = np.stack([tone(), np.zeros(RATE, np.float32)], axis=1)
    soundfile.write(tmp_path / "s.wav", stereo, RATE, subtype="FLOAT")
    mono, rate = read_audio(tmp_path / "s.wav", sample_rate=16_000)
    assert (rate, len(mono)) == (16_000, 16_000)
    assert peak(mono) == pytest.approx(0.25, abs=0.01)


def test_resampling_keeps_a_tone():
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(48_000) / 48_000)
    assert np.abs(resample(tone(), RATE, 48_000) - expected)[2000:-2000].max() < 1e-3


@pytest.mark.parametrize(
    ("signal", "told"),
    [
        (np.zeros((2, 2), np.float32), "mono"),
        (np.zeros(4, np.int16), "floating point"),
        (np.array([0, np.nan], np.float32), "1 of 2 samples are NaN"),
        (np.array([0, -np.inf, np.inf]), "2 of 3 samples are NaN or infinite"),
    ],
)
def test_a_signal_that_is_none_is_refused(signal, told):
    with pytest.raises(InputError, match=told):
        check_signal(signal, where="test")


def test_unreadable_recordings_are_named(tmp_path):
    (tmp_path / "a.wav").write_text("not audio")
    with pytest.raises(InputError, match=r"cannot read recording .*a\.wav"):
        read_audio(tmp_path / "a.wav")
    with pytest.raises(InputError, match="does not exist"):
        read_audio(tmp_path / "b.wav")
    soundfile.write(tmp_path / "c.wav", np.zeros(0, np.float32), RATE)
    with pytest.raises(InputError, match="no sound"):
        read_audio(tmp_path / "c.wav")


@pytest.mark.parametrize("name", ["long.wav", "long.mp3"])
def test_a_long_recording_is_resampled_on_the_way_to_the_same_length_and_sound(
    name, tmp_path, monkeypatch
):
    """In blocks, in memory for the result only; an mp3's length is not known beforehand."""
    signal = np.stack([tone(seconds=7.3)] * 2, axis=1)
    soundfile.write(tmp_path / name, signal, RATE)
    whole, _ = read_audio(tmp_path / name, sample_rate=16_000)
    monkeypatch.setattr(audio, "WHOLE_S", 1)
    monkeypatch.setattr(audio, "_COPY_FRAMES", 5000)
    blocks, rate = read_audio(tmp_path / name, sample_rate=16_000)
    assert rate == 16_000
    assert len(blocks) == len(whole)
    assert np.abs(blocks - whole).max() < 1e-4


def test_inspecting_tells_what_reading_finds(tmp_path):
    soundfile.write(tmp_path / "a.flac", np.stack([tone()] * 3, axis=1), RATE)
    found = inspect_audio(tmp_path / "a.flac")
    signal, rate = read_audio(tmp_path / "a.flac")
    assert (found.samples, found.sample_rate, found.channels) == (len(signal), rate, 3)
    assert found.peak == peak(signal)
