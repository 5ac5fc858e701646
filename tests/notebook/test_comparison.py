"""Runs side by side: aligned by text, measured right, told apart by what was set differently."""

import json
import re

import nbformat
import numpy as np
import papermill
import pytest
from conftest import ROOT

import chatter_nb
from chatter_nb.base.errors import InputError, ParamError
from chatter_nb.batch.choices import Choice, Choices, save_choices
from chatter_nb.notebook import compare
from chatter_nb.notebook.compare import CompareParams
from chatter_nb.notebook.compare.acoustics import BANDS_HZ, loudness, measure, spectrum
from chatter_nb.notebook.compare.comparison import COMPARE, MAX_RUNS, align, load_comparison
from chatter_nb.notebook.compare.plots import loudness_finding, pace_finding, spectrum_finding
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.speak import generate_tts

NOTEBOOK = ROOT / "notebooks" / "05_compare.ipynb"
RATE_HZ = 24_000
TEXT = "The river ran high.\n\nNobody crossed it before May.\n\nThen it fell."


@pytest.fixture
def compared(tmp_path, speak):
    """Speak runs named a, b, … with the given settings, and compare them."""

    def run(*settings, **values):
        names = [chr(ord("a") + number) for number in range(len(settings))]
        for name, setting in zip(names, settings, strict=True):
            speak(**({"text": TEXT, "run_name": name} | setting))
        return load_comparison(CompareParams(runs=names, outputs_dir=str(tmp_path), **values))

    return run


def found(texts) -> list[list[list[int]]]:
    return [[list(part) for part in row] for row in align(texts)]


def test_equal_texts_stand_side_by_side():
    assert found([["One. ", "Two."], ["One. ", "Two."]]) == [[[0], [0]], [[1], [1]]]


def test_an_inserted_chunk_stands_alone_and_moves_nothing():
    texts = [["One here. ", "Two here."], ["One here. ", "A new one. ", "Two here."]]
    assert found(texts) == [[[0], [0]], [[], [1]], [[1], [2]]]


def test_an_edited_chunk_stands_beside_what_it_was():
    texts = [["The wind blew hard. ", "Stop. "], ["The wind blew softly. ", "Stop. "]]
    assert found(texts) == [[[0], [0]], [[1], [1]]]


def test_an_unrelated_chunk_stands_beside_nothing():
    texts = [["The wind blew hard. ", "Stop. "], ["Nobody came to dinner. ", "Stop. "]]
    assert found(texts) == [[[], [0]], [[0], []], [[1], [1]]]


def test_the_same_text_cut_differently_meets_at_common_cuts():
    texts = [["One. Two. ", "Three."], ["One. ", "Two. ", "Three."]]
    assert found(texts) == [[[0], [0, 1]], [[1], [2]]]


def test_every_chunk_stands_in_one_row_also_with_three_runs():
    """In order, for texts that share some chunks in random places."""
    draw = np.random.default_rng(3)
    for _ in range(30):
        texts = [[f"Sentence {draw.integers(6)} it is. " for _ in range(5)] for _ in range(3)]
        rows = align(texts)
        for number, run in enumerate(texts):
            standing = [index for row in rows for index in row[number]]
            assert standing == list(range(len(run)))


def tone(hz: float, seconds: float, amplitude: float = 0.1) -> np.ndarray:
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return (amplitude * np.sin(2 * np.pi * hz * time_s)).astype(np.float32)


@pytest.mark.parametrize("hz", [125.0, 1000.0, 8000.0])
def test_a_tones_power_lies_in_its_own_band(hz):
    """0.1 of full scale is -23 dB."""
    got = spectrum(tone(hz, 2), RATE_HZ)
    strongest = int(np.argmax(got.level_db))
    assert got.bands_hz[strongest] == pytest.approx(hz, rel=0.02)
    assert got.level_db[strongest] == pytest.approx(-23.0, abs=0.3)
    assert got.bands_hz[-1] < RATE_HZ / 2


def test_the_bands_are_nominal_third_octaves():
    assert BANDS_HZ[13] == 1000
    assert BANDS_HZ[16] == pytest.approx(2000)


@pytest.mark.parametrize("has_pyloudnorm", [True, False])
def test_half_the_amplitude_is_six_decibels_quieter(has_pyloudnorm, monkeypatch):
    if has_pyloudnorm:
        pytest.importorskip("pyloudnorm", reason="needs pyloudnorm")
    monkeypatch.setattr(
        "chatter_nb.notebook.compare.acoustics._has_pyloudnorm", lambda: has_pyloudnorm
    )
    loud, soft = (loudness(tone(1000, 3, level), RATE_HZ) for level in (0.2, 0.1))
    assert loud - soft == pytest.approx(6.02, abs=0.05)
    assert soft == pytest.approx(-23.0, abs=0.2)


