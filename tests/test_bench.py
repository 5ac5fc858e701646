"""The benchmark: what it compares is equal, and its record is as promised."""

from chatter_nb import bench


def test_calls_alternate_and_the_first_round_is_dropped():
    calls = []
    timings = bench._alternate(
        {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")},
        3,
        lambda told: None,
        before=lambda: calls.append("-"),
    )
    assert "".join(calls) == "-a-b" * 4
    assert [len(seconds) for seconds in timings.values()] == [3, 3]


def test_the_embedded_suite_compares_equal_samples(monkeypatch, tmp_path):
    """A short text in the place of the demo: bare calls and ours make the same samples."""
    short = tmp_path / "short.txt"
    short.write_text("Hello there.\n\nAll is well.")
    monkeypatch.setattr(bench, "DEMO_TEXT", str(short))
    record = bench.run_suite("embedded", repeats=3, progress=lambda told: None)
    assert set(record) == {"suite", "device", "versions", "results"}
    first, flac, mp3, opus = record["results"]
    assert first["identical"] is flac["identical"] is True
    assert mp3["identical"] is opus["identical"] is None
    for result in record["results"]:
        assert set(result) == {"name", "baseline_s", "ours_s", "ratio", "identical", "samples"}
        assert result["ratio"] == result["baseline_s"] / result["ours_s"]
    assert "speak to one wav" in bench.table(record)
