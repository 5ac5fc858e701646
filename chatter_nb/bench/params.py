"""What may be measured: the suites by name, the options each takes, and `04_timing`'s parameters.

A suite's name is written here and in its module `suites/NAME.py`, nowhere else. This module holds
data and checks alone: help, history and a notebook's parameters import no suite.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from chatter_nb.base.errors import InputError
from chatter_nb.engines.registry import TTS_ENGINES
from chatter_nb.params.base import StrictParams
from chatter_nb.params.runs import SpeechEngineName
from chatter_nb.params.types import Checkpoint, Device, Interactive, OutputsDir, Text, one_or_more

EMBEDDED = "hibari"
DEMO_TEXT = "params/texts/oz_the_cyclone.txt"
# 600 sentences of 3 to 5 s from Three Men in a Boat by Jerome K. Jerome (1889, public domain), as
# Standard Ebooks has it; none of them was used to choose the check's limits.
SENTENCES = Path(__file__).parent / "sentences.txt"
ENGINES = tuple(name for name, engine in TTS_ENGINES.items() if engine.files)
PRECISIONS = ("auto", "exact", "fast", "int8")
LEVELS = ("fast", "full")  # of a check
LENGTHS = (500, 1_500, 5_000, 16_000)  # characters; a minute of speech has about 900
LEAST_CHARS, MOST_CHARS = 50, 10_000_000
LEAST_SAMPLES = 5  # a side: with 4, not even samples that lie all apart differ at 99 %
OVERHEAD_CHUNKS = 4  # half a minute of speech: each of the five ways takes seconds
_MODEL_NAMES = {"engine", "device", "checkpoint"}
Progress = Callable[[str], object]  # is called with a message on what is being done


def _option(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class Options:
    """All options of the suites; each suite takes some. The command line has one for each."""

    chunks: int = _option(8, "How many chunks.")
    tokens: int = _option(48, "Speech tokens a chunk, 25 a second.")
    rows: int = _option(0, "Chunks decoded together; 0: our choice.")
    queue: int = _option(4, "Chunks a row in t3's long queue; 0: no long queue.")
    repeats: int = _option(1, "Timed rounds after the warm-up.")
    seeds: int = _option(1, "How many seeds; each further seed is timed once.")
    voices: int = _option(1, "How many voices, 1 or 2; the second is timed once.")
    checkpoint: str = _option("", "A folder of model files; else a random one is made, once.")
    engine: str = _option(
        "chatterbox",
        f"{', '.join(ENGINES[:-1])} or {ENGINES[-1]}; for overhead and stream, {EMBEDDED}.",
    )
    device: str = _option("auto", "auto, cpu, cuda, cuda:1, mps.")
    precision: str = _option("exact", "exact, fast, int8 or auto, for ours.")
    prompt_s: float = _option(10.0, "Seconds of the voice's prompt, for S3Gen.")
    level: str = _option("fast", "fast or full, for verify.")
    kinds: str = _option("", "Faults for verify, cases for form, commas between; else all.")

    def chosen(self, known: Collection[str]) -> list[str]:
        """The `kinds` that are named, else all. Raises `InputError` for one that is not known."""
        chosen = [kind.strip() for kind in self.kinds.split(",") if kind.strip()]
        if foreign := [kind for kind in chosen if kind not in known]:
            raise InputError(f"--kinds {foreign[0]!r} is none of {', '.join(known)}")
        return chosen or list(known)


@dataclass(frozen=True)
class Suite:
    """The options a suite takes with their defaults, its engines, and the stages it is judged by.

    `measured_as` names another suite, whose work is done when ours is measured alone. `only` are
    the stages of that work which count; `all_but` are the stages which do not count.
    """

    defaults: dict[str, Any]
    engines: tuple[str, ...] = ENGINES
    least_repeats: int = 1
    measured_as: str = ""
    only: tuple[str, ...] = ()
    all_but: tuple[str, ...] = ()

    @property
    def has_model(self) -> bool:
        """Whether the suite takes a checkpoint and a device; if not, it runs on the processor."""
        return "engine" in self.defaults

    @property
    def chatterbox_only(self) -> bool:
        return self.has_model and EMBEDDED not in self.engines

    def judged_s(self, wall_s: float, stages_s: Mapping[str, float]) -> float:
        """The seconds of a round that count: those of the suite's stages, or the whole."""
        if self.only:
            return sum(stages_s.get(stage, 0.0) for stage in self.only)
        return wall_s - sum(stages_s.get(stage, 0.0) for stage in self.all_but)


def _with_model(**defaults: Any) -> dict[str, Any]:
    """The defaults of a suite that takes a model."""
    return {**defaults, "checkpoint": "", "engine": "chatterbox", "device": "auto"}


