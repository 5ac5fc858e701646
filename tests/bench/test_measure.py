"""Measuring: whole runs with nothing found finished, in a process of their own."""

import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from chatter_nb.base.errors import EngineError, InputError
from chatter_nb.bench.history import Measurement, Round, judged_s, read_history
from chatter_nb.bench.measure import FIRST, against_history, measure
from chatter_nb.bench.params import options_for
from chatter_nb.bench.rounds import one_round
from chatter_nb.bench.suites import work_of
from chatter_nb.bench.workers import Work, Worker, commit_of, own_tree

HELLO = {"text": "Hello there.", "engine": "hibari"}
chatterbox = pytest.mark.skipif(not find_spec("chatterbox"), reason="needs chatterbox-tts")


def test_a_measurement_says_what_was_done_where_and_when():
    heard = []
    found = measure("embedded", {"chunks": 1}, 5, heard.append)
    assert (found.suite, found.device, found.options) == ("embedded", "cpu", {"chunks": 1})
    assert len(found.rounds) == 5
    assert heard == ["warm-up", *(f"round {number} of 5" for number in range(1, 6))]
    assert "cores" in found.machine
    assert found.versions["hibari-tts"]
    assert found.load_s > 0
    for one in found.rounds:
        assert sum(one.stages_s.values()) <= one.wall_s
        assert one.stages_s["load"] < found.load_s / 10  # the warm-up did it
        assert one.stages_s["synthesis"] > 0  # nothing was found finished
        assert one.audio_s == found.rounds[0].audio_s > 0.5
        assert one.peak_rss_mb > 50
    assert found.commit == commit_of(own_tree())[0]
    again = measure("embedded", {"chunks": 1}, 5)
    assert again.workload == found.workload
    assert against_history(found, [found]) == FIRST
    assert f"against {found.label} of {found.recorded}" in against_history(again, [found, again])


def test_every_round_makes_all_anew_in_a_process_of_its_own():
    block = bytearray(600_000_000)  # this process' memory is no part of it
    with Worker(Work("speak", HELLO | {"run_name": "run"}), own_tree()) as worker:
        rounds = [worker.round() for _ in range(5)]
    del block
    assert all(each.peak_rss_mb < 500 for each in rounds)
    assert all(each.stages_s["synthesis"] > 0.001 for each in rounds)


def test_a_conversion_is_a_round_too(speak, tmp_path):
    source = str(speak(text="The river ran high that spring.").folder / "speech.wav")
    values = {"source": source, "target": "params/recordings/target.flac", "engine": "world"}
    found = Round(**one_round("convert", values, str(tmp_path / "outputs")))
    assert found.audio_s > 1
    assert 0 < found.stages_s["synthesis"] < found.wall_s


def test_what_cannot_be_run_is_told_as_what_it_is():
    work = Work("speak", {"text_file": "no-such-file.txt", "engine": "hibari"})
    with (
        Worker(work, own_tree()) as worker,
        pytest.raises(InputError, match=r"^ours: text file .*no-such-file"),
    ):
        worker.round()


@pytest.mark.parametrize(
    ("suite", "given", "repeats", "message"),
    [
        ("embeded", {}, 5, "unknown suite 'embeded'"),
        ("embedded", {"rows": 3}, 5, "does not take --rows"),
        ("embedded", {"chunks": 10_000}, 5, "--chunks must be at most"),
        ("embedded", {"chunks": -1}, 5, "--chunks must be at least 0"),
        ("embedded", {}, 4, "--repeats must be at least 5 to tell a change from noise, not 4"),
        ("t3", {"seeds": 2}, 5, "leave out --seeds and --voices"),
    ],
)
def test_bad_input_is_told_before_any_work(suite, given, repeats, message):
    with pytest.raises(InputError, match=message):
        measure(suite, given, repeats)


def test_a_round_that_found_its_chunks_finished_is_refused(monkeypatch, tmp_path):
    from chatter_nb.bench import rounds

    one_round("speak", HELLO, str(tmp_path))
    one_round("speak", HELLO, str(tmp_path))  # forgets them first
    monkeypatch.setattr(rounds, "STORE", "elsewhere")
    with pytest.raises(RuntimeError, match="1 pieces were not made but found finished"):
        one_round("speak", HELLO, str(tmp_path))


