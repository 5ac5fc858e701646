"""Memory stays flat: ten times the text, the same peak."""

import json
import subprocess
import sys

import pytest
from conftest import OZ, ROOT


@pytest.mark.slow
def test_peak_memory_does_not_grow_with_the_text(cli, tmp_path):
    """12 kB against 120 kB (2 hours of audio), each in a process of its own: within 15 %."""
    chapter = OZ.read_text()
    peaks_mb = []
    for size in (12_000, 120_000):
        text = tmp_path / f"{size}.txt"
        text.write_text((chapter * (size // len(chapter) + 1))[:size])
        args = ("-p", f"text_file={text}", "-p", f"outputs_dir={tmp_path}", "-p", "engine=hibari")
        record = json.loads(cli("speak", *args, "--json", check=0).stdout)
        peaks_mb.append(record["peak_rss_mb"])
    print(f"peak RSS: {peaks_mb[0]:.0f} MB for 12 kB, {peaks_mb[1]:.0f} MB for 120 kB")
    assert peaks_mb[1] <= 1.15 * peaks_mb[0]


def test_mastering_ten_minutes_takes_little_memory():
    """Of a process of its own, above what it had before; at 10 hours too: see audio/README.md."""
    script = [sys.executable, str(ROOT / "tests" / "runs" / "long_book.py"), "10"]
    done = subprocess.run(script, capture_output=True, text=True, timeout=1_800, check=True)
    result = json.loads(done.stdout)
    print(result)
    assert result["chapters"] == 1
    assert 0 < result["mb_above_base"] <= 150
