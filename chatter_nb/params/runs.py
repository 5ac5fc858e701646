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

from pydantic import Field

from chatter_nb.base.errors import shown
from chatter_nb.base.speakers import QuoteMode
from chatter_nb.params.base import RunKind, RunParams, read_file
from chatter_nb.params.cast import (
    Cast,
    Moods,
    Speed,
    Temperature,
    ToTwo,
    rules_of_cast,
)
from chatter_nb.params.conversion import ConvertParams
from chatter_nb.params.types import (
    MASTERED,
    CfmSteps,
    Checkpoint,
    Device,
    EndSeconds,
    FileRate,
    Formats,
    Interactive,
    Lexicon,
    Master,
    Names,
    OutputsDir,
    Patterns,
    Precision,
    PromptSeconds,
    RoomTone,
    RunName,
    Seed,
    Subtitles,
    Takes,
    Text,
    VoicesDir,
    WavBits,
    Words,
    is_blank,
    is_number,
    often,
    rules_of_mastering,
    seldom,
)

# `engines.registry` has the same names, each with its entry.
SpeechEngineName = Literal["hibari", "chatterbox", "chatterbox-multilingual", "chatterbox-turbo"]
TtsEngineName = Literal["auto", SpeechEngineName]
EnginePath = Literal["fast", "upstream"]
VerifyLevel = Literal["auto", "off", "fast", "full"]

_NAMES, _NAME_CHARS = 100, 80  # the most that `kind_of` looks at

_Pause = Annotated[int, Field(ge=0, le=60_000)]


