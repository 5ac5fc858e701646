"""Headers that leave a length open, headers that lie, and files that are read elsewhere."""

import io
import struct
import tracemalloc

import numpy as np
import pytest
import soundfile
from conftest import ROOT

from chatter_nb.audio.containers import way_out
from chatter_nb.audio.curves import duration_s
from chatter_nb.audio.reading import inspect_audio, read_audio, read_recording
from chatter_nb.base.errors import InputError

RATE = 24_000
SPEECH, _ = soundfile.read(ROOT / "params" / "recordings" / "reading.flac", dtype="int16")
SPEECH = SPEECH[:RATE]
OPEN = (0xFFFFFFFF, 0xFFFFFFFF - 36, 0x80000000, 0x7FFFFFFF, 0x7FFFF000, 0)


def encoded(kind: str = "WAV", samples=SPEECH, rate: int = RATE, subtype: str = "PCM_16") -> bytes:
    data = io.BytesIO()
    soundfile.write(data, samples, rate, format=kind, subtype=subtype)
    return data.getvalue()


def with_length(length: int) -> bytes:
    """A wav whose header gives this length for its samples."""
    data = bytearray(encoded())
    struct.pack_into("<I", data, 4, min(length + 36, 0xFFFFFFFF))
    struct.pack_into("<I", data, data.index(b"data") + 4, length)
    return bytes(data)


