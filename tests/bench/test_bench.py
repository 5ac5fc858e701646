"""The benchmarks: what they compare is the same work, and their records are as promised."""

import json
import subprocess
import sys
from dataclasses import fields
from importlib import import_module
from importlib.util import find_spec

import numpy as np
import pytest

from chatter_nb.base.errors import EngineError, InputError, OutputError
from chatter_nb.bench import harness as bench
from chatter_nb.bench.harness import alternate, compared
from chatter_nb.bench.params import SUITES, Options, options_for
from chatter_nb.bench.suites import run_suite, workload
from chatter_nb.engines.models import unload

RESULT = {"name", "baseline_s", "ours_s", "ratio", "identical", "samples", "figures"}
chatterbox = pytest.mark.skipif(not find_spec("chatterbox"), reason="needs chatterbox-tts")


@pytest.fixture
def on_tiny(tiny, own_models):
    """Run a suite's workload on a tiny checkpoint; returns its results as they go into JSON."""

    def run(suite, model="chatterbox", **given):
        given |= {"checkpoint": str(tiny(model)), "engine": model, "device": "cpu"}
        record = json.loads(json.dumps(run_suite(suite, given)))
        assert bench.table(record)
        assert all(set(result) == RESULT for result in record["results"])
        return record["results"]

    yield run
    unload()


@pytest.fixture
def upstream(tiny):
    return workload.upstream_model("chatterbox", tiny(), "cpu")