SUITES = {
    "embedded": Suite({"chunks": 0, "repeats": 5}, least_repeats=3),
    "convert": Suite({"repeats": 5}, least_repeats=3),
    "batch": Suite({"repeats": 30}, least_repeats=3),
    "form": Suite({"repeats": 5, "kinds": ""}, least_repeats=3),
    "load": Suite(_with_model(repeats=3, precision="exact")),
    "serve": Suite({"repeats": 5}, least_repeats=3),
    "stream": Suite(_with_model(repeats=1, prompt_s=10.0, precision="exact"), (EMBEDDED, *ENGINES)),
    "verify": Suite(
        {"chunks": 0, "level": "fast", "kinds": "", "checkpoint": "", "device": "auto"}
    ),
    "overhead": Suite(
        _with_model(tokens=48, repeats=3),
        (EMBEDDED, *ENGINES),
        measured_as="pipeline",
        all_but=("load", "tokens", "synthesis", "watermark"),
    ),
    "t3": Suite(
        _with_model(
            chunks=8, tokens=48, rows=0, queue=4, repeats=1, seeds=1, voices=1, precision="exact"
        ),
        measured_as="pipeline",
        only=("tokens",),
    ),
    "s3gen": Suite(
        _with_model(chunks=4, tokens=64, repeats=1, prompt_s=10.0),
        measured_as="pipeline",
        only=("synthesis",),
    ),
    "pipeline": Suite(
        _with_model(chunks=4, tokens=64, rows=0, repeats=1, prompt_s=3.0, precision="exact")
    ),
}


def options_for(name: str, chosen: Mapping[str, Any]) -> Options:
    """A suite's options: its defaults, replaced by each value of `chosen` that is not None.

    Raises `InputError` for an unknown suite, for an option it does not take, and for a bad value.
    """
    if name not in SUITES:
        raise InputError(f"unknown suite '{name}'; there is: {', '.join(SUITES)}")
    defaults = SUITES[name].defaults
    values = {option: value for option, value in chosen.items() if value is not None}
    foreign = [_flag(option) for option in values if option not in defaults]
    if foreign:
        known = " ".join(_flag(option) for option in defaults)
        raise InputError(f"suite '{name}' does not take {' '.join(foreign)}; it takes {known}")
    options = Options(**(defaults | values))
    _check(SUITES[name], asdict(options))
    return options


def _check(suite: Suite, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        # A default of 0 stands for an automatic choice, or for all; no queue is possible too.
        default = suite.defaults.get(name, getattr(Options, name))
        least = 0 if default == 0 or name == "queue" else 1
        if isinstance(value, int) and value < least:
            raise InputError(f"{_flag(name)} must be at least {least}, not {value}")
    if values["repeats"] < suite.least_repeats:
        raise InputError(
            f"--repeats must be at least {suite.least_repeats} for a median, "
            f"not {values['repeats']}"
        )
    if not values["prompt_s"] > 0:
        raise InputError(f"--prompt-s must be more than 0, not {values['prompt_s']}")
    for name, known in (("engine", suite.engines), ("precision", PRECISIONS), ("level", LEVELS)):
        if values[name] not in known:
            raise InputError(f"{_flag(name)} {values[name]!r} is none of {', '.join(known)}")


def _flag(option: str) -> str:
    return f"--{option.replace('_', '-')}"


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
    engine: SpeechEngineName = Field(
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
        """Options for a suite: those of these parameters that the suite takes."""
        names = {"chunks", "tokens", *_MODEL_NAMES}
        return self.model_dump(include=names & set(SUITES[suite].defaults))

    @property
    def progress(self) -> Progress:
        """A callback that prints each message while a person watches, and else does nothing."""
        return print if self.interactive else lambda message: None

    @property
    def model(self) -> dict[str, str]:
        """Engine, device and checkpoint, as a speech run takes them."""
        return self.model_dump(include=_MODEL_NAMES)

    @property
    def overhead(self) -> Options:
        """The options for the comparison of ways to call a model."""
        names = {"chunks", "tokens", "repeats", *_MODEL_NAMES}
        values = self.model_dump(include=names, exclude_none=True)
        return Options(**({"chunks": OVERHEAD_CHUNKS} | values))

    @classmethod
    def _rules(cls, values: Mapping[str, Any]) -> Iterator[str]:
        suites, lengths = one_or_more(values["suites"]), one_or_more(values["lengths"])
        for suite in suites if isinstance(suites, tuple) else ():
            if suite not in SUITES:
                yield f"suites: there is no {suite!r}; there is: {', '.join(SUITES)}"
            elif SUITES[suite].chatterbox_only and values["engine"] == EMBEDDED:
                yield f"suite {suite!r} measures Chatterbox: set engine, such as chatterbox-turbo"
        if isinstance(lengths, tuple) and len(set(lengths)) < 2:
            yield f"lengths must be two different ones at least, not {list(lengths)}"
        if values["checkpoint"] and values["engine"] == EMBEDDED:
            yield "checkpoint is for Chatterbox: set engine as well"
