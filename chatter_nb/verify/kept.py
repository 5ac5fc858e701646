"""Reports of witnesses on disk, so that a resume or an edit listens only to what is new."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from chatter_nb.audio.reading import Signal
from chatter_nb.audio.words import WordTime
from chatter_nb.base.disk import read_json, remove_old, write_json, writing
from chatter_nb.base.hashing import digest
from chatter_nb.verify.findings import Expectation, Finding, Report

_KEY_BYTES = 16
Listen = Callable[[Signal, int, Expectation], Report]


class KeptReports:
    """`<folder>/<key[:2]>/<key>.json`; nothing is kept without a folder.

    A damaged file counts as none.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def report(
        self,
        witness: str,
        version: str,
        listen: Listen,
        audio: Signal,
        sample_rate: int,
        expected: Expectation,
    ) -> Report:
        """The report kept under all that it depends on; else that of `listen`, which is kept."""
        if self._folder is None:
            return listen(audio, sample_rate, expected)
        key = _key(witness, version, audio, sample_rate, expected)
        path = self._folder / key[:2] / f"{key}.json"
        kept = _read(read_json(path))
        if kept is not None:
            with suppress(OSError):
                os.utime(path)  # its last use, for `prune`
        else:
            kept = listen(audio, sample_rate, expected)
            with writing(path):
                path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, asdict(kept))
        return kept

    def prune(self, *, older_than_s: float) -> int:
        """Remove the reports that were last used before that; returns the number of bytes freed."""
        reports = self._folder.glob("??/*.json") if self._folder else ()
        return remove_old(reports, older_than_s=older_than_s)


def _key(witness: str, version: str, audio: Signal, sample_rate: int, expected: Expectation) -> str:
    samples = hashlib.blake2b(audio.tobytes(), digest_size=_KEY_BYTES).hexdigest()
    text = [expected.text, expected.language]
    return digest([witness, version, samples, sample_rate, *text], size=_KEY_BYTES)


def _read(values: Any) -> Report | None:
    try:
        words = values["words"]
        return Report(
            tuple(Finding(**finding) for finding in values["findings"]),
            None if words is None else tuple(WordTime(**word) for word in words),
            tuple(values["not_checked"]),
        )
    except (TypeError, KeyError):
        return None