def test_pauses_count_neither_for_loudness_nor_for_pace(monkeypatch):
    """Two seconds of tone and three of silence; 40 letters are 20 a second."""
    monkeypatch.setattr("chatter_nb.notebook.compare.acoustics._has_pyloudnorm", lambda: False)
    pause = np.zeros(3 * RATE_HZ, np.float32)
    got = measure(np.concatenate([tone(500, 1), pause, tone(500, 1)]), RATE_HZ, "Abcd. " * 10)
    assert got.audio_s == 5
    assert got.speech_s == pytest.approx(2.0, abs=0.03)
    assert got.letters_per_s == pytest.approx(20, rel=0.02)
    assert got.loudness == pytest.approx(-23.0, abs=0.1)


@pytest.mark.parametrize("samples", [0, 1, 100])
def test_almost_nothing_can_be_measured(samples):
    got = measure(np.zeros(samples, np.float32), RATE_HZ, "Text.")
    assert got.loudness == -120
    assert got.letters_per_s is None


def test_only_what_differs_is_told(compared):
    comparison = compared({"seed": 1}, {"seed": 2, "speed": 0.8})
    assert comparison.differences == {"seed": ("1", "2"), "speed": ("–", "0.8")}
    page = compare.compare_table(comparison).data
    assert re.findall("<th [^>]*>([^<]*)", page)[3:] == ["seed", "speed"]


def test_long_texts_are_told_from_where_they_part(compared):
    texts = [
        f"{'The river ran high that spring. ' * 9}It ended {end}." for end in ("well", "badly")
    ]
    page = compare.compare_table(compared(*({"text": text} for text in texts))).data
    assert "It ended well." in page
    assert "It ended badly." in page
    assert page.count("The river") < 8


def test_a_slower_run_is_found_slower(compared):
    comparison = compared({}, {"speed": 0.7})
    assert re.match(r"B speaks \d\d% slower than A", pace_finding(comparison))
    assert "2 of 3" not in str(comparison)
    assert "3 of 3 chunks side by side" in str(comparison)


def test_the_same_run_twice_differs_in_nothing(compared):
    comparison = compared({}, {})
    assert comparison.differences == {}
    assert "No parameter differs" in compare.compare_table(comparison).data
    assert loudness_finding(comparison) == "equally loud, within 0.1 dB"
    low, high = compare.compare_levels(comparison).axes[0].get_ylim()
    assert high - low >= 3  # dB: what nobody hears is no cliff
    assert pace_finding(comparison).startswith("equally fast")
    assert spectrum_finding(comparison).startswith("no band differs")


def test_a_piece_is_its_chunks_samples(compared, tmp_path):
    comparison = compared({}, {"text": "Something else.\n\nNobody crossed it before May."})
    (row,) = [row for row in comparison.rows if None not in row]
    piece = row[0]
    assert piece.name == "chunk 1"
    speech = comparison.runs[0].speech
    chunk = speech.record.chunks[1]
    samples, rate_hz = speech.read()
    whole = samples[round(chunk.start_s * rate_hz) : round(chunk.end_s * rate_hz)]
    assert np.array_equal(piece.read()[0], whole)


def test_chunks_of_another_size_are_compared_by_groups(compared):
    text = "One is here. Two is here. Three is here."
    comparison = compared({"text": text, "chunk_chars": 200}, {"text": text, "chunk_chars": 20})
    ((one, three),) = comparison.rows
    assert (one.name, three.name) == ("chunk 0", "chunks 0–2")
    assert three.text == one.text == text


def test_no_more_chunks_than_asked_for_are_compared(compared):
    comparison = compared({}, {"speed": 0.8}, chunks=2)
    assert len(comparison.rows) == 2
    assert "1 more chunk not compared" in str(comparison)


def test_every_figure_has_a_row_or_line_a_run(compared):
    comparison = compared({}, {"speed": 0.8}, {"text": "Nobody crossed it."})
    assert len(compare.compare_spectra(comparison).axes[0].lines) == 3
    upper, lower = compare.compare_levels(comparison).axes
    assert [len(line.get_xdata()) for line in upper.lines] == [3, 3, 1]
    assert len(lower.lines) == 3


def test_a_run_with_no_piece_in_the_rows_is_drawn_as_an_empty_line(compared):
    """Its only chunk comes after the only row that is shown."""
    comparison = compared({}, {"text": "Then it fell."}, chunks=1)
    assert comparison.rows[0][1] is None
    figure = compare.compare_levels(comparison)
    assert all(np.isfinite(axes.get_ylim()).all() for axes in figure.axes)
    assert [len(line.get_xdata()) for line in figure.axes[0].lines] == [1, 0]


def test_the_package_exports_the_parameters():
    assert chatter_nb.CompareParams is CompareParams


def test_players_embed_for_a_person_and_link_for_a_machine(compared, tmp_path):
    comparison = compared({}, {"speed": 0.8})
    person = CompareParams(outputs_dir=str(tmp_path))
    page = compare.compare_players(comparison, person).data
    assert page.count("data:audio/flac") == 6
    machine = person.model_copy(update={"interactive": False})
    page = compare.compare_players(comparison, machine).data
    assert "data:audio" not in page
    chunk = comparison.runs[1].speech.record.chunks[2]
    assert f"../b/speech.wav#t={chunk.start_s:.3f},{chunk.end_s:.3f}" in page


