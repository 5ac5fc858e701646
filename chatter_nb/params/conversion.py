"""The parameters of a conversion: what is converted, to which voice, and where the result goes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from chatter_nb.params.base import RunKind, RunParams
from chatter_nb.params.cast import Targets
from chatter_nb.params.types import (
    CfmSteps,
    Checkpoint,
    Device,
    EndSeconds,
    FileRate,
    Formats,
    Interactive,
    Master,
    OutputsDir,
    Precision,
    PromptSeconds,
    RoomTone,
    RunName,
    Seed,
    Text,
    VoicesDir,
    WavBits,
    is_blank,
    is_number,
    often,
    rules_of_mastering,
    seldom,
)

VcEngineName = Literal["auto", "world", "chatterbox"]  # the names of `engines.registry`


class ConvertParams(RunParams):
    """Everything that decides how a recording is converted and where the result goes."""

    kind: ClassVar[RunKind] = "convert"
    source_fields: ClassVar = ("source",)
    voice_field: ClassVar = "target"

    source: Text = often("", "recording", "a recording, or a folder of them, to convert")
    target: Text = often("", "voice", "voice by name, or recording; empty: engine's own")
    cast: Targets = seldom(
        {}, "voice", "speakers of a run, each with a target; source is its run.json", "speakers"
    )
    engine: VcEngineName = often("auto", "voice", "what converts; auto takes the best present")
    seed: Seed = 0
    formats: Formats = ("wav",)
    voices_dir: VoicesDir = ""
    prompt_s: PromptSeconds = None
    n_cfm_timesteps: CfmSteps = None
    window_s: float = seldom(
        30.0, "windows", "longest piece converted in one go", "longest window", ge=4, le=120
    )
    overlap_s: float = seldom(
        1.0, "windows", "what neighbouring pieces share", "overlap", ge=0.2, le=5
    )
    master: Master = "none"
    room_tone: RoomTone = "auto"
    head_s: EndSeconds = None
    tail_s: EndSeconds = None
    sample_rate: FileRate = None
    wav_bits: WavBits = 16
    outputs_dir: OutputsDir = "outputs"
    run_name: RunName = seldom(
        "", "output", "the run's folder; empty: named after the source", "name of the run"
    )
    device: Device = "auto"
    precision: Precision = "auto"
    rows: int = seldom(
        0, "machine", "windows converted together; 0 is automatic", "windows at a time", ge=0, le=64
    )
    checkpoint: Checkpoint = ""
    interactive: Interactive = True

    _unnamed: ClassVar = "converted"

    @classmethod
    def _rules(cls, values: Mapping[str, Any]) -> Iterator[str]:
        if is_blank(values["source"]):
            yield "there is nothing to convert: set source to a recording or a folder of them"
        yield from rules_of_mastering(values)
        window_s, overlap_s = values["window_s"], values["overlap_s"]
        in_range = is_number(window_s) and is_number(overlap_s) and 4 <= window_s <= 120
        if in_range and window_s / 2 < overlap_s <= 5:
            yield (
                f"overlap_s {overlap_s:g} is more than half of window_s {window_s:g}: "
                f"use an overlap_s of at most {window_s / 2:g}, or a longer window_s"
            )

    def _named_after(self) -> str:
        path = Path(self.source)
        return path.parent.name if path.name == "run.json" else path.stem
