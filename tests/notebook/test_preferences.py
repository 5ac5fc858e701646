"""Blind tests: sides are hidden, answers are kept at once and found again, the result is right."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from conftest import ROOT
from filelock import FileLock

from chatter_nb.audio.reading import read_audio
from chatter_nb.base.errors import InputError, OutputError
from chatter_nb.notebook import compare
from chatter_nb.notebook.compare import CompareParams, blindform
from chatter_nb.notebook.compare import preferences as module
from chatter_nb.notebook.compare.acoustics import measure
from chatter_nb.notebook.compare.blindform import BlindForm
from chatter_nb.notebook.compare.compared import Piece, Span
from chatter_nb.notebook.compare.comparison import load_comparison
from chatter_nb.notebook.compare.preferences import (
    Preferences,
    Side,
    Trial,
    blind_trials,
    matched,
    verdict,
)
from chatter_nb.params.runs import ConvertParams
from chatter_nb.runs.convert import convert_voice
from chatter_nb.runs.folder import LOCKS

RATE_HZ = 24_000
TEXT = "\n\n".join(f"The river ran {how} that spring." for how in ("high", "low", "dry", "fast"))


class Clock:
    """Passes only as told: no test waits for a person to listen."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(blindform, "monotonic", clock)
    return clock


@pytest.fixture
def choose(form, clock):
    """Listen for a while, then press First, Second or No difference: 0, 1, 2."""

    def press(number: int) -> None:
        clock.now_s += 5
        form.buttons[number].click()

    return press


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


def test_the_form_does_not_tell_which_run_is_which(form, choose):
    """Neither names nor speeds nor letters, until the last answer."""
    for _ in range(4):
        spoken = re.sub(r'src="data:[^"]*"', "", form.content)
        assert "pace" not in spoken
        assert "chunk" not in spoken
        assert not re.search(r"\b[AB]\b", spoken)
        assert spoken.count("<audio") == 2
        choose(2)
    assert "pace-1.0" in form.content


def test_each_name_stands_above_its_player(form):
    """Between two players, a name could be either's."""
    parts = re.findall(
        r"First|Second|<audio", re.sub(r'(src|aria-label)="[^"]*"', "", form.content)
    )
    assert parts == ["First", "<audio", "Second", "<audio"]


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


def test_the_buttons_record_what_was_chosen(form, choose, comparison, params):
    trials = blind_trials(comparison, seed=params.seed)
    for number in (0, 1, 2):
        choose(number)
    choices = [answer["choice"] for answer in written(params)]
    assert choices == [trials[0].first.label, trials[1].second.label, None]
    assert [answer["first"] for answer in written(params)] == [t.first.label for t in trials[:3]]
    assert "Pair 4 of 4" in form.content


def test_at_the_end_it_tells_who_was_preferred_and_stops(form, choose, params):
    for _ in range(4):
        trial = form._trial
        choose(0 if trial.first.label == "B" else 1)
    assert "B (pace-0.8) preferred in 4 of 4 (p = 0.12): it may be chance" in form.content
    assert all(button.disabled for button in form.buttons)
    choose(0)
    assert len(written(params)) == 4


def test_a_test_goes_on_where_it_was_left(form, choose, comparison, params):
    choose(0)
    choose(0)
    resumed = Preferences(comparison, params)
    assert order(resumed.waiting) == order(resumed.trials)[2:]
    other = Preferences(comparison, params.model_copy(update={"seed": 7}))
    assert len(other.waiting) == 2
    assert "Pair 3 of 4" in BlindForm(resumed).content


def test_an_answer_survives_a_kill_right_after_it(params):
    """In a process of its own, which ends without a word."""
    code = (
        "import os, sys\n"
        "from chatter_nb.notebook.compare import blindform\n"
        "from chatter_nb.notebook.compare import CompareParams\n"
        "from chatter_nb.notebook.compare.comparison import load_comparison\n"
        "from chatter_nb.notebook.compare.preferences import Preferences\n"
        "params = CompareParams(runs=sys.argv[2:], outputs_dir=sys.argv[1], blind=True)\n"
        "blindform.LISTEN_S = 0\n"
        "form = blindform.BlindForm(Preferences(load_comparison(params), params))\n"
        "form.buttons[1].click()\n"
        "os.kill(os.getpid(), 9)\n"
    )
    args = [sys.executable, "-c", code, params.outputs_dir, *params.runs]
    assert subprocess.run(args, check=False, timeout=600).returncode == -9
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


