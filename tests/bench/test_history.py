"""The history of timings: nothing of it is lost, and only like is compared with like."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from chatter_nb.base.errors import OutputError
from chatter_nb.bench.history import (
    Measurement,
    Round,
    append,
    comparable,
    earlier,
    history_path,
    judged_s,
    read_history,
)

ROUND = Round(wall_s=1.0, audio_s=50.0, stages_s={"synthesis": 0.7, "tokens": 0.2, "load": 0.0})


def made(**values):
    own = {
        "recorded": "2026-11-23T02:00:00Z",
        "suite": "embedded",
        "workload": "ab12",
        "options": {"chunks": 3},
        "machine": "A processor, 2 cores",
        "device": "cpu",
        "versions": {"torch": "2.11.0", "numpy": "2.3.0"},
        "commit": "0123456789abcdef",
        "rounds": (ROUND,) * 5,
    }
    return Measurement(**own | values)


def test_what_was_appended_is_read_oldest_first(tmp_path):
    path = tmp_path / "timing" / "history.jsonl"
    later, first = made(recorded="2026-11-24T00:00:00Z"), made(device="cuda (NVIDIA ü)")
    append(path, later)
    append(path, first)
    assert read_history(path) == ([first, later], [])


def test_no_file_is_an_empty_history(tmp_path):
    assert read_history(tmp_path / "none.jsonl") == ([], [])
    assert history_path(tmp_path) == tmp_path / "timing" / "history.jsonl"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b'{"suite": "embedded", "rec', "line 2 is no measurement and left out (the line: "),
        (b"\xff\xfe\x00", "line 2 is no measurement"),
        (b'{"suite": "t3"}', "line 2 is no measurement and left out (recorded: field required)"),
        (b"[1, 2]", "line 2 is no measurement"),
    ],
)
def test_a_damaged_line_is_told_and_left_alone(line, told, tmp_path):
    path = tmp_path / "history.jsonl"
    append(path, made())
    with path.open("ab") as file:
        file.write(line + b"\n")
    append(path, made(suite="convert"))
    before = path.read_bytes()
    found, (damaged,) = read_history(path)
    assert [one.suite for one in found] == ["embedded", "convert"]
    assert told in damaged
    assert str(path) in damaged
    assert path.read_bytes() == before


def test_a_line_cut_off_spoils_no_other(tmp_path):
    """As a killed process or a full disk leaves it: without an end."""
    path = tmp_path / "history.jsonl"
    append(path, made())
    with path.open("ab") as file:
        file.write(b'{"suite": "embed')
    append(path, made(suite="convert"))
    found, damaged = read_history(path)
    assert [one.suite for one in found] == ["embedded", "convert"]
    assert len(damaged) == 1


def test_many_writers_mix_no_lines(tmp_path):
    path = tmp_path / "history.jsonl"
    long = made(rounds=(ROUND,) * 200)  # longer than a buffer
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: append(path, long), range(64)))
    found, damaged = read_history(path)
    assert (len(found), damaged) == (64, [])


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "timing").write_text("a file where a folder belongs")
    with pytest.raises(OutputError, match=r"cannot write .*history\.jsonl"):
        append(history_path(tmp_path), made())


def differing(before, after):
    """The names of the conditions that differ."""
    return [name for name, value in before.conditions.items() if value != after.conditions[name]]


@pytest.mark.parametrize(
    ("values", "condition"),
    [
        ({"suite": "convert"}, "suite"),
        ({"options": {"chunks": 4}}, "options"),
        ({"workload": "cd"}, "workload"),
        ({"machine": "B"}, "machine"),
        ({"device": "mps (Apple GPU)"}, "device"),
        ({"versions": {"numpy": "2.3.0"}}, "torch"),
    ],
)
def test_only_like_is_compared_with_like(values, condition):
    assert differing(made(), made(**values)) == [condition]
    assert not comparable(made(), made(**values))


def test_commit_and_other_versions_may_differ():
    versions = {"torch": "2.11.0", "numpy": "2.3.0", "papermill": "2.7"}
    assert comparable(made(), made(commit="fedcba", dirty=True, versions=versions))


@pytest.mark.parametrize(
    ("versions", "condition"),
    [
        ({"torch": "2.11.0", "numpy": "2.4.0"}, "numpy"),
        ({"torch": "2.11.0", "numpy": "2.3.0", "python": "3.12.1"}, "python"),
    ],
)
def test_versions_that_decide_the_speed_must_agree(versions, condition):
    assert differing(made(), made(versions=versions)) == [condition]
    assert not comparable(made(), made(versions=versions))


def test_pythons_last_number_does_not_matter():
    versions = [{"python": "3.11.7"}, {"python": "3.11.8"}, {"python": "3.12.8"}]
    first, patched, newer = (made(versions=each) for each in versions)
    assert comparable(first, patched)
    assert not comparable(first, newer)


def test_other_audio_is_other_work():
    shorter = made(rounds=(ROUND.model_copy(update={"audio_s": 40.0}),) * 5)
    assert differing(made(), shorter) == []
    assert not comparable(made(), shorter)


@pytest.mark.parametrize("rounds", [3, 5])
def test_a_line_that_cannot_be_compared_is_damaged(tmp_path, rounds):
    """Too few rounds, or rounds that took no time: told, and left out."""
    line = json.loads(made().model_dump_json())
    line["rounds"] = line["rounds"][:rounds]
    line["rounds"][0]["wall_s"] = 1.0 if rounds == 3 else 0.0
    path = tmp_path / "history.jsonl"
    path.write_text(json.dumps(line) + "\n")
    found, damaged = read_history(path)
    assert found == []
    assert "rounds" in damaged[0]


def test_a_disk_that_takes_only_a_part_is_an_error(tmp_path):
    """It says nothing itself: here a limit on the file's size stands for a full disk."""
    path = tmp_path / "history.jsonl"
    append(path, made())
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "from pathlib import Path; from chatter_nb.bench.history import append, read_history; "
        f"path = Path({str(path)!r}); size = path.stat().st_size; (one,), _ = read_history(path); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, size + 100)); append(path, one)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "OutputError" in done.stderr
    (kept,), damaged = read_history(path)
    assert kept == made()
    assert len(damaged) == 1


def test_the_earlier_ones_are_those_before_it_and_like_it():
    days = [made(recorded=f"2026-11-2{day}T00:00:00Z") for day in range(5)]
    history = [*days, made(suite="convert", recorded="2026-11-20T00:00:00Z")]
    assert earlier(history, days[2]) == days[:2]
    assert earlier(history, days[0]) == []


def test_a_suite_is_judged_by_what_it_is_about():
    assert judged_s("embedded", [ROUND]) == [1.0]
    assert judged_s("t3", [ROUND]) == [0.2]
    assert judged_s("s3gen", [ROUND]) == [0.7]
    assert judged_s("overhead", [ROUND]) == pytest.approx([0.1])


def test_a_label_is_the_commit_and_whether_it_was_changed():
    assert made().label == "0123456"
    assert made(dirty=True).label == "0123456+"
    assert made(commit=None).label == "no commit"


def test_reading_a_history_loads_neither_numpy_nor_torch():
    code = "import sys, chatter_nb.bench.history, chatter_nb.bench.verdict, json;"
    code += "print(json.dumps([m for m in ('numpy', 'torch', 'scipy') if m in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
