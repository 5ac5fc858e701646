"""What is shown: true to the run, safe to display, light."""

import itertools
import re
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import soundfile
from fakes import ToneEngine, speaking_with

from chatter_nb.audio.curves import envelope, pitch_track
from chatter_nb.engines.base import ChunkPart
from chatter_nb.notebook import show
from chatter_nb.notebook.plots import pitch_finding
from chatter_nb.params.runs import ConvertParams, SpeakParams
from chatter_nb.runs.choosing import split_record
from chatter_nb.runs.convert import plan_conversion, render_conversion
from chatter_nb.runs.lifecycle import Progress
from chatter_nb.runs.speak import generate_tts, plan_speech

RATE_HZ = 24_000
SOURCE_HZ, TARGET_HZ = 200, 150


@pytest.fixture
def hum(tmp_path):
    def run(text, **values):
        values = {"outputs_dir": str(tmp_path), "run_name": "run", "text": text} | values
        with speaking_with(ToneEngine()):
            return generate_tts(SpeakParams.create(values))

    return run


def buzz(hz: float, seconds: float) -> np.ndarray:
    """A steady tone with overtones, as a voice has them."""
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    overtones = range(1, int(5000 / hz))
    return 0.1 * sum(np.sin(2 * np.pi * hz * n * time_s) / n for n in overtones)


@pytest.fixture(scope="module")
def conversion(tmp_path_factory):
    """A plan from a tone of 200 Hz to one of 150 Hz, and its run: 9 s in three windows."""
    folder = tmp_path_factory.mktemp("conversion")
    soundfile.write(folder / "tone #1.flac", buzz(SOURCE_HZ, 9), RATE_HZ)
    soundfile.write(folder / "low.wav", buzz(TARGET_HZ, 4), RATE_HZ)
    values = {"source": str(folder / "tone #1.flac"), "target": str(folder / "low.wav")}
    values |= {"engine": "world", "window_s": 4.0, "overlap_s": 0.8, "interactive": False}
    values |= {"outputs_dir": str(folder / "runs"), "run_name": "run"}
    plan = plan_conversion(ConvertParams.create(values))
    return plan, render_conversion(plan)


def test_a_player_embeds_for_a_person_and_links_for_a_machine(hum):
    embedded = show.player(hum("Hello there.", formats=["wav", "mp3"])).data
    assert re.search(r'src="data:audio/mpeg;base64,[\w+/=]+"', embedded)
    linked = show.player(hum("Hello there.", formats=["wav", "mp3"], interactive=False)).data
    assert 'src="speech.mp3"' in linked
    assert "base64" not in linked


def test_a_large_file_is_linked_even_for_a_person(hum, monkeypatch):
    monkeypatch.setattr(show, "EMBED_LIMIT_BYTES", 100)
    assert "base64" not in show.player(hum("Hello there.")).data


def test_a_linked_recording_is_found_from_the_runs_folder(conversion):
    """Also one whose name would end a link, which a conversion's player has beside its result."""
    plan, speech = conversion
    heard, voice = show.player(speech).data, show.voice(plan).data
    first = re.findall(r'source src="([^"]+)"', heard)[::2]
    links = [unquote(link) for link in (*first, re.search(r'src="([^"]+)"', voice)[1])]
    names = [link.rpartition("/")[2] for link in links]
    assert names == ["converted.wav", "tone #1.flac", "low.wav"]
    assert all((speech.folder / link).is_file() for link in links)
    assert "base64" not in heard + voice
    assert "source: tone #1.flac, 9.0 s" in heard
    assert "voice: low.wav, 4.0 s" in voice


def test_recordings_are_embedded_for_a_person(conversion):
    plan, speech = conversion
    plan = replace(plan, params=plan.params.model_copy(update={"interactive": True}))
    record = speech.record.model_copy(update={"params": plan.params.model_dump(mode="json")})
    assert 'src="data:audio/flac;base64,' in show.player(replace(speech, record=record)).data
    assert 'src="data:audio/wav;base64,' in show.voice(plan).data