def streamed(container: str, codec: str, **options: str) -> bytes:
    """What ffmpeg writes into a pipe."""
    import av

    pipe = io.BytesIO()
    pipe.seekable = lambda: False
    with av.open(pipe, "w", format=container, container_options=options) as output:
        stream = output.add_stream(codec, rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(SPEECH[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts = RATE, 0
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return pipe.getvalue()


def sox_aiff() -> bytes:
    """What sox writes into a pipe: 0x7F000000 bytes of samples."""
    data = bytearray(encoded("AIFF"))
    struct.pack_into(">I", data, 22, 0x7F000000 // 2)
    struct.pack_into(">I", data, data.index(b"SSND") + 4, 0x7F000008)
    return bytes(data)


def read(path, data: bytes) -> np.ndarray:
    path.write_bytes(data)
    signal, rate = read_audio(path)
    assert rate == RATE
    assert inspect_audio(path).samples == len(signal)
    return np.rint(signal * 2**15)


@pytest.mark.parametrize("length", OPEN, ids=hex)
def test_a_wav_of_open_length_is_read_to_its_end(length, tmp_path):
    path = tmp_path / "a.wav"
    assert np.array_equal(read(path, with_length(length)), SPEECH)
    assert duration_s(path) == 1


@pytest.mark.parametrize(
    ("container", "codec", "options"),
    [
        ("wav", "pcm_s16le", {}),
        ("wav", "pcm_s16le", {"rf64": "always"}),
        ("w64", "pcm_s16le", {}),
        ("au", "pcm_s16be", {}),
        ("caf", "pcm_s16be", {}),
        ("aiff", "pcm_s16be", {}),
        ("flac", "flac", {}),
    ],
    ids=["wav", "rf64", "w64", "au", "caf", "aiff", "flac"],
)
def test_what_ffmpeg_streams_is_read_to_its_end(container, codec, options, tmp_path):
    path = tmp_path / "a.wav"
    assert np.array_equal(read(path, streamed(container, codec, **options)), SPEECH)
    assert duration_s(path) == 1


def test_an_aiff_that_sox_streamed_is_read_to_its_end(tmp_path):
    assert np.array_equal(read(tmp_path / "a.aiff", sox_aiff()), SPEECH)


def test_an_rf64_whose_length_is_all_ones_is_read_to_its_end(tmp_path):
    data = bytearray(encoded("RF64"))
    data[28:36] = b"\xff" * 8
    assert np.array_equal(read(tmp_path / "a.rf64", bytes(data)), SPEECH)


@pytest.mark.parametrize("name", ["wav", "flac"])
def test_our_own_streams_go_in_again(name, tmp_path):
    from chatter_nb.serve.encoding import StreamEncoder

    sent = bytearray()
    encoder = StreamEncoder(name, sent.extend, sample_rate=RATE)
    encoder.write(SPEECH.astype(np.float32) / 2**15)
    encoder.close()
    assert np.abs(read(tmp_path / "a", bytes(sent)) - SPEECH).max() <= 1


@pytest.mark.parametrize("kind", ["WAV", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_cut_recording_is_refused(kind, share, tmp_path):
    data = encoded(kind)
    (tmp_path / "a").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(InputError, match=r"cut off|malformed|lost sync"):
        read_audio(tmp_path / "a")


@pytest.mark.parametrize("length", [50_000, 1 << 30, 0x7F000000 - 8192, 3 << 30], ids=hex)
def test_a_plausible_length_beyond_the_file_is_a_cut(length, tmp_path):
    (tmp_path / "a.wav").write_bytes(with_length(length))
    with pytest.raises(InputError, match=r"cut off: its header promises more than its 1\.0 s"):
        read_audio(tmp_path / "a.wav")


def test_a_flac_cut_between_two_frames_is_refused(tmp_path):
    """libsndfile sees no fault: only the header tells that there was more."""
    data = bytearray(encoded("FLAC"))
    struct.pack_into(">I", data, 22, RATE * 2)  # the low 32 bits of the total
    (tmp_path / "a.flac").write_bytes(data)
    for read_through in (read_audio, inspect_audio):
        with pytest.raises(InputError, match=r"promises more than its 1\.0 s"):
            read_through(tmp_path / "a.flac")


def test_a_wav_without_samples_is_empty_whatever_follows(tmp_path):
    """A chunk after `data` of length 0 is no sound."""
    notes = b"LIST" + struct.pack("<I", 3000) + b"INFO" + bytes(2996)
    for more in (b"", notes):
        (tmp_path / "a.wav").write_bytes(encoded(samples=SPEECH[:0]) + more)
        with pytest.raises(InputError, match="holds no sound"):
            read_audio(tmp_path / "a.wav")


def test_odd_chunks_before_the_samples_lead_nowhere(tmp_path):
    """Lengths beyond any file, chunks without end, a header that stops: the reader's own answer."""
    far = b"caff\0\1\0\0" + b"desc" + b"\xff" * 8
    many = b"RIFF\xff\xff\xff\xffWAVE" + b"junk\0\0\0\0" * 5000
    short = b"RF64\xff\xff\xff\xffWAVEdata\0\0\0\0\0"
    for data in (far, many, short, encoded()[:30], b"RIFF", b""):
        (tmp_path / "a.wav").write_bytes(data)
        with pytest.raises(InputError, match=r"cannot read recording .*readable: wav"):
            read_audio(tmp_path / "a.wav")


@pytest.mark.parametrize("rate", [None, 16_000], ids=["own rate", "resampled"])
@pytest.mark.parametrize("kind", ["mp3", "flac"])
def test_memory_follows_the_data_and_no_header(kind, rate, tmp_path):
    """An mp3 that promises 2³² frames, a flac of 2³⁶ - 1 samples: 256 GB and more."""
    path = tmp_path / f"a.{kind}"
    soundfile.write(path, SPEECH, RATE)
    data = bytearray(path.read_bytes())
    if kind == "mp3":
        at = max(data.find(b"Xing"), data.find(b"Info"))
        struct.pack_into(">I", data, at + 8, 0xFFFFFFFF)
    else:
        data[21:26] = bytes([data[21] | 0x0F]) + b"\xff" * 4
    path.write_bytes(data)
    tracemalloc.start()
    try:
        signal, _ = read_audio(path, sample_rate=rate)
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()
    assert len(signal) == pytest.approx(rate or RATE, rel=0.2)
    assert duration_s(path) == pytest.approx(1, rel=0.2)


@pytest.mark.parametrize("rate", [1, 3999, 384_001, 10_000_000])
def test_a_rate_that_no_recording_has_is_refused(rate, tmp_path):
    """A second at 1 Hz would be resampled to 24,000 times its samples."""
    (tmp_path / "a.wav").write_bytes(encoded(rate=rate))
    with pytest.raises(InputError, match=rf"has {rate} Hz; from 4000 to 384000 Hz are taken"):
        inspect_audio(tmp_path / "a.wav")


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW"])
def test_every_width_is_read(subtype, tmp_path):
    (tmp_path / "a.wav").write_bytes(encoded(samples=SPEECH / 2**15, subtype=subtype))
    assert np.abs(read_audio(tmp_path / "a.wav")[0] - SPEECH / 2**15).max() < 0.02


def test_a_nan_in_a_double_is_told(tmp_path):
    samples = np.append(SPEECH / 2**15, np.nan)
    (tmp_path / "a.wav").write_bytes(encoded(samples=samples, subtype="DOUBLE"))
    with pytest.raises(InputError, match="1 of 24001 samples are NaN or infinite"):
        read_audio(tmp_path / "a.wav")


def test_a_thousand_channels_are_averaged(tmp_path):
    samples = np.tile(SPEECH[:2000, None], (1, 1000))
    (tmp_path / "a.wav").write_bytes(encoded(samples=samples))
    assert np.array_equal(
        read(tmp_path / "b.wav", (tmp_path / "a.wav").read_bytes()), SPEECH[:2000]
    )


FOREIGN = {
    "m4a": b"\0\0\0\x20ftypM4A \0\0\2\0",
    "mp4": b"\0\0\0\x20ftypisom\0\0\2\0",
    "3gp": b"\0\0\0\x1cftyp3gp4\0\0\2\0",
    "aac": b"\xff\xf1\x58\x40\x03\x9f\xfc\xde",
    "wma": bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"),
    "amr": b"#!AMR\n\x3c",
    "webm": b"\x1a\x45\xdf\xa3\x9fB\x86\x81\x01",
    "spx": b"OggS\0\2" + bytes(22) + b"Speex   1.2",
    "wv": b"wvpk\x9c.\0\0",
    "ape": b"MAC \x96\x0f",
}


@pytest.mark.parametrize("suffix", FOREIGN)
def test_a_recording_that_is_not_read_says_what_to_do(suffix, tmp_path):
    """Also under a suffix that is read."""
    for name in (f"my voice.{suffix}", "my voice.wav"):
        (tmp_path / name).write_bytes(FOREIGN[suffix] + bytes(500))
        with pytest.raises(InputError) as told:
            read_audio(tmp_path / name)
        assert "is not read here: turn it into a wav first" in str(told.value)
        assert f'ffmpeg -i "{name}" "my voice.wav"' in str(told.value)


def test_what_is_no_recording_lists_what_is_read(tmp_path):
    (tmp_path / "a.m4a").write_text("no sound at all")
    assert way_out(tmp_path / "a.m4a") == way_out(tmp_path / "none") == ""
    with pytest.raises(InputError, match="readable: wav flac mp3 ogg opus m4b aiff au caf w64"):
        read_audio(tmp_path / "a.m4a")


# -- channels


def stereo(left: float, right: float, lag: int = 0) -> np.ndarray:
    voice = SPEECH / 2**15
    return np.stack([left * voice, right * np.roll(voice, lag)], axis=1)


@pytest.mark.parametrize(
    ("channels", "taken"),
    [
        (stereo(0.5, -0.5), 0),
        (stereo(0.4, -0.5), 1),
        (np.repeat(stereo(0.5, -0.5), 2, axis=1), 0),
        (stereo(0.5, 0.5), None),
        (stereo(0.5, 0), None),
        (stereo(0.5, -0.05), None),
        (stereo(0.5, 0.5, lag=5000), None),
        (np.hstack([stereo(0.5, 0), np.zeros((RATE, 6))]), None),
        (stereo(0, 0), None),
        (stereo(1, 0)[:, :1], None),
    ],
    ids=["antiphase", "not quite", "four", "equal", "one", "weak", "late", "eight", "none", "mono"],
)
def test_channels_that_cancel_each_other_are_not_averaged(channels, taken, tmp_path):
    """The louder one is taken alone; what does not cancel is averaged as ever."""
    soundfile.write(tmp_path / "a.wav", channels, RATE, subtype="FLOAT")
    heard = read_recording(tmp_path / "a.wav")
    assert heard.channel == inspect_audio(tmp_path / "a.wav").channel == taken
    mono = channels.mean(axis=1) if taken is None else channels[:, taken]
    assert np.abs(heard.signal - mono).max() < 1e-6


def test_channels_are_judged_as_a_whole(tmp_path):
    """A stretch in which they cancel does not make the mix change on its way."""
    samples = np.concatenate([stereo(0.5, 0.5), stereo(0.5, -0.5)])
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
    heard = read_recording(tmp_path / "a.wav")
    assert heard.channel is None
    assert np.abs(heard.signal[RATE:]).max() < 1e-6