@pytest.mark.parametrize("listeners", [("Anna B", "anna-b"), ("???", "")])
def test_listeners_whose_names_are_alike_are_two(comparison, params, listeners):
    one, other = (
        Preferences(comparison, params.model_copy(update={"listener": name})) for name in listeners
    )
    assert one.path != other.path


def test_listeners_do_not_all_hear_the_same_order(comparison):
    orders = {
        tuple(order(blind_trials(comparison, seed=0, listener=str(number)))) for number in range(9)
    }
    assert len(orders) > 5


def test_two_tabs_keep_each_others_answers(comparison, params):
    """And each asks no more for what the other has."""
    one, other = (Preferences(comparison, params) for _ in range(2))
    one.record(one.trials[0], None)
    other.record(other.trials[1], None)
    assert len(written(params)) == 2
    assert len(other.waiting) == 2
    assert len(Preferences(comparison, params).answers) == 2


def test_a_file_that_another_holds_is_a_sentence(comparison, params, monkeypatch):
    monkeypatch.setattr(module, "WAIT_S", 0)
    preferences = Preferences(comparison, params)
    lock = preferences.path.parent / LOCKS / f"{preferences.path.name}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock), pytest.raises(OutputError, match="another notebook"):
        preferences.record(preferences.trials[0], None)


def test_a_click_repeated_at_once_answers_one_pair(form, clock, params):
    """A key that is held down, also for longer than a pair lasts."""
    clock.now_s += 5
    for _ in range(40):
        form.buttons[0].click()
        clock.now_s += 0.1
    assert len(written(params)) == 1


def test_a_pair_that_nobody_can_have_heard_is_not_answered(form, clock, choose, params):
    choose(0)
    clock.now_s += 0.5
    form.buttons[0].click()
    assert "Not counted: listen to this pair first" in form.content
    assert len(written(params)) == 1
    choose(0)
    assert "Not counted" not in form.content
    assert len(written(params)) == 2


def test_more_chunks_leave_the_answers_in_place(params):
    few = params.model_copy(update={"chunks": 2})
    preferences = Preferences(load_comparison(few), few)
    preferences.record(preferences.trials[0], None)
    assert len(Preferences(load_comparison(params), params).waiting) == 3


def test_a_run_made_anew_is_heard_anew(comparison, params, speak):
    preferences = Preferences(comparison, params)
    preferences.record(preferences.trials[0], None)
    speak(text=TEXT, speed=0.7, run_name="pace-0.8")
    assert len(Preferences(load_comparison(params), params).waiting) == 4


def test_chunks_without_sound_are_not_asked(speak, tmp_path):
    text = "Hello there.\n\n***\n\n…\n\nGoodbye now."
    for speed in (1.0, 0.8):
        speak(text=text, speed=speed, run_name=f"{speed}")
    params = CompareParams(runs=["1.0", "0.8"], outputs_dir=str(tmp_path))
    comparison = load_comparison(params)
    assert len(Preferences(comparison, params).trials) == 2
    assert "2 of 2 chunks" in str(comparison)


def test_the_outputs_of_two_folder_conversions_are_asked(tmp_path):
    """They have equal names, and are not equal."""
    recordings = [ROOT / "params" / "recordings" / f"{name}.flac" for name in ("target", "reading")]
    (tmp_path / "sources").mkdir()
    signal, rate_hz = read_audio(recordings[0])
    for name in ("a", "b"):
        soundfile.write(tmp_path / "sources" / f"{name}.wav", signal[: 2 * rate_hz], rate_hz)
    for target in recordings:
        values = {"source": str(tmp_path / "sources"), "target": str(target), "engine": "world"}
        values |= {"run_name": target.stem, "outputs_dir": str(tmp_path), "interactive": False}
        convert_voice(ConvertParams.create(values))
    params = CompareParams(runs=["target", "reading"], outputs_dir=str(tmp_path))
    assert len(Preferences(load_comparison(params), params).trials) == 2