def test_an_engines_own_voice_is_a_line_without_a_player(tmp_path):
    values = {"text": "Hello.", "outputs_dir": str(tmp_path), "voice": "anna"}
    with speaking_with(ToneEngine()):
        page = show.voice(plan_speech(SpeakParams.create(values))).data
    assert "own voice, anna" in page
    assert "<audio" not in page


def test_text_is_escaped(hum):
    """A text with markup cannot break the page."""
    page = show.chunk_table(hum("<script>alert(1)</script> a & b.")).data
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_a_long_table_says_what_it_leaves_out(hum):
    page = show.chunk_table(hum("\n\n".join(f"Part {i}." for i in range(30))), max_rows=10).data
    assert "20 more, all in run.json" in page
    assert "Part 4." in page
    assert "Part 12." not in page
    assert "Part 29." in page


def test_the_table_names_the_parts_of_a_chunk_that_was_split(hum):
    """The first part carries the calls for all of them."""
    speech = hum("One two. Three four.\n\nFive six.")
    whole, other = speech.record.chunks
    parts = (ChunkPart("One two. ", 0, 900), ChunkPart("Three four.", 900, 2000))
    halves = split_record(whole.model_copy(update={"attempts": 3}), parts, 0, RATE_HZ)
    chunks = (*halves, other.model_copy(update={"index": 2}))
    record = speech.record.model_copy(update={"chunks": chunks})
    rows = show.chunk_table(replace(speech, record=record)).data.split("<tr>")[2:]
    assert [re.findall("<td[^>]*>([^<]*)", row)[4] for row in rows] == [
        "3 calls, part 1 of 2",
        "part 2 of 2",
        "1 call",
    ]


def test_parts_add_up_to_the_text_of_a_word_that_was_spaced_for_the_voice(hum):
    """And with what is layout, or was put aside, in its place."""
    (whole,) = hum("One.").record.chunks
    whole = whole.model_copy(update={"text": "See a/b/c\u00adc [d](e). "})
    parts = (
        ChunkPart("See a/b/ ", 0, 900),
        ChunkPart("cc [d (", 900, 950),
        ChunkPart("e).", 950, 999),
    )
    texts = [part.text for part in split_record(whole, parts, 0, RATE_HZ)]
    assert texts == ["See a/b/", "c\u00adc [d](", "e). "]


def test_the_envelope_finds_the_extremes_of_every_stretch(hum):
    speech = hum("A tone of some length to look at.")
    samples, _ = speech.read()
    times_s, low, high = envelope(speech.files[0], bins=50)
    assert len(times_s) <= 50
    assert (low.min(), high.max()) == (samples.min(), samples.max())
    part_s, _, _ = envelope(speech.files[0], start_s=0.05, end_s=0.1)
    assert np.all((part_s > 0.05) & (part_s < 0.1))


def test_an_mp3_is_drawn_without_a_word_from_its_decoder(hum, capfd):
    """Small reads made libsndfile's decoder print hundreds of errors into the notebook."""
    show.player(hum("A longer text to be drawn. " * 300, formats=["mp3"]))
    assert capfd.readouterr().err == ""


def test_the_lines_of_a_long_run_are_further_and_further_apart(capsys, monkeypatch):
    """A chunk a second for ten hours: a line every ten seconds would be 3,600."""
    clock_s = iter(itertools.count())
    monkeypatch.setattr(show.time, "monotonic", lambda: float(next(clock_s)))
    update, total = show.progress_lines(), 36_000
    for done in range(1, total + 1):
        update(Progress(done, total, done * 3.0, ""))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "10 of 36000 chunks, 30 s of audio"
    assert 30 < len(lines) < 100


def test_stages_add_up_to_the_wall(hum):
    speech = hum("Hello there.")
    (ax,) = show.stages(speech).axes
    total_s = sum(bar.get_width() for bar in ax.patches)
    assert total_s == pytest.approx(speech.record.wall_s, abs=0.01)
    assert re.match(r"\d+% of .* s went to \w+", ax.get_title(loc="left"))


