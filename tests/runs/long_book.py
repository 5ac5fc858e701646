"""Masters a long book as a run does, and prints what it takes: `long_book.py MINUTES`."""

import json
import re
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from unittest.mock import patch

import numpy as np
from hibari import Hibari

from chatter_nb.audio import mastering
from chatter_nb.audio.encoder import Codec
from chatter_nb.audio.targets import TARGETS
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.book_files import book_files
from chatter_nb.runs.book_plan import PlannedChapter, PlannedOutput

RATE, CHAPTER_MINUTES = Hibari.sample_rate, 10
PARAMS = SpeakParams(text="A book.", formats=("m4b",), master="acx")
SENTENCE = "The miller carried his heavy sacks across the wooden bridge, and nobody saw him there."


def memory_mb(*, anew: bool = False) -> float:
    """The most memory of this process; `anew`: what it has now, from which the most counts on."""
    if anew:
        Path("/proc/self/clear_refs").write_text("5")
    return int(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1]) / 1024


def write_book(folder: Path, minute: np.ndarray, chapters: int, minutes: int) -> int:
    """A book of equal chapters, mastered for ACX in m4b; returns the number of its reports."""
    marks = tuple(PlannedChapter(f"Chapter {at + 1}", at) for at in range(chapters))
    output = PlannedOutput("speech", "book.epub", (), marks)
    [book] = book_files(PARAMS, folder, output, RATE, ["m4b"])
    for at in range(chapters):
        if at:
            book.end_chapter()
        for _ in range(minutes):
            book.write(minute)
        book.write(minute[: at + 1])  # so that no chapter is known
    _, reports = book.finish()
    book.commit()
    return len(reports)


def without_encoding(folder: Path, minute: np.ndarray) -> float:
    """Seconds of a processor that mastering takes for a second of audio, but for FFmpeg's part."""

    def use_up(codec, blocks, path, **_):
        path.write_bytes(bytes(len(list(map(len, blocks)))))

    spool, path = folder / "spool", folder / "chapter"
    np.tile(minute, CHAPTER_MINUTES).tofile(spool)
    options = {"sample_rate": RATE, "codec_name": "m4b"}
    mastering.master_chapter(spool, path, TARGETS["acx"], **options)
    measured = mastering.measure_file(path)
    encode = patch.object(Codec, "encode", use_up)
    with encode, patch.object(mastering, "measure_file", lambda _: measured):
        started_s = process_time()
        report = mastering.master_chapter(spool, path, TARGETS["acx"], **options)
    return (process_time() - started_s) / report.tries / CHAPTER_MINUTES / 60


def main(minutes: int) -> None:
    sentence = Hibari()(SENTENCE)
    minute = np.resize(np.concatenate([sentence, np.zeros(RATE // 2, "f4")]), 60 * RATE)
    chapters = max(1, minutes // CHAPTER_MINUTES)
    with TemporaryDirectory() as name:
        base_mb, started_s = memory_mb(anew=True), process_time()
        reports = write_book(Path(name), minute, chapters, minutes // chapters)
        result = {
            "minutes": minutes,
            "chapters": reports,
            "mb_above_base": round(memory_mb() - base_mb, 1),
            "cpu_s_a_second": round((process_time() - started_s) / minutes / 60, 4),
            "without_encoding": round(without_encoding(Path(name), minute), 4),
        }
    print(json.dumps(result))


if __name__ == "__main__":
    main(int(sys.argv[1]))