class SpeakParams(RunParams):
    """Everything that decides how a text is spoken and where the result goes."""

    kind: ClassVar[RunKind] = "speak"
    source_fields: ClassVar = ("text", "text_file")
    voice_field: ClassVar = "voice"

    text: Text = often("", "text", "the text to speak")
    text_file: Text = often("", "text", "a document, or a folder of them, to speak")
    voice: Text = often("", "voice", "a voice by name, or a recording; empty: the engine's own")
    speed: Speed = often(None, "voice", "pace; 1 is the voice's own")
    engine: TtsEngineName = often("auto", "voice", "what speaks; auto takes the best present")
    language: str | None = often(None, "voice", "language code such as en", max_length=16)
    seed: Seed = 0
    exaggeration: ToTwo = often(None, "expression", "emotional intensity")
    cfg_weight: ToTwo = often(
        None, "expression", "how closely to follow the text", "closeness to the text"
    )
    temperature: Temperature = often(
        None, "expression", "variation between takes", "liveliness (temperature)"
    )
    formats: Formats = ("wav",)
    merge: bool = seldom(
        True, "text", "a folder of texts becomes one output, or one each", "join a folder"
    )
    remove_references: bool = seldom(
        False, "text", "drop [12] and superscript footnote numbers", "leave out note numbers"
    )
    replacements: Words = seldom(
        {},
        "text",
        "whole words to say differently; a lower-case word matches any case",
        "words to say differently",
    )
    lexicon: Lexicon = ()
    normalize: Names = seldom(
        "auto",
        "text",
        "what to write in words: auto, off, names of rules, -name",
        "numbers in words",
    )
    regex_replacements: Patterns = seldom(
        {}, "text", "regular expressions to replace, Python's syntax", "patterns to replace"
    )
    chapters: Text = seldom("", "text", 'of a document, such as "1-3,7"; empty: all')
    skip: Names = seldom("auto", "text", "kinds of parts to leave out: auto, none, names, -name")
    clean: Names = seldom("auto", "text", "what to clean in wrapped text and PDF, as in skip")
    unspeakable: Literal["refuse", "note"] = seldom(
        "refuse", "text", "if the voice lacks letters; note: go on without them", "unknown letters"
    )
    cast: Cast = seldom(
        {}, "speakers", "each name with its voice, or voice, speed, gain_db, aliases"
    )
    narrator: Text = seldom("", "speakers", "voice of all else, or a name of the cast")
    quotes: QuoteMode = seldom(
        "narrator", "speakers", "who speaks in quotes; attributed: as rules find", "quotes"
    )
    moods: Moods = seldom({}, "speakers", "each mood with speed, exaggeration, gain_db …")
    labels: Text = seldom("", "speakers", "a file of who speaks where, by span", "file of labels")
    voices_dir: VoicesDir = ""
    prompt_s: PromptSeconds = None
    chunk_chars: int = seldom(
        280, "pauses", "longest text spoken in one go", "longest chunk", ge=20, le=2000
    )
    sentence_pause_ms: _Pause = seldom(
        250, "pauses", "silence between chunks of a paragraph", "pause after a sentence"
    )
    paragraph_pause_ms: _Pause = seldom(
        600, "pauses", "silence after a paragraph", "pause after a paragraph"
    )
    chapter_pause_ms: _Pause = seldom(
        1500, "pauses", "silence after a chapter", "pause after a chapter"
    )
    crossfade_ms: int = seldom(20, "pauses", "overlap where a sentence had to be cut", ge=0, le=60)
    min_p: float | None = seldom(
        None, "expression", "drop tokens below this share of p", "least share (min p)", ge=0, le=1
    )
    top_p: float | None = seldom(
        None, "expression", "keep tokens up to this total p", "total share (top p)", gt=0, le=1
    )
    top_k: int | None = seldom(
        None, "expression", "keep the k likeliest tokens", "likeliest (top k)", ge=1, le=10_000
    )
    repetition_penalty: float | None = seldom(None, "expression", "1 is none", ge=1, le=10)
    max_new_tokens: int | None = seldom(
        None, "expression", "25 tokens a second", "most tokens of a chunk", ge=1, le=4096
    )
    n_cfm_timesteps: CfmSteps = None
    meanflow: bool | None = seldom(
        None, "expression", "Turbo's two-step decoder for the others", "two-step decoder"
    )
    takes: Takes = seldom(
        {}, "expression", "chunk key: take, to make a chunk again", "takes of chunks"
    )
    edits: Text = seldom("", "checking", "a file of edits, such as a run's edits.json")
    verify: VerifyLevel = seldom("auto", "checking", "check that the audio says the text", "check")
    tries: int = seldom(
        3, "checking", "most renderings of a chunk in doubt", "most tries", ge=1, le=10
    )
    asr_model: Text = seldom(
        "", "checking", "the recogniser of verify: full; empty: small English", "recogniser"
    )
    verify_workers: int = seldom(
        -1, "checking", "processes that check; -1 automatic", "processes", ge=-1, le=16
    )
    trim_tails: bool = seldom(
        True, "checking", "where checked, cut long silences and extra sound", "cut extra sound"
    )
    split: Literal["none", "chapter"] = seldom(
        "none", "output", "chapter: files of each chapter", "divide"
    )
    master: Master = "none"
    room_tone: RoomTone = "auto"
    head_s: EndSeconds = None
    tail_s: EndSeconds = None
    sample_rate: FileRate = None
    title: Text = seldom("", "output", "in the file; empty: the document's own")
    author: Text = seldom("", "output", "in the file; empty: the document's own")
    read_by: Text = seldom("", "output", "the narrator, in the file")
    cover: Text = seldom("", "output", "a JPEG or PNG file; empty: the document's own")
    date: Text = seldom("", "output", "year or date, in the file; empty: the document's own")
    description: Text = seldom("", "output", "in the file; empty: the document's own")
    subtitles: Subtitles = ()
    read_along: bool = seldom(False, "output", "an EPUB 3 also comes back, read aloud")
    wav_bits: WavBits = 16
    outputs_dir: OutputsDir = "outputs"
    run_name: RunName = seldom(
        "", "output", "the run's folder; empty: named after the file or the text", "name of the run"
    )
    device: Device = "auto"
    precision: Precision = "auto"
    rows: int = seldom(
        0, "machine", "chunks decoded together; 0 is automatic", "chunks at a time", ge=0, le=1024
    )
    engine_path: EnginePath = seldom(
        "fast", "machine", "upstream: its own slow loops, to compare", "engine's code"
    )
    checkpoint: Checkpoint = ""
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
        if not text_file and is_blank(text):
            yield "there is nothing to speak: set text or text_file"
        if values["split"] == "chapter" and re.findall(r"\w+", str(values["formats"])) == ["m4b"]:
            yield "split: chapter, and m4b is one file with marks: leave out split, or add mp3"
        if values["read_along"] and not str(text_file).lower().endswith(".epub"):
            yield "read_along needs an EPUB 3 as text_file: for other texts choose m4b (formats)"
        if values["read_along"] and values["split"] == "chapter":
            yield "read_along makes one book: leave split at none, or split in another run"
        yield from rules_of_mastering(values)
        yield from rules_of_cast(values)
        if values["engine_path"] == "upstream":
            if is_number(values["rows"]) and values["rows"] > 1:
                yield "engine_path: upstream makes one chunk at a time: leave rows at 0"
            if (other := values["precision"]) in ("fast", "int8"):
                yield f"engine_path: upstream is exact only: leave out precision: {other}"

    def _named_after(self) -> str:
        return Path(self.text_file).stem if self.text_file else self.text


AnyParams = SpeakParams | ConvertParams

# Fields of pairs, see `params.pairs`.
MAPPINGS = {n for n, field in SpeakParams.model_fields.items() if isinstance(field.default, dict)}

# To add a knob, add a field, None by default (the engine's own value), and its name to the `knobs`
# of the engines that accept it (`engines.registry`).
KNOBS = tuple(
    name
    for name, field in SpeakParams.model_fields.items()
    if field.default is None and name not in ("language", *MASTERED)
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
