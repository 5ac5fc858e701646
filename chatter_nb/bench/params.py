"""What the timing notebook is asked to measure: one object for `04_timing` and Python."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from chatter_nb.bench.harness import Options
from chatter_nb.bench.ranks import LEAST_SAMPLES
from chatter_nb.bench.scaling import LEAST_CHARS, LENGTHS
from chatter_nb.bench.suites import SUITES
from chatter_nb.params.base import (
    Checkpoint,
    Device,
    Interactive,
    OutputsDir,
    StrictParams,
    Text,
    one_or_more,
)

EMBEDDED = "hibari"
MOST_CHARS = 10_000_000
OVERHEAD_CHUNKS = 4  # half a minute of speech: five ways of it take seconds


class TimingParams(StrictParams):
    """Which workloads are measured, how often, on what, and where their history is kept."""

    suites: Annotated[tuple[Text, ...], BeforeValidator(one_or_more)] = Field(
        ("embedded",), min_length=1, description="workloads, such as embedded, convert, pipeline"
    )
    repeats: int = Field(
        LEAST_SAMPLES, ge=LEAST_SAMPLES, le=1000, description="timed rounds after the warm-up"
    )
    chunks: int | None = Field(None, ge=1, le=10_000, description="of the text; None: as it suits")
    tokens: int | None = Field(None, ge=1, le=1000, description="speech tokens a chunk, 25 a s")
    engine: Literal["hibari", "chatterbox", "chatterbox-multilingual", "chatterbox-turbo"] = Field(
        "hibari", description="for lengths and overhead; Chatterbox wants a GPU"
    )
    device: Device = "auto"
    checkpoint: Checkpoint = ""
    lengths: Annotated[
        tuple[Annotated[int, Field(ge=LEAST_CHARS, le=MOST_CHARS)], ...],
        BeforeValidator(one_or_more),
    ] = Field(LENGTHS, min_length=2, description="characters of the texts that show scaling")
    outputs_dir: OutputsDir = "outputs"
    interactive: Interactive = True

    def given(self, suite: str) -> dict[str, Any]:
        """The options for a suite: of these parameters, those that it takes."""
        names = ("chunks", "tokens", "engine", "device", "checkpoint")
        takes = SUITES[suite].takes
        return {name: getattr(self, name) for name in names if name in takes}

    @property
    def progress(self) -> Callable[[str], object]:
        """Prints what is being done while a person watches."""
        return print if self.interactive else lambda told: None

    @property
    def model(self) -> dict[str, str]:
        """Engine, device and checkpoint, as a speech run takes them."""
        return {name: getattr(self, name) for name in ("engine", "device", "checkpoint")}

    @property
    def overhead(self) -> Options:
        """The options for the comparison of ways to call a model."""
        names = ("chunks", "tokens", "repeats", "engine", "device", "checkpoint")
        given: dict[str, Any] = {name: getattr(self, name) for name in names}
        asked = {name: value for name, value in given.items() if value is not None}
        return Options(**{"chunks": OVERHEAD_CHUNKS} | asked)

    @classmethod
    def _rules(cls, values: Mapping[str, Any]) -> Iterator[str]:
        suites, lengths = one_or_more(values["suites"]), one_or_more(values["lengths"])
        for suite in suites if isinstance(suites, tuple) else ():
            if suite not in SUITES:
                yield f"suites: there is no {suite!r}; there is: {', '.join(SUITES)}"
            elif _wants_chatterbox(suite) and values["engine"] == EMBEDDED:
                yield f"suite {suite!r} measures Chatterbox: set engine, such as chatterbox-turbo"
        if isinstance(lengths, tuple) and len(set(lengths)) < 2:
            yield f"lengths must be two different ones at least, not {list(lengths)}"
        if values["checkpoint"] and values["engine"] == EMBEDDED:
            yield "checkpoint is for Chatterbox: set engine as well"


def _wants_chatterbox(suite: str) -> bool:
    return "engine" in SUITES[suite].takes and suite != "overhead"