def test_what_was_edited_is_bold(compared, tmp_path):
    comparison = compared({"text": "The wind blew hard."}, {"text": "The wind blew <softly>."})
    page = compare.compare_players(comparison, CompareParams(outputs_dir=str(tmp_path))).data
    assert "The wind blew <b>hard.</b>" in page
    assert "The wind blew <b>&lt;softly&gt;.</b>" in page


def test_a_folder_of_runs_is_all_of_them(compared, tmp_path):
    compared({}, {"speed": 0.8}, {"speed": 0.9})
    folder = CompareParams(runs=[str(tmp_path)], outputs_dir="elsewhere")
    assert [run.name for run in load_comparison(folder).runs] == ["a", "b", "c"]


def test_an_unfinished_run_is_left_out_of_a_folder_and_refused_by_name(compared, tmp_path):
    compared({}, {"speed": 0.8}, {"speed": 0.9})
    path = tmp_path / "c" / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"status": "failed"}))
    folder = load_comparison(CompareParams(runs=[str(tmp_path)]))
    assert folder.left_out == ("c",)
    with pytest.raises(InputError, match="c did not finish"):
        load_comparison(CompareParams(runs=["a", "c"], outputs_dir=str(tmp_path)))


def test_an_unknown_run_is_told_with_those_that_are_there(compared, tmp_path):
    compared({}, {})
    with pytest.raises(InputError, match=r"'x' is neither a run nor a folder of runs.*: a, b"):
        load_comparison(CompareParams(runs=["a", "x"], outputs_dir=str(tmp_path)))


def test_one_run_is_no_comparison(speak, tmp_path):
    speak(text="Hello.")
    with pytest.raises(
        InputError, match=f"1 finished run in run; a comparison takes 2 to {MAX_RUNS}"
    ):
        load_comparison(CompareParams(runs=["run"], outputs_dir=str(tmp_path)))


def test_audio_that_is_gone_is_told(compared, tmp_path):
    compared({}, {})
    (tmp_path / "b" / "speech.wav").unlink()
    with pytest.raises(InputError, match=r"the audio of .*b is gone: speech\.wav; run it again"):
        load_comparison(CompareParams(runs=["a", "b"], outputs_dir=str(tmp_path)))


def test_a_run_given_twice_is_refused():
    with pytest.raises(ParamError, match="a is given twice"):
        CompareParams(runs=["a", "a"])


def run_notebook(path, **values) -> str:
    """Executed headless by Papermill; returns the pages' text."""
    values = {"interactive": False} | values
    papermill.execute_notebook(NOTEBOOK, path, values, progress_bar=False, cwd=str(ROOT))
    return path.read_text()


def test_the_notebook_speaks_samples_where_no_run_is_given(tmp_path):
    """Headless: two figures, linked players, no widget."""
    pages = run_notebook(tmp_path / "out.ipynb", outputs_dir=str(tmp_path))
    assert {path.name for path in (tmp_path / COMPARE).glob("speed-*")} == {
        "speed-1.0",
        "speed-0.85",
    }
    assert pages.count("image/png") == 2
    assert pages.count("<audio") == 4
    assert "data:audio" not in pages
    assert "widget-view" not in pages
    assert '"stderr"' not in pages
    assert "B: speed-0.85" in pages


def test_the_notebooks_parameters_are_the_class():
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    (cell,) = [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    assert [line.split(":")[0] for line in cell.source.splitlines()] == list(
        CompareParams.model_fields
    )


@pytest.mark.slow
def test_the_notebook_compares_runs_of_chatterbox(tiny, tmp_path):
    """With a checkpoint of random weights, at two temperatures."""
    values = {"text": "Hello there.", "engine": "chatterbox", "checkpoint": str(tiny())}
    values |= {"outputs_dir": str(tmp_path / "runs"), "interactive": False}
    for temperature in (0.6, 0.9):
        name = f"t{temperature}"
        generate_tts(SpeakParams.create(values | {"temperature": temperature, "run_name": name}))
    pages = run_notebook(tmp_path / "out.ipynb", runs=[str(tmp_path / "runs")])
    assert "temperature" in pages
    assert pages.count("image/png") == 2


def test_runs_that_a_gallery_marks_are_compared(tmp_path, speak):
    """By the name of choices.json; a file that marks none says where they are ticked."""
    for name in ("a", "b", "c"):
        speak(text=TEXT, run_name=name)
    params = CompareParams(runs="choices.json", outputs_dir=str(tmp_path))
    save_choices(tmp_path, Choices(choices={"a": Choice(keep=True)}))
    with pytest.raises(InputError, match="marks no run with 'compare': tick it"):
        load_comparison(params)
    marked = {name: Choice(compare=True) for name in ("b", "c")}
    save_choices(tmp_path, Choices(choices=marked))
    assert [run.name for run in load_comparison(params).runs] == ["b", "c"]