def test_calls_alternate_and_the_first_round_is_dropped():
    calls = []
    seconds = alternate(
        {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")},
        3,
        lambda told: None,
        before=lambda side: calls.append("-"),
    ).seconds
    assert "".join(calls) == "-a-b" * 4
    assert [len(rounds) for rounds in seconds.values()] == [3, 3]


def test_without_a_warm_up_every_round_counts():
    calls = []
    turns = alternate({"a": lambda: calls.append("a")}, 2, lambda told: None, warm_up=False)
    assert calls == ["a", "a"]
    assert len(turns.seconds["a"]) == 2


def test_a_result_is_its_medians_and_their_ratio():
    result = compared("x", {"baseline": [1.0, 9.0, 4.0], "ours": [2.0]}, None, tokens=3)
    assert (result.baseline_s, result.ours_s, result.ratio) == (4.0, 2.0, 2.0)
    assert result.figures == {"tokens": 3}


def test_the_table_fits_a_hundred_columns():
    figures = {"stages_s": dict.fromkeys(("tokens", "synthesis"), 1.234567), "n": 3, "x": None}
    result = compared("a name that is longer than its column is wide" * 2, SECONDS, False)
    wide = compared("short", SECONDS, True, **figures)
    record = bench.record("t3", [result, wide])
    table = bench.table(record)
    assert max(map(len, table.splitlines())) <= 100
    assert "NO" in table
    assert "stages_s (tokens 1.235, synthesis 1.235) · n 3" in table


SECONDS = {"baseline": [1.0], "ours": [0.5]}


def test_a_record_names_the_machine_and_the_versions():
    record = bench.record("load", [])
    assert set(record) >= {"suite", "device", "versions", "results", "cpu", "peak_rss_mb"}
    assert record["versions"]["numpy"] == np.__version__
    assert record["device"].startswith(f"cpu: {bench.cpu_name()}")


@chatterbox
def test_a_record_says_which_instructions_torch_uses(monkeypatch):
    import torch

    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    assert bench.record("t3", [])["device"] == f"cpu: {bench.cpu_name()}, AVX2"


def test_every_suite_takes_options_that_there_are_and_has_a_module():
    known = {field.name for field in fields(Options)}
    for name, suite in SUITES.items():
        assert set(suite.defaults) <= known
        assert find_spec(f"chatter_nb.bench.suites.{name}")
        options_for(name, {})


@pytest.mark.parametrize(
    ("suite", "given", "told"),
    [
        ("t5", {}, "unknown suite 't5'; there is: embedded, convert, batch, form, load"),
        ("load", {"rows": 2}, "'load' does not take --rows; it takes --repeats --precision"),
        ("t3", {"chunks": 0}, "--chunks must be at least 1, not 0"),
        ("t3", {"rows": -1}, "--rows must be at least 0"),
        ("s3gen", {"prompt_s": 0.0}, "--prompt-s must be more than 0"),
        ("t3", {"engine": "hibari"}, "--engine 'hibari' is none of chatterbox, "),
        ("t3", {"precision": "good"}, "--precision 'good' is none of auto, exact, fast, int8"),
        ("embedded", {"repeats": 2}, "--repeats must be at least 3 for a median"),
    ],
)
def test_what_a_suite_does_not_take_is_told_before_any_work(suite, given, told):
    with pytest.raises(InputError, match=told):
        run_suite(suite, given)


def test_options_left_out_are_the_suites_own():
    assert options_for("t3", {"rows": None}).chunks == 8
    assert options_for("pipeline", {"chunks": 2}).prompt_s == 3.0
    assert options_for("s3gen", {}).prompt_s == 10.0


def test_help_imports_no_suite(cli):
    """Torch takes seconds to import; the help is for people in a hurry."""
    code = "import sys, chatter_nb.bench.suites; "
    code += "print([m for m in ('torch', 'hibari') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert "--prompt-s" in cli("bench", "--help", check=0, env={"COLUMNS": "100"}).stdout


def test_the_embedded_suite_compares_equal_samples(monkeypatch, tmp_path):
    """A short text in the place of the demo: bare calls and ours make the same samples."""
    short = tmp_path / "short.txt"
    short.write_text("Hello there.\n\nAll is well.")
    monkeypatch.setattr(import_module("chatter_nb.bench.suites.embedded"), "DEMO_TEXT", str(short))
    record = run_suite("embedded", {"repeats": 3})
    names = [result["name"] for result in record["results"]]
    others = ("flac", "mp3", "opus", "m4b")
    assert names[1:5] == [f"finished chunks to wav, and {x} as well" for x in others]
    assert names[5:] == [f"speak to wav, and {x} as well" for x in others]
    identical = [result["identical"] for result in record["results"]]
    assert identical == [True, *([True, None, None, None] * 2)]
    for result in record["results"]:
        assert set(result) == RESULT
        assert result["ratio"] == result["baseline_s"] / result["ours_s"]
    assert "speak to one wav" in bench.table(record)


def test_the_embedded_suite_may_be_shortened(monkeypatch, tmp_path):
    """The comparison speaks the same text as the measurement of ours alone."""
    embedded = import_module("chatter_nb.bench.suites.embedded")
    text = embedded.demo_text(2)
    assert text == "\n\n".join(text.split("\n\n")[:2])
    assert embedded.work(options_for("embedded", {"chunks": 2}), print).values["text"] == text
    assert len(embedded.demo_text(0)) > 10 * len(text)
    plan = embedded.demo_plan(2, str(tmp_path))
    assert [planned.chunk.spoken for planned in plan.chunks] == text.split("\n\n")


def test_the_convert_suite_compares_equal_samples(monkeypatch, speak):
    """A short recording in the place of the sample: bare calls and ours make the same samples."""
    source = str(speak(text="The river ran high that spring, and nobody knew.").folder)
    convert = import_module("chatter_nb.bench.suites.convert")
    monkeypatch.setattr(convert, "SOURCE", f"{source}/speech.wav")
    (result,) = run_suite("convert", {"repeats": 3})["results"]
    assert result["name"] == "convert to one wav"
    assert result["identical"] is True
    work = convert.work(options_for("convert", {}), print)
    assert work.values["source"] == f"{source}/speech.wav"


def test_token_limits_are_mixed_and_keep_their_mean():
    assert workload.spread(1, 48) == [48]
    limits = workload.spread(8, 48)
    assert sorted(limits) != limits
    assert (min(limits), max(limits)) == (24, 72)
    assert sum(limits) == 8 * 48


def test_texts_are_chunks_of_their_own():
    texts = workload.sample_texts()
    assert len(texts) > 20
    assert all(30 <= len(text) <= 180 for text in texts)


def test_a_random_checkpoint_is_made_once_and_whole(monkeypatch, tmp_path):
    """It appears under its name when it is finished; one cut off is made again."""
    from chatter_nb.engines.checkpoints import MODELS

    made = []

    def make(folder, engine, size):
        folder.mkdir()
        for name in MODELS[engine].needed:
            (folder / name).touch()
        made.append((folder.name, size))
        if len(made) == 1:
            raise KeyboardInterrupt
        return folder

    monkeypatch.setitem(
        sys.modules, "chatter_nb.engines.chatterbox.random_checkpoints", type(sys)("stand-in")
    )
    sys.modules["chatter_nb.engines.chatterbox.random_checkpoints"].make_checkpoint = make
    monkeypatch.setattr(workload, "BENCH_FOLDER", str(tmp_path / "bench"))
    monkeypatch.setattr(workload, "FULL_BYTES", 1)
    told = []
    with pytest.raises(KeyboardInterrupt):
        workload.checkpoint_for(Options(), told.append)
    assert list((tmp_path / "bench").iterdir()) == []
    folder = workload.checkpoint_for(Options(), told.append)
    assert folder == tmp_path / "bench" / "chatterbox-full"
    assert workload.checkpoint_for(Options(), told.append) == folder
    assert len(made) == 2
    assert [size for _, size in made] == ["full", "full"]
    assert len(told) == 2
    assert "3.2 GB" in told[0]


def test_a_disk_too_small_for_a_checkpoint_is_told_first(monkeypatch, tmp_path):
    monkeypatch.setattr(workload, "BENCH_FOLDER", str(tmp_path))
    monkeypatch.setattr(workload, "FULL_BYTES", 10**18)
    with pytest.raises(OutputError, match=r"make room, or give --checkpoint"):
        workload.checkpoint_for(Options(), print)


@chatterbox
def test_calls_into_the_model_are_counted_whoever_makes_them(upstream):
    """T3, S3Gen and PerTh once a chunk; upstream's methods are back afterwards."""
    t3 = type(upstream.t3)
    before = t3.inference
    with workload.counted_calls() as calls:
        workload.generate(upstream, "Hello there.", 1)
    assert calls.count == {"t3": 1, "s3gen": 1, "watermark": 1}
    assert calls.total_s > 0
    assert t3.inference is before


@chatterbox
def test_token_counts_are_generates_own(upstream):
    """The limit only cuts: within it the count is what `generate` decodes."""
    with workload.counted_calls() as calls:
        workload.generate(upstream, "Hello there.", 3)
    made = calls.returned["t3"].shape[-1]
    assert workload.token_count(upstream, "Hello there.", 3, made + 1) == made
    assert workload.token_count(upstream, "Hello there.", 3, made - 1) is None


@chatterbox
@pytest.mark.slow
def test_texts_are_chosen_that_end_in_the_length_asked_for(upstream):
    texts = workload.texts_that_end(upstream, 2, 40, lambda message: None)
    counts = [workload.token_count(upstream, text, workload.seed_of(text), 60) for text in texts]
    assert all(20 <= count < 60 for count in counts)
    with pytest.raises(EngineError, match="choose other --tokens"):
        workload.texts_that_end(upstream, 10**6, 40, lambda message: None)


@chatterbox
@pytest.mark.parametrize("side", ["upstream", "exact"])
def test_loading_measures_seconds_and_memory(side, tiny, capsys):
    load = import_module("chatter_nb.bench.suites.load")
    load.measure(side, "chatterbox", str(tiny()), "cpu")
    measured = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(measured) >= {"import_s", "load_s", "read_s"}
    assert measured["load_s"] > 0
    weights = sum(path.stat().st_size for path in tiny().glob("*.safetensors"))
    if sys.platform == "linux":
        assert measured["peak_rss_mb"] > measured["own_memory_mb"] > 0
        assert measured["peak_rss_mb"] * 1e6 > weights


@chatterbox
def test_a_side_that_cannot_load_is_an_error(tmp_path):
    load = import_module("chatter_nb.bench.suites.load")
    with pytest.raises(EngineError, match=r"(?s)loading exact failed: .*'nobody'"):
        load.in_new_process("exact", "nobody", tmp_path, "cpu")


@pytest.mark.slow
@chatterbox
def test_loading_is_measured_in_processes_of_their_own(on_tiny):
    """Another precision stands beside exact and upstream."""
    (result,) = on_tiny("load", repeats=1, precision="int8")
    figures = result["figures"]
    assert set(figures) >= {"import_s", "read_s", "peak_rss_mb", "exact_s"}
    assert result["samples"]["baseline"][0] > 0
    sides = {"baseline", "ours", "exact"}
    assert set(result["samples"]) == set(figures["own_memory_mb"]) == sides
    assert figures["own_memory_mb"]["ours"] != figures["own_memory_mb"]["exact"]


@chatterbox
def test_a_stream_leaves_the_chunk_as_it_is(on_tiny):
    (result,) = on_tiny("stream", "chatterbox-turbo", repeats=1)
    assert result["identical"] is True
    assert result["figures"]["share_of_the_chunk"] == pytest.approx(1 / result["ratio"])
    assert result["figures"]["audio_s"] > 0


@chatterbox
@pytest.mark.parametrize(
    "model", [pytest.param("chatterbox", marks=pytest.mark.slow), "chatterbox-turbo"]
)
def test_overhead_makes_the_same_waves_with_the_same_calls(model, on_tiny):
    results = on_tiny("overhead", model, repeats=1, tokens=30)
    assert [result["name"] for result in results] == [
        "process_one_chunk",
        "generate_tts to a wav",
        "bare, asyncio.to_thread",
        "bare, thread pool",
    ]
    for result in results:
        assert result["identical"] is True
        assert result["figures"]["model_calls"]["ours"] == {"t3": 1, "s3gen": 1, "watermark": 1}
        assert 0 < result["figures"]["outside_model_share"]["ours"] < 1


@chatterbox
@pytest.mark.parametrize("model", ["chatterbox", "chatterbox-multilingual", "chatterbox-turbo"])
def test_t3_compares_the_same_tokens(model, on_tiny):
    many, one, other = on_tiny("t3", model, chunks=3, tokens=8, rows=2, seeds=2, queue=0)
    assert many["name"] == "3 chunks, 2 rows, voice built-in, seed 0"
    assert one["name"] == "1 chunk, 1 row"
    assert other["name"].endswith("seed 1")
    assert [result["identical"] for result in (many, one, other)] == [True] * 3
    assert many["figures"]["equal_chunks"] == "3 of 3"


@chatterbox
def test_t3_in_int8_is_timed_beside_exact(on_tiny):
    """Its tokens are its own, so nothing is claimed of them."""
    many, one = on_tiny("t3", chunks=3, tokens=8, rows=2, queue=0, precision="int8")
    for result in (many, one):
        assert result["identical"] is None
        assert result["figures"]["exact_s"] == result["samples"]["exact"][0] > 0


@chatterbox
@pytest.mark.parametrize("model", ["chatterbox", "chatterbox-turbo"])
def test_t3_keeps_its_rows_busy_with_a_long_queue(model, on_tiny, monkeypatch):
    """Chunks reach their limits; upstream decodes three of them, and is reckoned from those."""
    suite = import_module("chatter_nb.bench.suites.t3")
    monkeypatch.setattr(suite, "QUEUE_TOKENS", 100)  # the checkpoint's own ends come before
    *_, queue = on_tiny("t3", model, chunks=2, tokens=4, rows=2, queue=2)
    assert queue["name"] == "long queue: 4 chunks of 50 to 150 tokens, 2 rows"
    figures = queue["figures"]
    assert figures["upstream_timed"] == "3 of 4 chunks"
    assert figures["equal_chunks"] == "3 of 3"
    extra = 4 if "turbo" in model else 0  # turbo makes a token more than it is asked for
    assert figures["tokens"] == 50 + 83 + 117 + 150 + extra
    assert 0 < figures["prompts_share"] < 1
    assert queue["identical"] is True
    timed = figures["tokens_per_s"]["baseline"] * queue["baseline_s"]
    assert timed == pytest.approx(figures["tokens"])


@chatterbox
def test_a_second_voice_is_a_recording_for_turbo_too(on_tiny):
    """Upstream's loudness of it is a numpy scalar, at which its own tokenizer fails."""
    results = on_tiny("t3", "chatterbox-turbo", chunks=2, tokens=8, voices=2, queue=0)
    assert results[-1]["name"] == "2 chunks, 2 rows, voice target, seed 0"
    assert all(result["identical"] for result in results)
    with pytest.raises(InputError, match="--voices must be at most 2, not 3"):
        run_suite("t3", {"voices": 3})


@chatterbox
def test_s3gen_compares_the_same_samples(on_tiny):
    alone, batched, fast = on_tiny("s3gen", chunks=2, tokens=12, prompt_s=1.0)
    assert alone["identical"] is batched["identical"] is True
    assert fast["identical"] is None
    assert alone["figures"]["largest_difference"] <= 1e-4
    assert alone["figures"]["audio_s"] == pytest.approx(24 / 25, abs=0.1)


PARTS = ["prompts", "t3_steps", "s3gen", "watermark", "encoder"]


@chatterbox
@pytest.mark.slow
def test_the_pipeline_suite_finds_the_watermark(on_tiny):
    (result,) = on_tiny("pipeline", chunks=2, tokens=30)
    assert result["figures"]["watermark"] > 0.9
    assert result["figures"]["baseline_model_calls"] == {"t3": 2, "s3gen": 2, "watermark": 2}
    assert list(result["figures"]["ours_parts_s"]) == PARTS
    assert all(result["figures"]["ours_parts_s"][part] > 0 for part in PARTS)
    assert 0 < sum(result["figures"]["ours_parts_share"].values()) <= 1


def test_waves_of_other_lengths_are_not_the_same():
    pytest.importorskip("chatterbox")
    from chatter_nb.bench.suites.s3gen import largest_difference

    one = np.zeros(3, np.float32)
    assert largest_difference([one], [one + 0.5]) == 0.5
    assert largest_difference([one], [one[:2]]) == float("inf")
