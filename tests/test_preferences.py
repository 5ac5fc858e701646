"""Blind tests: sides are hidden, answers are kept at once and found again, the result is right."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from chatter_nb import show
from chatter_nb.audio import read_audio
from chatter_nb.comparing import preferences as module
from chatter_nb.comparing.acoustics import measure
from chatter_nb.comparing.blindform import BlindForm
from chatter_nb.comparing.comparison import Piece, Span, load_comparison
from chatter_nb.comparing.params import CompareParams
from chatter_nb.comparing.preferences import (
    Preferences,
    Side,
    Trial,
    blind_trials,
    matched,
    verdict,
)
from chatter_nb.errors import InputError, OutputError

RATE_HZ = 24_000
TEXT = "\n\n".join(f"The river ran {how} that spring." for how in ("high", "low", "dry", "fast"))


@pytest.fixture
def params(tmp_path, speak):
    """Two runs of four chunks, named as their speeds."""
    for speed in (1.0, 0.8):
        speak(text=TEXT, speed=speed, run_name=f"pace-{speed}")
    runs = ["pace-1.0", "pace-0.8"]
    return CompareParams(runs=runs, outputs_dir=str(tmp_path), blind=True)


@pytest.fixture
def comparison(params):
    return load_comparison(params)


@pytest.fixture
def form(comparison, params):
    return BlindForm(Preferences(comparison, params))


def written(params) -> list[dict]:
    (path,) = list((module.resolve_path(params.outputs_dir) / "compare").glob("preferences-*.json"))
    return json.loads(path.read_text())["answers"]


def order(trials) -> list[tuple[int, str]]:
    return [(trial.row, trial.first.label) for trial in trials]


def test_the_order_is_the_seeds_and_the_sides_are_shuffled(comparison):
    """Every row once; over seeds, each run comes first about half of the time."""
    orders = [order(blind_trials(comparison, seed=seed)) for seed in range(40)]
    assert orders[3] == order(blind_trials(comparison, seed=3))
    assert all(sorted(row for row, _ in one) == [0, 1, 2, 3] for one in orders)
    assert len({tuple(one) for one in orders}) > 30
    first = [label for one in orders for _, label in one]
    assert 0.35 < first.count("A") / len(first) < 0.65


def test_the_form_does_not_tell_which_run_is_which(form):
    """Neither names nor speeds nor letters, until the last answer."""
    for _ in range(4):
        spoken = re.sub(r'src="data:[^"]*"', "", form.told)
        assert "pace" not in spoken
        assert "chunk" not in spoken
        assert not re.search(r"\b[AB]\b", spoken)
        assert spoken.count("<audio") == 2
        form.buttons[2].click()
    assert "pace-1.0" in form.told


def test_both_sides_are_equally_loud(tmp_path):
    """The louder one is lowered: nothing clips."""
    time_s = np.arange(2 * RATE_HZ) / RATE_HZ
    sides = []
    for amplitude in (0.9, 0.1):
        path = tmp_path / f"{amplitude}.wav"
        soundfile.write(path, amplitude * np.sin(2000 * np.pi * time_s), RATE_HZ)
        acoustics = measure(*read_audio(path))
        sides.append(Side("A", Piece("chunk 0", path.name, "", (Span(path, 0, 2),), acoustics)))
    for trial in (Trial(0, *sides), Trial(0, *reversed(sides))):
        peaks = [np.abs(signal).max() for signal, _ in matched(trial)]
        assert peaks == pytest.approx([0.1, 0.1], abs=0.001)


def test_the_buttons_record_what_was_chosen(form, comparison, params):
    trials = blind_trials(comparison, seed=params.seed)
    for number in (0, 1, 2):
        form.buttons[number].click()
    choices = [answer["choice"] for answer in written(params)]
    assert choices == [trials[0].first.label, trials[1].second.label, None]
    assert [answer["first"] for answer in written(params)] == [t.first.label for t in trials[:3]]
    assert "Pair 4 of 4" in form.told


def test_at_the_end_it_tells_who_was_preferred_and_stops(form, params):
    for _ in range(4):
        trial = form._trial
        form.buttons[0 if trial.first.label == "B" else 1].click()
    assert "B (pace-0.8) preferred in 4 of 4 (p = 0.12): it may be chance" in form.told
    assert all(button.disabled for button in form.buttons)
    form.buttons[0].click()
    assert len(written(params)) == 4


def test_a_test_goes_on_where_it_was_left(form, comparison, params):
    form.buttons[0].click()
    form.buttons[0].click()
    resumed = Preferences(comparison, params)
    assert order(resumed.waiting) == order(resumed.trials)[2:]
    other = Preferences(comparison, params.model_copy(update={"seed": 7}))
    assert len(other.waiting) == 2
    assert "Pair 3 of 4" in BlindForm(resumed).told


def test_an_answer_survives_a_kill_right_after_it(params):
    """In a process of its own, which ends without a word."""
    code = (
        "import os, sys\n"
        "from chatter_nb.comparing.blindform import BlindForm\n"
        "from chatter_nb.comparing.params import CompareParams\n"
        "from chatter_nb.comparing.comparison import Piece, Span, load_comparison\n"
        "from chatter_nb.comparing.preferences import Preferences\n"
        "params = CompareParams(runs=sys.argv[2:], outputs_dir=sys.argv[1], blind=True)\n"
        "form = BlindForm(Preferences(load_comparison(params), params))\n"
        "form.buttons[1].click()\n"
        "os.kill(os.getpid(), 9)\n"
    )
    args = [sys.executable, "-c", code, params.outputs_dir, *params.runs]
    assert subprocess.run(args, check=False, timeout=120).returncode == -9
    assert len(written(params)) == 1
    assert len(Preferences(load_comparison(params), params).waiting) == 3


def test_listeners_have_answers_of_their_own(comparison, params):
    for name in ("Anna K.", ""):
        own = Preferences(comparison, params.model_copy(update={"listener": name}))
        assert len(own.waiting) == 4
        own.record(own.trials[0], None)
    names = [path.name for path in own.path.parent.glob("preferences-*.json")]
    assert sum(name.endswith("-anna-k.json") for name in names) == 1
    assert len(names) == 2


def test_a_chunk_that_both_runs_share_is_not_asked(speak, tmp_path):
    speak(text="One here.\n\nTwo here.", run_name="a")
    speak(text="One here.\n\nTwo there.", run_name="b")
    params = CompareParams(runs=["a", "b"], outputs_dir=str(tmp_path))
    assert [trial.row for trial in blind_trials(load_comparison(params), seed=0)] == [1]


def test_equal_runs_have_nothing_to_ask(speak, tmp_path):
    for name in ("a", "b"):
        speak(text="One here.", run_name=name)
    params = CompareParams(runs=["a", "b"], outputs_dir=str(tmp_path), blind=True)
    form = BlindForm(Preferences(load_comparison(params), params))
    assert "their audio is equal" in form.told


def test_a_disk_that_refuses_is_a_sentence_and_the_pair_stays(form, params, monkeypatch):
    def refuse(path, file):
        raise OutputError("disk full while writing <answers>")

    monkeypatch.setattr(module, "_write", refuse)
    form.buttons[0].click()
    assert "Not recorded: disk full while writing &lt;answers&gt;" in form.told
    assert "Pair 1 of 4" in form.told
    monkeypatch.undo()
    form.buttons[0].click()
    assert "Not recorded" not in form.told
    assert len(written(params)) == 1


def test_damaged_answers_are_a_sentence_and_are_left_alone(comparison, params):
    path = Preferences(comparison, params).path
    path.parent.mkdir(exist_ok=True)
    path.write_text("{")
    with pytest.raises(InputError, match="move the file away to begin anew"):
        Preferences(comparison, params)
    assert "move the file away" in show.blind_test(comparison, params).data
    assert path.read_text() == "{"


def test_headless_it_is_a_line_and_tells_what_was_heard(form, comparison, params):
    form.buttons[0].click()
    inert = show.blind_test(comparison, params.model_copy(update={"interactive": False})).data
    assert "to hear 4 pairs" in inert
    assert "preferred in 1 of 1" in inert
    assert "<audio" not in inert


def test_for_a_person_it_is_the_form(comparison, params):
    import ipywidgets

    assert isinstance(show.blind_test(comparison, params), ipywidgets.VBox)


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        ((1, 9), "two preferred in 9 of 10 (p = 0.021)"),
        ((5, 5), "one and two preferred 5 times each (p = 1)"),
        ((6, 4), "one preferred in 6 of 10 (p = 0.75): it may be chance"),
        ((20, 0, 3), "one preferred in 20 of 20 (p < 0.001); no difference heard in 3"),
        ((0, 0, 4), "one or two: no preference in any of 4"),
    ],
)
def test_the_verdict_is_the_exact_sign_test(counts, told):
    """Both tails of fair coins: 22 of 1024 are 1 or 9 of ten, or further apart."""
    assert verdict("one", "two", *counts) == told
