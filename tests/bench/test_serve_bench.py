"""The suite that times the service: what it compares is the same work."""

import signal
import subprocess
import sys
from importlib import import_module

import psutil
import pytest
from serving import until

pytest.importorskip("fastapi", reason="needs the extra [serve]")

from chatter_nb.base.errors import InputError, UnavailableError
from chatter_nb.bench import harness as bench
from chatter_nb.bench.suites import run_suite

suite = import_module("chatter_nb.bench.suites.serve")


@pytest.mark.slow
def test_the_serve_suite_compares_equal_bytes(monkeypatch):
    """A few short requests: a server's wavs are those of direct calls."""
    small = {"REQUESTS": 2, "REQUEST_CHARS": 60, "STREAM_CHARS": 400, "PROBES": 5}
    for name, value in small.items():
        monkeypatch.setattr(suite, name, value)
    text = suite.demo_text()[:3_000]  # the worker speaks it again and again while health is asked
    monkeypatch.setattr(suite, "demo_text", lambda: text)
    record = run_suite("serve", {"repeats": 3})
    answers, health, first = record["results"]
    assert answers["identical"] is True
    assert answers["figures"]["throughput"] > 0
    assert set(health["figures"]) == {"rest_p50_ms", "rest_p99_ms", "busy_p50_ms", "busy_p99_ms"}
    assert len(first["samples"]["ours"]) == 3
    assert "2 requests of 60 characters" in bench.table(record)


def test_a_median_needs_three_rounds():
    """Told before a server starts."""
    with pytest.raises(InputError, match="--repeats must be at least 3"):
        run_suite("serve", {"repeats": 2})


def test_request_texts_are_distinct_and_of_one_length():
    """No two requests of a round find each other's chunks."""
    texts = suite.request_texts(50, 300)
    assert len(set(texts)) == 50
    assert {len(text) for text in texts} == {300}


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.001, 1)])
def test_a_percentile_is_a_value_that_was_measured(share, value):
    """The least that so many do not exceed."""
    assert suite._percentile([float(n) for n in range(100, 0, -1)], share) == value


def test_a_server_that_does_not_start_is_told_with_its_log(monkeypatch, tmp_path):
    """Its own last words, not a refused connection."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "uvicorn.py").write_text("raise SystemExit('no uvicorn today')")
    with pytest.raises(UnavailableError, match="no uvicorn today"), suite.serving(tmp_path):
        pass


def test_the_server_of_a_benchmark_ends_with_it():
    """SIGTERM, as CI sends it, in mid-round."""
    command = [sys.executable, "-m", "chatter_nb.cli", "bench", "serve"]
    process = psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr.readline()  # it has begun to measure
        (server,) = until(process.children)
        process.terminate()
        assert process.wait(300) == 128 + signal.SIGTERM
        assert not server.is_running()
    finally:
        if process.is_running():
            process.kill()