def results(comparison, params) -> list[object]:
    """What the notebook shows around the blind test."""
    return [
        str(comparison),
        compare.compare_table(comparison),
        compare.compare_players(comparison, params),
        compare.compare_levels(comparison),
        compare.compare_spectra(comparison),
    ]


def test_nothing_is_given_away_while_a_blind_test_waits(comparison, params):
    """No letter, length or loudness, in whichever order the cells are run."""
    told, *pages = results(comparison, params)
    assert "After the blind test: run this cell again (4 pairs to hear)." in told
    assert "LUFS" not in told
    assert not re.search(r"\d s\b|\b[AB]:", told)
    sentence = "<p>After the blind test: run this cell again (4 pairs to hear).</p>"
    assert [page.data for page in pages] == [sentence] * 4


def test_everything_is_shown_when_all_is_heard(comparison, params):
    preferences = Preferences(comparison, params)
    for trial in preferences.trials:
        preferences.record(trial, None)
    told, table, players, *figures = results(comparison, params)
    assert "A: pace-1.0" in told
    assert "<table>" in table.data
    assert "<audio" in players.data
    assert all(figure.axes for figure in figures)


@pytest.mark.parametrize("change", [{"blind": False}, {"interactive": False}])
def test_nothing_is_hidden_where_nobody_listens_blind(params, change):
    told = str(load_comparison(params.model_copy(update=change)))
    assert "A: pace-1.0" in told
    assert "blind" not in told


def test_only_one_text_that_sounds_different_is_asked(speak, tmp_path):
    """Not a chunk that both runs share, nor one whose text was edited."""
    first = speak(text="One here.\n\nTwo here.\n\nThree here.", run_name="a")
    again = {first.record.chunks[1].key: 5}
    speak(text="One here.\n\nTwo here.\n\nThree there.", run_name="b", takes=again)
    params = CompareParams(runs=["a", "b"], outputs_dir=str(tmp_path))
    assert [trial.row for trial in blind_trials(load_comparison(params), seed=0)] == [1]


def test_equal_runs_have_nothing_to_ask(speak, tmp_path):
    for name in ("a", "b"):
        speak(text="One here.", run_name=name)
    params = CompareParams(runs=["a", "b"], outputs_dir=str(tmp_path), blind=True)
    form = BlindForm(Preferences(load_comparison(params), params))
    assert "no chunk of the same text sounds different" in form.content


def test_a_disk_that_refuses_is_a_sentence_and_the_pair_stays(form, choose, params, monkeypatch):
    def refuse(path, file):
        raise OutputError("disk full while writing <answers>")

    monkeypatch.setattr(module, "write_json", refuse)
    choose(0)
    assert "Not recorded: disk full while writing &lt;answers&gt;" in form.content
    assert "Pair 1 of 4" in form.content
    monkeypatch.undo()
    choose(0)
    assert "Not recorded" not in form.content
    assert len(written(params)) == 1


def test_damaged_answers_are_a_sentence_and_are_left_alone(comparison, params):
    path = Preferences(comparison, params).path
    path.parent.mkdir(exist_ok=True)
    path.write_text("{")
    with pytest.raises(InputError, match="move the file away to begin anew"):
        Preferences(comparison, params)
    assert "move the file away" in compare.blind_test(comparison, params).data
    assert path.read_text() == "{"


def test_headless_it_is_a_line_and_tells_what_was_heard(form, choose, comparison, params):
    choose(0)
    inert = compare.blind_test(comparison, params.model_copy(update={"interactive": False})).data
    assert "to hear 4 pairs" in inert
    assert "preferred in 1 of 1" in inert
    assert "<audio" not in inert


def test_for_a_person_it_is_the_form(comparison, params):
    import ipywidgets

    assert isinstance(compare.blind_test(comparison, params), ipywidgets.VBox)


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
