"""Headers that leave a length open, headers that lie, and files that are read elsewhere."""

import io
import struct
import tracemalloc

import media
import numpy as np
import pytest
import soundfile
from conftest import ROOT

from chatter_nb.audio.containers import open_recording
from chatter_nb.audio.curves import duration_s, stretch
from chatter_nb.audio.reading import inspect_audio, read_audio, read_recording, resample
from chatter_nb.base.errors import InputError
from chatter_nb.base.formats import DEMUXERS

RATE = 24_000
SPEECH, _ = soundfile.read(ROOT / "params" / "recordings" / "reading.flac", dtype="int16")
WHOLE = (SPEECH[: 3 * RATE] / 2**15).astype(np.float32)
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


# -- what FFmpeg reads

# (suffix, encoder, rate, demuxer): lossless ones first.
FOREIGN = [
    ("m4a", "alac", 24_000, "mov"),
    ("wv", "wavpack", 24_000, "wv"),
    ("tta", "tta", 24_000, "tta"),
    ("mkv", "flac", 24_000, "matroska"),
    ("avi", "pcm_s16le", 24_000, "avi"),
    ("m4a", "aac", 24_000, "mov"),
    ("mp4", "aac", 44_100, "mov"),
    ("3gp", "aac", 16_000, "mov"),
    ("webm", "libopus", 48_000, "matroska"),
    ("aac", "aac", 44_100, "aac"),
    ("wma", "wmav2", 44_100, "asf"),
    ("amr", "libopencore_amrnb", 8_000, "amr"),
    ("ac3", "ac3", 48_000, "ac3"),
    ("flv", "aac", 44_100, "flv"),
]
LOSSLESS = {"alac", "wavpack", "tta", "flac", "pcm_s16le"}


def voice(rate: int) -> np.ndarray:
    return resample(WHOLE, RATE, rate)


@pytest.mark.parametrize(("suffix", "encoder", "rate", "demuxer"), FOREIGN)
def test_what_libsndfile_cannot_read_is_read(suffix, encoder, rate, demuxer, tmp_path):
    """Also under another name: a file is what its bytes say."""
    sound = voice(rate)
    media.write(tmp_path / f"a.{suffix}", sound, rate, encoder, video=suffix in ("mp4", "mkv"))
    (tmp_path / f"a.{suffix}").rename(tmp_path / "my voice.wav")
    signal, read_rate = read_audio(tmp_path / "my voice.wav")
    inspected = inspect_audio(tmp_path / "my voice.wav")
    assert (read_rate, inspected.samples) == (rate, len(signal))
    with open_recording(tmp_path / "my voice.wav") as file:
        assert file.format == demuxer
    assert demuxer in DEMUXERS
    assert abs(duration_s(tmp_path / "my voice.wav") - len(sound) / rate) < 0.2
    if encoder in LOSSLESS:
        assert np.abs(signal - sound).max() <= 2**-15
    else:  # the codec's delay stays with some
        middle = sound[rate // 4 : rate]
        near = signal[
            rate // 4 - min(3000, rate // 4) :
        ]  # … and wma's decoder drops its first 2048 samples
        late = int(np.argmax(np.correlate(near[: len(middle) + 6000], middle, "valid")))
        assert np.corrcoef(near[late:][: len(middle)], middle)[0, 1] > 0.8
        assert abs(len(signal) / rate - len(sound) / rate) < 0.2


@pytest.mark.parametrize(("suffix", "encoder", "rate", "demuxer"), FOREIGN)
def test_a_seek_finds_the_same_samples(suffix, encoder, rate, demuxer, tmp_path):
    path = tmp_path / f"a.{suffix}"
    media.write(path, voice(rate), rate, encoder, video=suffix in ("mp4", "mkv"))
    whole, _ = read_audio(path)
    for start_s in (1.3, 0.4, 0.0):
        part, _ = stretch(path, start_s=start_s, end_s=start_s + 0.1)
        first = round(start_s * rate)
        assert len(part) == pytest.approx(rate * 0.1, abs=1)
        assert np.abs(part - whole[first : first + len(part)]).max() < 0.01


def test_the_first_sound_of_a_video_is_taken_and_its_channels_are_averaged(tmp_path):
    sound = voice(48_000)
    both = np.stack([0.5 * sound, 0.1 * sound], axis=1)
    media.write(tmp_path / "a.mkv", both, 48_000, "flac", video=True, second=np.zeros(48_000))
    assert inspect_audio(tmp_path / "a.mkv").channels == 2
    assert np.abs(read_audio(tmp_path / "a.mkv")[0] - 0.3 * sound).max() < 2**-14


def test_a_video_without_sound_and_a_playlist_are_refused(tmp_path):
    """No file opens another: a playlist names addresses, an mp4 may name files."""
    media.write(tmp_path / "a.mp4", None, RATE, "aac", video=True)
    with pytest.raises(InputError, match="there is no sound in it that can be decoded"):
        read_audio(tmp_path / "a.mp4")
    media.write(tmp_path / "sound.m4a", voice(RATE), RATE, "aac")
    for name, text in {
        "a.m3u8": "#EXTM3U\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST",
        "b.m4a": "ffconcat version 1.0\nfile {}",
        "c.wav": "v=0\nm=audio 5004 RTP/AVP 0\n",
    }.items():
        (tmp_path / name).write_text(text.format(tmp_path / "sound.m4a"))
        with pytest.raises(InputError, match="readable: wav flac mp3 ogg opus m4b aiff"):
            read_audio(tmp_path / name)


def test_a_title_in_old_letters_is_no_fault(tmp_path):
    """An avi or wma of old has Latin-1 in it."""
    media.write(tmp_path / "a.mkv", voice(48_000), 48_000, "flac", title="Zo\u00e9 sings")
    data = (tmp_path / "a.mkv").read_bytes()
    assert b"Zo\xc3\xa9 sings" in data
    (tmp_path / "a.mkv").write_bytes(data.replace(b"Zo\xc3\xa9 sings", b"Zo\xe9\xe9 sings"))
    assert inspect_audio(tmp_path / "a.mkv").duration_s == pytest.approx(3, abs=0.01)


@pytest.mark.parametrize("fast_start", [True, False])
def test_a_cut_mp4_is_refused(fast_start, tmp_path):
    media.write(tmp_path / "a.m4a", voice(RATE), RATE, "aac", fast_start=fast_start)
    data = (tmp_path / "a.m4a").read_bytes()
    (tmp_path / "a.m4a").write_bytes(data[: len(data) // 2])
    reason = "is cut off: its header promises more" if fast_start else "cannot read recording"
    for read_through in (read_audio, inspect_audio):
        with pytest.raises(InputError, match=reason):
            read_through(tmp_path / "a.m4a")


def test_a_long_recording_in_a_small_file_is_read_no_further_than_it_may_be_long(tmp_path):
    media.write(tmp_path / "a.webm", np.zeros(48_000 * 120, np.float32), 48_000, "libopus")
    assert (tmp_path / "a.webm").stat().st_size < 100_000
    with pytest.raises(InputError, match="longer than 5 s"):
        inspect_audio(tmp_path / "a.webm", longest_s=5)
    assert len(read_audio(tmp_path / "a.webm")[0]) == pytest.approx(48_000 * 120, abs=2000)


def test_what_is_no_recording_lists_what_is_read(tmp_path):
    for name in ("a.m4a", "a.wav"):
        (tmp_path / name).write_text("no sound at all")
        with pytest.raises(InputError, match="readable: wav flac mp3 ogg opus m4b aiff au caf w64"):
            read_audio(tmp_path / name)


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
