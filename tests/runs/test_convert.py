"""Voice conversion: whole, resumable, seamless, upstream's own where there is one window."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import media
import numpy as np
import pytest
import soundfile
from conftest import ROOT

from chatter_nb.audio.reading import resampled_length
from chatter_nb.base.errors import Cancelled, EngineError, InputError, UnavailableError
from chatter_nb.engines import world
from chatter_nb.engines.models import pick_device
from chatter_nb.params.runs import ConvertParams
from chatter_nb.runs.convert import convert_voice, plan_conversion, render_conversion
from chatter_nb.runs.folder import RunFolder

READING = ROOT / "params" / "recordings" / "reading.flac"
TARGET = ROOT / "params" / "recordings" / "target.flac"
RATE = 24_000


def reading(seconds: float = 12.0) -> np.ndarray:
    """Speech of any length: the reading, over and over."""
    signal, _ = soundfile.read(READING, dtype="float32")
    return np.tile(signal, int(seconds * RATE / len(signal)) + 1)[: round(seconds * RATE)]


def soundfile_length(path: str) -> tuple[int, int]:
    info = soundfile.info(path)
    return info.frames, info.samplerate


@pytest.fixture
def params(tmp_path):
    def make(**values) -> ConvertParams:
        own = {"source": str(READING), "target": str(TARGET), "engine": "world"}
        own |= {"outputs_dir": str(tmp_path / "out"), "run_name": "run", "window_s": 5.0}
        return ConvertParams.create(own | values)

    return make


@pytest.fixture
def source(tmp_path):
    """Write samples as a recording of the test's own."""

    def write(samples, rate=RATE, name="source.wav", **kwargs) -> str:
        soundfile.write(tmp_path / name, samples, rate, **kwargs)
        return str(tmp_path / name)

    return write


def test_a_conversion_proves_its_audio(params):
    speech = convert_voice(params(formats=("wav", "mp3")))
    record = speech.record
    assert (record.kind, record.status, record.engine.name) == ("convert", "ok", "world")
    assert "not chatterbox" not in record.engine.reason
    assert len(record.windows) == len(record.seams_samples) + 1 == record.model_calls == 6
    assert record.windows[0].start_s == 0
    assert abs(record.windows[-1].end_s - 24.45) < 0.05
    assert abs(record.audio_s - soundfile.info(READING).duration) < 0.04
    assert {file.name for file in record.files} == {"converted.wav", "converted.mp3"}
    assert RunFolder(speech.folder).is_proved()
    assert str(speech).startswith("world converted 24.")


def test_auto_takes_the_embedded_converter_and_says_why(params):
    plan = plan_conversion(params(engine="auto"))
    assert plan.engine.name == "world"
    assert plan.settled.engine.reason.startswith("the embedded converter; not chatterbox: ")


def test_a_failed_window_raises_with_its_position_and_keeps_the_others(params, monkeypatch):
    """The predecessor filled it with zeros and reported success."""
    made = []
    convert = world.WorldConversion._converted

    def failing(self, window):
        if window.index == 3:
            raise ValueError("a bad window")
        made.append(window.index)
        return convert(self, window)

    with monkeypatch.context() as patch:
        patch.setattr(world.WorldConversion, "_converted", failing)
        with pytest.raises(
            EngineError,
            match=r"reading\.flac, window 4 of 6 \(\d+\.\d to .* s\): ValueError: a bad window",
        ):
            convert_voice(params())
    folder = RunFolder(params().run_dir())
    assert folder.record().status == "failed"
    assert not (folder.path / "converted.wav").exists()
    resumed = convert_voice(params())
    assert [window.cached for window in resumed.record.windows] == [True] * 3 + [False] * 3
    whole = convert_voice(params(outputs_dir=str(folder.path.parents[1] / "other")))
    assert [f.sha256 for f in resumed.record.files] == [f.sha256 for f in whole.record.files]


def test_a_stop_keeps_what_is_finished(params):
    calls = []
    with pytest.raises(Cancelled, match="stopped after 2 of 6 windows; they are kept"):
        convert_voice(params(), calls.append, lambda: len(calls) == 2)
    assert RunFolder(params().run_dir()).record().status == "cancelled"
    assert convert_voice(params()).record.model_calls == 4


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_bytes(params, source, tmp_path):
    """Killed at a bad moment: with some windows done and a file half written."""
    path = source(reading(60))
    args = ["-p", f"source={path}", "-p", f"target={TARGET}", "-p", "engine=world"]
    args += ["-p", "run_name=run", "-p", "window_s=5", "-p", f"outputs_dir={tmp_path / 'out'}"]
    command = [sys.executable, "-m", "chatter_nb.cli", "convert", *args]
    killed = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    deadline_s = time.monotonic() + 600
    while len(list((tmp_path / "out").glob(".chunks/*/*.npy"))) < 3:
        assert time.monotonic() < deadline_s
        assert killed.poll() is None
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / "out" / "run" / "run.json").exists()
    resumed = convert_voice(params(source=path))
    assert sum(window.cached for window in resumed.record.windows) >= 3
    whole = convert_voice(params(source=path, outputs_dir=str(tmp_path / "other")))
    assert [f.sha256 for f in resumed.record.files] == [f.sha256 for f in whole.record.files]
    assert not list((tmp_path / "out" / "run").glob(".*part*"))


