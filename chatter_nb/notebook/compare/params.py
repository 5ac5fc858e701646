"""What `05_compare` is asked: which runs, how much of them, and whether to listen blind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from chatter_nb.params.base import Interactive, OutputsDir, StrictParams, Text, one_or_more

MAX_ROWS = 500  # each is read, measured and, for a person, embedded


class CompareParams(StrictParams):
    """Which runs are compared, chunk by chunk."""

    runs: Annotated[tuple[Text, ...], BeforeValidator(one_or_more)] = Field(
        (), description="run folders, names under outputs_dir, or a folder of runs; empty: samples"
    )
    outputs_dir: OutputsDir = "outputs"
    chunks: int = Field(12, ge=1, le=MAX_ROWS, description="how many chunks, from the first")
    blind: bool = Field(False, description="listen without knowing which run is which")
    listener: Text = Field("", description="who listens: each has a file of answers of their own")
    seed: int = Field(0, ge=-1, lt=2**32, description="decides a blind test's order; -1 draws one")
    interactive: Interactive = True

    @classmethod
    def _rules(cls, values: Mapping[str, Any]) -> Iterator[str]:
        given = values["runs"]
        repeated = sorted({run for run in given if given.count(run) > 1}) if given else []
        if repeated:
            yield f"runs: {', '.join(repeated)} is given twice; name two different runs"