def test_the_windows_are_drawn_where_the_record_says(conversion):
    """A bar a window, the shared stretches shaded, and each seam in one of them."""
    _, speech = conversion
    (ax,) = show.windows(speech).axes
    spans = [c.get_paths()[0].get_extents() for c in ax.collections if len(c.get_paths()) == 1]
    bars = [(box.x0, box.x1) for box in spans if box.y0 > 0]  # the wave itself goes below 0
    windows = speech.record.windows
    assert len(windows) == 3
    assert np.array(bars) == pytest.approx(np.array([(w.start_s, w.end_s) for w in windows]))
    shaded = [(p.get_x(), p.get_x() + p.get_width()) for p in ax.patches]
    (lines,) = [c for c in ax.collections if len(c.get_paths()) == 2]
    seams_s = [path.vertices[0, 0] for path in lines.get_paths()]
    assert seams_s == pytest.approx([s / RATE_HZ for s in speech.record.seams_samples])
    assert all(a <= s <= b for (a, b), s in zip(shaded, seams_s, strict=True))
    title = ax.get_title(loc="left")
    assert title == "3 windows of up to 3.6 s, 2 seams (orange); neighbours share 0.8 s (shaded)"


def test_the_title_of_the_pitch_gives_the_right_numbers(conversion):
    """Those of the tones that went in, and of the strongest tone of what came out."""
    _, speech = conversion
    (ax,) = show.pitch(speech).axes
    told = re.fullmatch(
        r"pitch moved from (\d+) to (\d+) Hz; target (\d+) Hz", ax.get_title(loc="left")
    )
    before_hz, after_hz, target_hz = map(int, told.groups())
    assert before_hz == pytest.approx(SOURCE_HZ, abs=1)
    assert target_hz == pytest.approx(TARGET_HZ, abs=1)
    samples, rate = speech.read()
    strongest = np.argmax(np.abs(np.fft.rfft(samples)))
    assert after_hz == pytest.approx(strongest * rate / len(samples), abs=2)


@pytest.mark.parametrize(
    ("heights_hz", "told"),
    [
        ((200.0, 150.0, None), "pitch moved from 200 to 150 Hz"),
        ((200.0, 202.0, 150.0), "pitch stayed at 202 Hz; target 150 Hz"),
        ((None, 150.0, 150.0), "no pitch found in the source; target 150 Hz"),
        ((200.0, None, 150.0), "no pitch found in the result; source 200 Hz; target 150 Hz"),
    ],
)
def test_the_pitch_says_what_it_found(heights_hz, told):
    assert pitch_finding(*heights_hz) == told


def test_noise_has_no_pitch(tmp_path):
    """Chance finds one in some frames."""
    noise = 0.1 * np.random.default_rng(0).standard_normal(5 * RATE_HZ)
    soundfile.write(tmp_path / "noise.wav", noise, RATE_HZ)
    assert pitch_track(tmp_path / "noise.wav").median_hz is None


def test_the_recordings_say_how_long_and_how_loud_they_are(conversion):
    """A row each, channels averaged; without a target only the source."""
    plan, _ = conversion
    source, target = show.recordings(plan).axes
    peak_db = 20 * np.log10(np.abs(buzz(SOURCE_HZ, 9)).max())
    assert source.get_title(loc="left") == (
        f"source: tone #1.flac, 9.0 s, its peak at {peak_db:.0f} dB of full scale"
    )
    assert target.get_title(loc="left").startswith("target: low.wav, 4.0 s")
    own = replace(plan, params=plan.params.model_copy(update={"target": ""}))
    assert len(show.recordings(own).axes) == 1


def test_the_envelope_averages_channels(tmp_path: Path):
    both = np.stack([np.full(1000, 0.5), np.full(1000, -0.25)], axis=1)
    soundfile.write(tmp_path / "stereo.wav", both, RATE_HZ, subtype="FLOAT")
    _, low, high = envelope(tmp_path / "stereo.wav", bins=10)
    assert np.all(low == 0.125)
    assert np.all(high == 0.125)