def test_a_folder_becomes_one_output_each_in_natural_order(params, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for number, seconds in ((10, 1.0), (2, 1.5), (1, 0.5)):
        soundfile.write(folder / f"part {number}.wav", reading(seconds), RATE)
    (folder / "notes.txt").write_text("not a recording")
    speech = convert_voice(params(source=str(folder)))
    assert [output.name for output in speech.record.outputs] == ["part 1", "part 2", "part 10"]
    assert [round(output.audio_s, 1) for output in speech.record.outputs] == [0.5, 1.5, 1.0]
    assert [output.first_chunk for output in speech.record.outputs] == [0, 1, 2]
    assert any("passed over notes.txt" in note for note in speech.record.warnings)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda p: (p / "x.wav").write_text("no audio at all, just text"), "cannot read recording"),
        (lambda p: soundfile.write(p / "x.wav", np.zeros(0), RATE), r"no sound \(0 samples\)"),
        (lambda p: soundfile.write(p / "x.wav", np.zeros(RATE), RATE), "all silence"),
        (lambda p: soundfile.write(p / "x.wav", reading(0.1), RATE), "0.10 s: at least 0.2 s"),
        (
            lambda p: soundfile.write(
                p / "x.wav", np.full(RATE, np.nan, np.float32), RATE, subtype="FLOAT"
            ),
            "24000 of 24000 samples are NaN or infinite",
        ),
        (
            lambda p: soundfile.write(
                p / "x.wav", np.append(reading(1), np.float32(np.inf)), RATE, subtype="FLOAT"
            ),
            "1 of 24001 samples are NaN or infinite",
        ),
        (lambda p: None, "does not exist"),
    ],
    ids=["text", "empty", "silence", "short", "nan", "infinite", "missing"],
)
def test_what_cannot_be_converted_is_refused_before_the_work(make, told, params, tmp_path):
    make(tmp_path)
    with pytest.raises(InputError, match=told) as error:
        plan_conversion(params(source=str(tmp_path / "x.wav")))
    assert error.value.exit_code == 2
    assert not (tmp_path / "out" / "run").exists()


@pytest.mark.parametrize("name", ["x.wav", "x.flac"])
def test_a_truncated_recording_is_refused(name, params, source, tmp_path):
    """libsndfile itself takes the shorter wav without a word."""
    path = tmp_path / name
    source(reading(3), name=name)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match=r"cut off|lost sync"):
        plan_conversion(params(source=str(path)))


def test_every_bad_recording_of_a_folder_is_named(params, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    soundfile.write(folder / "good.wav", reading(1), RATE)
    (folder / "bad.wav").write_text("text")
    soundfile.write(folder / "empty.wav", np.zeros(0), RATE)
    soundfile.write(folder / "good.flac", reading(1), RATE)
    told = r"(?s)two recordings named good.*bad\.wav.*empty\.wav"
    with pytest.raises(InputError, match=told):
        plan_conversion(params(source=str(folder)))


@pytest.mark.parametrize(
    ("rate", "channels", "options"),
    [
        (8_000, 1, {"subtype": "PCM_U8"}),
        (192_000, 1, {"subtype": "PCM_24"}),
        (48_000, 6, {"subtype": "PCM_16"}),
        (44_100, 2, {"name": "x.mp3"}),
        (16_000, 1, {"name": "x.ogg"}),
    ],
    ids=["8 bit", "192 kHz", "six channels", "stereo mp3", "ogg"],
)
def test_any_rate_width_and_channels_are_read(rate, channels, options, params, source):
    import soxr

    mono = soxr.resample(reading(2), RATE, rate)
    path = source(np.tile(mono[:, None], (1, channels)), rate, **options)
    speech = convert_voice(params(source=path))
    signal, _ = speech.read()
    assert len(signal) == resampled_length(*soundfile_length(path), RATE)
    assert np.sqrt(np.mean(signal**2)) > 0.02


@pytest.mark.parametrize("samples", [RATE + 1, 2 * RATE - 1, RATE * 6 + 959])
def test_a_conversion_is_as_long_as_its_source_to_the_sample(samples, params, source):
    """In one window and in two, in every file and in the blocks that are heard on the way."""
    heard: list[np.ndarray] = []
    path = source(reading(7)[:samples])
    speech = convert_voice(params(source=path, formats=("wav", "flac")), on_audio=heard.append)
    for file in speech.record.files:
        assert soundfile.info(speech.folder / file.name).frames == samples
    assert sum(map(len, heard)) == samples
    assert speech.audio_s == samples / RATE


def test_a_source_whose_channels_cancel_is_converted_and_told(params, source):
    voice = reading(2)
    path = source(np.stack([voice, -voice], axis=1), subtype="FLOAT")
    speech = convert_voice(params(source=path))
    (note,) = speech.record.warnings
    assert "source.wav: its channels cancel each other" in note
    alone = convert_voice(params(source=source(voice, name="mono.wav", subtype="FLOAT")))
    assert np.array_equal(speech.read()[0], alone.read()[0])


def test_a_source_of_open_length_is_converted(params, source, tmp_path):
    """As source and as target: what ffmpeg, and our own service, stream."""
    data = bytearray(Path(source(reading(2))).read_bytes())
    data[4:8] = data[40:44] = b"\xff" * 4
    (tmp_path / "open.wav").write_bytes(data)
    whole = convert_voice(params(source=source(reading(2))))
    path = str(tmp_path / "open.wav")
    speech = convert_voice(params(source=path, run_name="open"))
    assert np.array_equal(speech.read()[0], whole.read()[0])
    assert convert_voice(params(source=path, target=path)).audio_s == 2


def test_a_folder_tells_what_it_passes_over_and_takes_a_video(params, tmp_path):
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "in" / "a.wav", reading(0.5), RATE)
    media.write(tmp_path / "in" / "b.webm", reading(1), RATE, "libopus", video=True)
    for name in ("c.txt", "d.jpg"):
        (tmp_path / "in" / name).write_text("notes")
    plan = plan_conversion(params(source=str(tmp_path / "in")))
    (note,) = plan.warnings
    assert note.endswith("passed over c.txt, d.jpg: no recordings")
    assert render_conversion(plan).audio_s == pytest.approx(1.5, abs=0.02)