def test_a_worker_keeps_its_process_and_takes_its_folder_along():
    with Worker(Work("speak", HELLO), own_tree()) as worker:
        first, second = worker.round(), worker.round()
        folder = Path(worker._folder.name)
        pid = worker._process.pid
        assert folder.is_dir()
    assert first.stages_s["load"] > 10 * second.stages_s["load"]
    assert not folder.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_fresh_work_has_a_process_each_round():
    with Worker(Work("speak", HELLO, fresh=True), own_tree()) as worker:
        first, second = worker.round(), worker.round()
    assert second.stages_s["load"] > first.stages_s["load"] / 5


def test_a_worker_of_another_tree_must_import_that_tree(tmp_path):
    with (
        pytest.raises(EngineError, match=r"old: imported .*, which is not in "),
        Worker(Work("speak", HELLO), tmp_path, "old") as worker,
    ):
        worker.round()


def test_a_worker_that_dies_is_told_with_its_last_words(tmp_path):
    package = tmp_path / "chatter_nb"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('the roof is on fire')")
    with (
        pytest.raises(EngineError, match="old: the process ended with 1: the roof is on fire"),
        Worker(Work("speak", HELLO), tmp_path, "old") as worker,
    ):
        worker.round()


def test_rounds_as_a_program_imports_nothing_of_the_package():
    """An older commit has neither it nor its neighbours."""
    source = Path(sys.modules["chatter_nb.bench.rounds"].__file__).read_text(encoding="utf-8")
    top_level = [line for line in source.splitlines() if line.startswith(("import ", "from "))]
    assert not [line for line in top_level if "chatter_nb" in line]


def test_records_are_kept_and_compared_on_the_command_line(cli, tmp_path):
    command = ("bench", "embedded", "--chunks", "1", "--record", "--outputs-dir", tmp_path)
    first = cli(*command, check=0)
    assert f"embedded: {FIRST}" in first.stdout
    (tmp_path / "timing" / "history.jsonl").open("a").write("{}\n")
    second = cli(*command, "--json", tmp_path / "made.json", check=0)
    assert "99 % interval" in second.stdout
    assert "line 2 is no measurement" in second.stderr
    found, _ = read_history(tmp_path / "timing" / "history.jsonl")
    assert len(found) == 2
    assert Measurement(**json.loads((tmp_path / "made.json").read_text())) == found[1]


@chatterbox
@pytest.mark.slow
def test_chatterbox_suites_are_whole_runs_judged_by_their_part(tiny, own_models):
    """t3, s3gen and overhead are the pipeline's run, each judged by what it is about."""
    given = {"checkpoint": str(tiny()), "device": "cpu", "tokens": 30}
    found = measure("pipeline", given | {"chunks": 2})
    assert found.rounds[0].stages_s["watermark"] > 0
    assert found.judged_s == [one.wall_s for one in found.rounds]
    assert 0 < min(judged_s("s3gen", found.rounds)) < min(found.judged_s)
    ours = work_of("pipeline", options_for("pipeline", given | {"chunks": 2}))
    t3 = work_of("t3", options_for("t3", given | {"chunks": 2}))
    overhead = work_of("overhead", options_for("overhead", given))
    assert t3.values | {"prompt_s": 3.0} == ours.values
    assert overhead.values["text"] == ours.values["text"].split("\n\n")[0]


@chatterbox
@pytest.mark.slow
def test_loading_is_measured_from_nothing_each_time(tiny):
    options = options_for("load", {"checkpoint": str(tiny()), "device": "cpu"})
    work = work_of("load", options)
    assert work.fresh
    with Worker(work, own_tree()) as worker:
        found = worker.round()
    assert found.wall_s > 0.5  # the imports alone take that
    assert found.stages_s == {"load": found.wall_s}


@pytest.mark.slow
def test_notebooks_go_through_one_warm_kernel():
    found = measure("batch")
    assert all(one.audio_s == 0 for one in found.rounds)
    assert max(one.wall_s for one in found.rounds) < 10


def test_what_is_read_counts_by_its_content(tmp_path):
    """A workload is the same wherever its files lie, and another when they change."""
    from chatter_nb.bench.measure import _key

    one, same, other = tmp_path / "one.wav", tmp_path / "same.wav", tmp_path / "other.wav"
    for path, content in ((one, b"a"), (same, b"a"), (other, b"b")):
        path.write_bytes(content)
    keys = [_key(Work("convert", {"source": str(path)})) for path in (one, same, other)]
    assert keys[0] == keys[1] != keys[2]


def test_overhead_of_the_embedded_voice_is_its_own_run():
    work = work_of("overhead", options_for("overhead", {"engine": "hibari"}))
    assert (work.kind, work.values["engine"]) == ("speak", "hibari")
