"""Timings that are kept: one JSON line a measurement, and which of them may be compared.

A measurement is a workload repeated on one machine at one commit, every round with its stages.
Not here: what is measured (`measure`, `suites`), the statistics (`timing`), the plots (`timeplots`).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from chatter_nb.timing import append_record, read_records

HISTORY = "timing/history.jsonl"  # under the outputs root


class Round(BaseModel):
    """One timed run of a workload, the warm-up left out. Stages never sum to more than the wall."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    wall_s: float
    audio_s: float
    stages_s: dict[str, float]
    peak_rss_mb: float | None = None
    peak_gpu_mb: float | None = None


class Measurement(BaseModel):
    """A workload's rounds, and everything that must agree before two are compared."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_: Literal[1] = 1
    recorded: str  # UTC, ISO 8601
    suite: str
    workload: str  # a hash of what is done: suite, options, the content of what is read
    options: dict[str, Any]
    machine: str  # processor and cores
    device: str
    versions: dict[str, str | None]
    commit: str | None  # None outside a git checkout
    dirty: bool = False  # the working tree differed from the commit
    load_s: float | None = None  # apart: never part of a round
    rounds: tuple[Round, ...]