@pytest.mark.parametrize("engine", ["world", "chatterbox"])
def test_a_target_that_cannot_serve_is_refused(engine, params, source, tiny, own_models):
    short = source(reading(0.4), name="short.wav")
    values = {"engine": engine, "target": short}
    if engine == "chatterbox":
        values["checkpoint"] = str(tiny())
    with pytest.raises(InputError, match=r"0\.40 s long; at least"):
        plan_conversion(params(**values))
    with pytest.raises(InputError, match="neither a file nor a name"):
        plan_conversion(params(**values | {"target": "nobody"}))


@pytest.mark.slow
def test_the_command_says_what_it_did(cli, tmp_path):
    place = ("-p", f"outputs_dir={tmp_path}", "-p", "engine=world")
    done = cli("convert", "-f", "params/convert.yaml", *place, check=0)
    assert "engine: world (asked for), voice target, seed 0" in done.stdout
    assert "world converted 24.4 s of audio" in done.stdout
    args = ("convert", "-f", "params/convert.yaml", *place, "--json")
    record = json.loads(cli(*args, check=0).stdout)
    assert [window["cached"] for window in record["windows"]] == [True] * 4
    assert cli("convert", "-p", "source=nowhere.wav", check=2).stderr.startswith("error: ")


def test_an_engine_that_is_not_there_is_named(params):
    with pytest.raises(InputError, match="engine: should be"):
        params(engine="hibari")
    with pytest.raises(UnavailableError, match="runs on the cpu only"):
        pick_device("cuda", engine="world", kind="convert")


def test_clean_keeps_the_windows_that_runs_are_made_of(params, cli, tmp_path):
    convert_voice(params())
    done = cli("clean", "--unused", "--outputs-dir", tmp_path / "out", "--json", check=0)
    assert json.loads(done.stdout)["removed"] == 0
    shutil.rmtree(tmp_path / "out" / "run")
    done = cli("clean", "--unused", "--outputs-dir", tmp_path / "out", "--json", check=0)
    assert json.loads(done.stdout)["removed"] == 6


def test_a_source_that_changes_meanwhile_is_refused(params, source):
    """Its windows would be kept under the name of what it was."""
    path = source(reading(8))
    plan = plan_conversion(params(source=path))
    source(reading(8)[::-1])
    with pytest.raises(InputError, match="changed since the run was planned"):
        render_conversion(plan)
    assert not list((params().run_dir().parent / ".chunks").glob("*/*.npy"))


def test_world_without_a_target_is_told_with_the_other_problems(params, tmp_path):
    with pytest.raises(InputError, match=r"(?s)does not exist.*set target to a recording"):
        plan_conversion(params(source="nowhere.wav", target=""))


@pytest.mark.slow
def test_check_says_what_a_conversion_lacks(cli, tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text("source: nowhere.wav\nengine: chatterbox\ncheckpoint: /nope\ntarget: nobody\n")
    done = cli("check", bad, check=2)
    for told in ("nowhere.wav does not exist", "'/nope' is not a folder", "'nobody' is neither"):
        assert told in done.stdout
    assert "parameter file for: chatter-nb convert" in cli("speak", "-f", bad, check=2).stderr


def test_a_flac_of_unknown_length_is_read(params, tmp_path):
    """As encoders write that stream: its header says no number of samples."""
    soundfile.write(tmp_path / "x.flac", reading(3), RATE)
    data = bytearray((tmp_path / "x.flac").read_bytes())
    data[21] &= 0xF0  # the low half of byte 21, and the four after it, hold the total
    data[22:26] = bytes(4)
    (tmp_path / "x.flac").write_bytes(data)
    speech = convert_voice(params(source=str(tmp_path / "x.flac")))
    assert abs(speech.audio_s - 3) <= 0.04
