"""Checks of what is heard: the same twice, watermarked, soon, fast; and what memory it takes."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from typing import Any

import numpy as np

from chatter_nb.audio.reading import Signal
from chatter_nb.base.errors import EngineError
from chatter_nb.base.timing import peak_rss_mb
from chatter_nb.bench.selftest.result import TELL, NotRun, Result, judged
from chatter_nb.bench.selftest.subject import Subject, sentences
from chatter_nb.engines.models import relinquish, unload
from chatter_nb.engines.watermark import load_perth, mark
from chatter_nb.runs.speak import process_one_chunk
from chatter_nb.runs.store import ChunkStore

ROWS = (1, 8, 16, 64)
FIRST_SOUND_S = {"cuda": 0.3}  # the goal, by device; elsewhere it is only measured
RTF_GOAL, RTF_GOAL_ROWS, RTF_GOAL_CARDS = 0.01, 16, ("H100", "H200")
_CLOSE_DB = -40.0  # of the speech: rounding is far below, another phase or token far above
_PROFILE = f"{TELL}; the stages say where the time goes"


def two_processes(subject: Subject) -> Result:
    """The same chunk with the same seed, here and in a new process; this one's model is let go."""
    values = subject.values | {"text": sentences(1)[0], "seed": 1}
    here = _chunk(values)
    unload(subject.entry.key)
    path = subject.new_folder().with_suffix(".npy")
    code = "from chatter_nb.bench.selftest.sound import save_chunk; save_chunk()"
    command = [sys.executable, "-c", code, str(path), json.dumps(values)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise EngineError(f"the second process failed: {done.stderr[-1000:]}")
    there = np.load(path)
    hashes = [hashlib.sha256(samples.tobytes()).hexdigest() for samples in (here, there)]
    is_same = hashes[0] == hashes[1]
    return judged(
        is_same,
        f"{len(here)} samples, {'the same' if is_same else _how_different(here, there)}",
        f"{TELL}: something here is not drawn from the seed",
        sha256=hashes[0] if is_same else dict(zip(("here", "there"), hashes, strict=True)),
    )


def save_chunk() -> None:
    """The second process: argv holds a file for the samples, and the chunk's parameters as JSON."""
    path, values = sys.argv[1:]
    np.save(path, _chunk(json.loads(values)))


def _chunk(values: dict[str, Any]) -> Signal:
    samples, _ = process_one_chunk(**values)
    return samples


def _how_different(here: Signal, there: Signal) -> str:
    if len(here) != len(there):
        return f"but {len(there)} in the second process"
    apart = np.abs(here - there)
    return f"but {np.count_nonzero(apart)} differ, by up to {apart.max():.1e} of full scale"


def watermark(subject: Subject) -> Result:
    """PerTh's detector finds the mark in a run's file and in what was heard, and not before it."""
    listened = subject.listened
    audio, rate = listened.speech.read()
    entry = ChunkStore(listened.speech.folder.parent).get(listened.speech.record.chunks[0].key)
    assert entry is not None
    marked = {"file": audio, "stream": np.concatenate(listened.blocks)}
    where = "in the file and in the stream"
    if not subject.entry.engine_class().watermarked:
        marked, where = {"marked": mark(audio, rate)}, "where it is laid on this voice"
    found = {name: _score(signal, rate) for name, signal in marked.items()}
    without = _score(entry[0], rate)
    is_right = min(found.values()) > 0.5 > without
    told = f"found {where}, and not without it" if is_right else f"not found {where}, or without it"
    figures = {**found, "unmarked": without}
    return judged(is_right, told, f"do not publish audio made here; {TELL}", **figures)


def _score(audio: Signal, rate: int) -> float:
    """1 is PerTh's mark, 0 none."""
    return float(np.mean(load_perth().get_watermark(audio, sample_rate=rate, round=False)))


def samples_beside_upstream(subject: Subject) -> Result:
    """A chunk's samples on the fast path in float32, beside those on upstream's own loops."""
    values = subject.values | {"text": sentences(1)[0], "seed": 1}
    relinquish()
    ours, theirs = (
        _chunk(values | {"engine_path": path, "precision": "exact"})
        for path in ("fast", "upstream")
    )
    apart_db = _level_db(ours - theirs) - _level_db(theirs) if len(ours) == len(theirs) else np.inf
    is_close = bool(apart_db <= _CLOSE_DB)
    why = f"a chunk on both paths differs by {apart_db:.0f} dB; up to {_CLOSE_DB:.0f} is rounding"
    figures = {"fast_samples": len(ours), "upstream_samples": len(theirs)}
    return judged(is_close, why, f"{TELL}; engine_path: upstream works", **figures)


def _level_db(audio: Signal) -> float:
    return float(10 * np.log10(np.mean(audio.astype(np.float64) ** 2) + 1e-20))


def first_sound(subject: Subject) -> Result:
    """When who listens hears the beginning of a chunk, which is said in parts, and all of it."""
    first_s = subject.listened.heard_s[0]
    whole_s = subject.speak([subject.chunk]).whole_s
    goal_s = FIRST_SOUND_S.get(subject.device.partition(":")[0])
    return judged(
        goal_s is None or first_s <= goal_s,
        f"the first part of a chunk of {len(subject.chunk)} characters is there after {first_s:.3g}"
        f" s, the whole after {whole_s:.3g} s" + (f"; the goal is {goal_s} s" if goal_s else ""),
        _PROFILE,
        first_s=first_s,
        whole_s=whole_s,
        share=first_s / whole_s,
    )


def pace(subject: Subject, rows: int) -> Result:
    """Seconds of work for a second of audio, by stage, with so many chunks decoded together."""
    wanted = rows if "rows" in subject.entry.accepts else 0
    if subject.queue > 1:
        subject.speak(sentences(rows), rows=wanted)
    spoken = subject.speak(sentences(subject.queue * rows), rows=wanted)
    record, rtf = spoken.speech.record, spoken.rtf
    stages = {name: spent / record.audio_s for name, spent in record.stages_s.items()}
    del stages["load"]  # before the run's clock starts
    figures = {"rtf": rtf} | {name: pace for name, pace in stages.items() if pace > rtf / 100}
    card = subject.settled.device.reason
    has_goal = rows == RTF_GOAL_ROWS and any(name in card for name in RTF_GOAL_CARDS)
    why = f"{rtf:.3g} s of work a second of audio, {record.audio_s:.0f} s of audio"
    why += f"; the goal is {RTF_GOAL}" if has_goal else ""
    notes = {"notes": "; ".join(record.warnings)} if record.warnings else {}
    return judged(not has_goal or rtf <= RTF_GOAL, why, _PROFILE, **figures, **notes)


def peak_memory(subject: Subject) -> Result:
    """The most memory that this process has held in all checks before."""
    figures = {"peak_rss_mb": peak_rss_mb(), "peak_gpu_mb": max(subject.gpu_peaks_mb, default=None)}
    known = {name: round(mb) for name, mb in figures.items() if mb is not None}
    if not known:
        raise NotRun("this system does not tell")
    return judged(True, "the most that this process has held", "", **known)
