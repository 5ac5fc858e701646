"""The parameters of a run: one frozen object for YAML, notebook cell, form, HTTP and record.

Not here: how values are checked and errors written (`params.base`), and anything that needs a model
or reads the text or the recording.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from chatter_nb.base.errors import shorten, shown
from chatter_nb.params.base import (
    CfmSteps,
    Checkpoint,
    Device,
    Formats,
    Interactive,
    OutputsDir,
    Precision,
    PromptSeconds,
    RunKind,
    RunName,
    RunParams,
    Seed,
    Text,
    VoicesDir,
    WavBits,
    read_file,
)

__all__ = [
    "AnyParams",
    "ConvertParams",
    "SpeakParams",
    "SpeechEngineName",
    "TtsEngineName",
    "VcEngineName",
    "kind_of",
    "read_params",
]

# `engines.registry` has the same names, each with its entry.
SpeechEngineName = Literal["hibari", "chatterbox", "chatterbox-multilingual", "chatterbox-turbo"]
TtsEngineName = Literal["auto", SpeechEngineName]
VcEngineName = Literal["auto", "world", "chatterbox"]
EnginePath = Literal["fast", "upstream"]
VerifyLevel = Literal["auto", "off", "fast", "full"]

_NAMES, _NAME_CHARS = 100, 80  # the most that `kind_of` looks at


def _check_patterns(value: dict[str, str]) -> dict[str, str]:
    for pattern in value:
        try:
            re.compile(pattern)
        except (re.error, RecursionError, OverflowError) as error:
            reason = shorten(str(error), 200)
            raise ValueError(f"{shown(pattern)} is not a regular expression: {reason}") from error
    return value


def _check_words(value: dict[str, str]) -> dict[str, str]:
    if any(not word.strip() for word in value):
        raise ValueError("a word to replace cannot be empty")
    return value


SPEEDS = (0.5, 2.0)  # the slowest and the fastest pace, of any engine that has one
_Pause = Annotated[int, Field(ge=0, le=60_000, json_schema_extra={"unit": "ms"})]
_Take = Annotated[int, Field(ge=0, le=1_000_000)]


class SpeakParams(RunParams):
    """Everything that decides how a text is spoken and where the result goes."""

    kind: ClassVar[RunKind] = "speak"
    source_fields: ClassVar = ("text", "text_file")
    voice_field: ClassVar = "voice"

    text: Text = Field("", description="the text to speak")
    text_file: Text = Field("", description="a .txt or .md file, or a folder of them, to speak")
    merge: bool = Field(True, description="a folder of texts becomes one output, or one each")
    remove_references: bool = Field(False, description="drop [12] and superscript footnote numbers")
    replacements: Annotated[dict[Text, Text], AfterValidator(_check_words)] = Field(
        {}, description="whole words to say differently; a lower-case word matches any case"
    )
    regex_replacements: Annotated[dict[Text, Text], AfterValidator(_check_patterns)] = Field(
        {}, description="regular expressions to replace, Python's syntax"
    )
    engine: TtsEngineName = Field("auto", description="what speaks; auto takes the best present")
    language: str | None = Field(None, description="language code such as en", max_length=16)
    voice: Text = Field("", description="a voice by name, or a recording; empty: the engine's own")
    voices_dir: VoicesDir = ""
    seed: Seed = 0
    chunk_chars: int = Field(280, ge=20, le=2000, description="longest text spoken in one go")
    sentence_pause_ms: _Pause = Field(250, description="silence between chunks of a paragraph")
    paragraph_pause_ms: _Pause = Field(600, description="silence after a paragraph")
    chapter_pause_ms: _Pause = Field(1500, description="silence after a chapter")
    crossfade_ms: int = Field(20, ge=0, le=60, description="overlap where a sentence had to be cut")
    exaggeration: float | None = Field(None, ge=0, le=2, description="emotional intensity")
    cfg_weight: float | None = Field(None, ge=0, le=2, description="how closely to follow the text")
    temperature: float | None = Field(None, gt=0, le=5, description="variation between takes")
    min_p: float | None = Field(None, ge=0, le=1, description="drop tokens below this share of p")
    top_p: float | None = Field(None, gt=0, le=1, description="keep tokens up to this total p")
    top_k: int | None = Field(None, ge=1, le=10_000, description="keep the k likeliest tokens")
    repetition_penalty: float | None = Field(None, ge=1, le=10, description="1 is none")
    max_new_tokens: int | None = Field(None, ge=1, le=4096, description="25 tokens a second")
    n_cfm_timesteps: CfmSteps | None = Field(None, description="steps from token to mel")
    meanflow: bool | None = Field(None, description="Turbo's two-step decoder for the others")
    prompt_s: PromptSeconds | None = Field(None, description="voice prompt used, seconds")
    speed: float | None = Field(
        None, ge=SPEEDS[0], le=SPEEDS[1], description="pace; 1 is the voice's own"
    )
    formats: Formats = ("wav",)
    wav_bits: WavBits = 16
    takes: dict[str, _Take] = Field({}, description="chunk key: take, to make a chunk again")
    edits: Text = Field("", description="a file of edits, such as a run's edits.json")
    verify: VerifyLevel = Field("auto", description="check that the audio says the text")
    tries: int = Field(3, ge=1, le=10, description="most renderings of a chunk in doubt")
    asr_model: Text = Field("", description="the recogniser of verify: full; empty: small English")
    verify_workers: int = Field(-1, ge=-1, le=16, description="processes that check; -1 automatic")
    trim_tails: bool = Field(True, description="where checked, cut long silences and extra sound")
    device: Device = "auto"
    precision: Precision = "auto"
    rows: int = Field(0, ge=0, le=1024, description="chunks decoded together; 0 is automatic")
    engine_path: EnginePath = Field("fast", description="upstream: its own slow loops, to compare")
    checkpoint: Checkpoint = ""
    outputs_dir: OutputsDir = "outputs"
    run_name: RunName = Field(
        "", description="the run's folder; empty: named after the file or the text"
    )
    interactive: Interactive = True

    # A `text_file` that Papermill injects replaces the cell's sample `text`, and the other way
    # round.
    _replaces: ClassVar = (("text_file", "text"), ("text", "text_file"))
    _unnamed: ClassVar = "speech"

    @classmethod
    def _rules(cls, values: Mapping[str, Any]) -> Iterator[str]:
        text, text_file = values["text"], values["text_file"]
        if text and text_file:
            yield f"text and text_file are both set (text_file={shown(text_file)}): keep one"
        if not text_file and _is_blank(text):
            yield "there is nothing to speak: set text or text_file"
        if values["engine_path"] == "upstream":
            if _is_number(values["rows"]) and values["rows"] > 1:
                yield "engine_path: upstream makes one chunk at a time: leave rows at 0"
            if (other := values["precision"]) in ("fast", "int8"):
                yield f"engine_path: upstream is exact only: leave out precision: {other}"

    def _named_after(self) -> str:
        return Path(self.text_file).stem if self.text_file else self.text


class ConvertParams(RunParams):
    """Everything that decides how a recording is converted and where the result goes."""

    kind: ClassVar[RunKind] = "convert"
    source_fields: ClassVar = ("source",)
    voice_field: ClassVar = "target"

    source: Text = Field("", description="a recording, or a folder of them, to convert")
    target: Text = Field("", description="voice by name, or recording; empty: engine's own")
    voices_dir: VoicesDir = ""
    engine: VcEngineName = Field("auto", description="what converts; auto takes the best present")
    seed: Seed = 0
    window_s: float = Field(30.0, ge=4, le=120, description="longest piece converted in one go")
    overlap_s: float = Field(1.0, ge=0.2, le=5, description="what neighbouring pieces share")
    n_cfm_timesteps: CfmSteps | None = Field(None, description="steps from token to mel")
    prompt_s: PromptSeconds | None = Field(None, description="voice prompt used, seconds")
    formats: Formats = ("wav",)
    wav_bits: WavBits = 16
    device: Device = "auto"
    precision: Precision = "auto"
    rows: int = Field(0, ge=0, le=64, description="windows converted together; 0 is automatic")
    checkpoint: Checkpoint = ""
    outputs_dir: OutputsDir = "outputs"
    run_name: RunName = Field("", description="the run's folder; empty: named after the source")
    interactive: Interactive = True

    _unnamed: ClassVar = "converted"

    @classmethod
    def _rules(cls, values: Mapping[str, Any]) -> Iterator[str]:
        if _is_blank(values["source"]):
            yield "there is nothing to convert: set source to a recording or a folder of them"
        window_s, overlap_s = values["window_s"], values["overlap_s"]
        in_range = _is_number(window_s) and _is_number(overlap_s) and 4 <= window_s <= 120
        if in_range and window_s / 2 < overlap_s <= 5:
            yield (
                f"overlap_s {overlap_s:g} is more than half of window_s {window_s:g}: "
                f"use an overlap_s of at most {window_s / 2:g}, or a longer window_s"
            )

    def _named_after(self) -> str:
        return Path(self.source).stem


AnyParams = SpeakParams | ConvertParams

# To add a knob, add a field, None by default (the engine's own value), and its name to the `knobs`
# of the engines that accept it (`engines.registry`).
KNOBS = tuple(
    name
    for name, field in SpeakParams.model_fields.items()
    if field.default is None and name != "language"
)


def knobs_of(params: AnyParams) -> dict[str, float | int]:
    """The engine knobs that were set, by name."""
    values = {name: getattr(params, name, None) for name in KNOBS}
    return {name: v for name, v in values.items() if v is not None and v is not False}


def read_params(
    path: str | Path, overrides: Mapping[str, str] | None = None
) -> SpeakParams | ConvertParams:
    """The parameters in a YAML file: of speech or of a conversion, see `kind_of`."""
    return kind_of(read_file(path)).from_file(path, overrides)


def kind_of(names: Iterable[str]) -> type[SpeakParams] | type[ConvertParams]:
    """The class with these parameters: speech, unless more names are of a conversion.

    Misspelt names count as the nearest known name.
    """
    speech, conversion = SpeakParams.model_fields.keys(), ConvertParams.model_fields.keys()
    known: set[str] = set()
    for name in islice(names, _NAMES):
        known.update(difflib.get_close_matches(name[:_NAME_CHARS], {*speech, *conversion}, n=1))
    return ConvertParams if len(known - speech) > len(known - conversion) else SpeakParams


def _is_blank(value: Any) -> bool:
    return not value or (isinstance(value, str) and not value.strip())


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
