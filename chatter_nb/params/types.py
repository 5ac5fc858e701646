"""The types of fields that several classes of parameters have, each with its range and its help.

`often` and `seldom` make a field with what every surface shows of it: the title of its group
(`purpose`), its help, and its name in words (`label`) where the parameter's own does not serve.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from chatter_nb.base.errors import shorten, shown
from chatter_nb.base.formats import OUTPUT_FORMATS, OutputName
from chatter_nb.params.pairs import as_numbers, as_pairs

# A run name becomes a folder: one path component, no leading dot, nothing a shell trips over.
MAX_NAME_BYTES = 200
_RUN_NAME = re.compile(r"\w[\w .+-]{0,119}")
# What lies under an outputs root beside the runs, in lower case as some disks see it.
_FILES = ("batch.json", "batch.log", "index.html", "readme.md")
OWN_NAMES = {*_FILES, "voices", "compare", "timing", "uploads", "page_uploads"}


def _field(
    default: Any, purpose: str, help: str, label: str = "", *, often: bool, **limits: Any
) -> Any:
    extra: Any = {"purpose": purpose, "often": often}
    title = label or None
    return Field(default, description=help, title=title, json_schema_extra=extra, **limits)


often = partial(_field, often=True)  # stands in sight
seldom = partial(_field, often=False)  # is folded away, with others of its purpose


def _check_run_name(value: str) -> str:
    if value and (not _RUN_NAME.fullmatch(value) or value.endswith((".", " "))):
        raise ValueError(
            f"{shown(value)} cannot name a folder: use letters, digits, space and . + - _ "
            "(no path; choose the place with outputs_dir)"
        )
    if len(value.encode()) > MAX_NAME_BYTES:
        raise ValueError(f"{shown(value)} is too long for a folder: at most {MAX_NAME_BYTES} bytes")
    if value.casefold() in OWN_NAMES:
        raise ValueError(
            f"{value!r} is a place of chatter_nb's own beside the runs: choose another run_name, "
            f"such as {value.partition('.')[0] + '-1'!r}"
        )
    return value


def _no_duplicates(value: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(value)) != len(value):
        raise ValueError(f"a format is listed twice in {shown(list(value))}")
    return value


def _check_utf8(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("holds bytes that are not UTF-8 text") from None
    if "\0" in value:
        raise ValueError("holds a NUL character")
    return value


def _as_tuple(value: Any) -> Any:
    """A tuple of a list, or of "wav, mp3" as people write it; other values unchanged."""
    if isinstance(value, str):
        value = [part.strip() for part in value.strip("[]").split(",") if part.strip()]
    return one_or_more(value)


def one_or_more(value: Any) -> Any:
    """A tuple of a list, or of a single text (of "", an empty tuple); other values unchanged."""
    if isinstance(value, str):
        return (value,) if value else ()
    return tuple(value) if isinstance(value, list) else value


def _as_text(value: Any) -> Any:
    """Names in a text, of a list of them; other values unchanged."""
    are_names = isinstance(value, list) and all(isinstance(name, str) for name in value)
    return ", ".join(value) if are_names else value


def _check_device(value: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", value):
        raise ValueError(f"{shown(value)} is no device: use auto, cpu, mps, cuda or cuda:0")
    return value


def _check_patterns(value: dict[str, str]) -> dict[str, str]:
    for pattern in value:
        try:
            re.compile(pattern)
        except (re.error, RecursionError, OverflowError) as error:
            reason = shorten(str(error), 200)
            raise ValueError(f"{shown(pattern)} is not a regular expression: {reason}") from error
    return value


def _check_words(value: dict[str, str]) -> dict[str, str]:
    for word, said in value.items():
        if not word.strip():
            raise ValueError(f"the word to say as {shown(said)} cannot be empty: write it")
    return value


Text = Annotated[str, AfterValidator(_check_utf8)]
_read = BeforeValidator(as_pairs, json_schema_input_type=dict[str, str] | str)
Words = Annotated[dict[Text, Text], _read, AfterValidator(_check_words)]
Patterns = Annotated[dict[Text, Text], _read, AfterValidator(_check_patterns)]
_Take = Annotated[int, Field(ge=0, le=1_000_000)]
Takes = Annotated[
    dict[str, _Take], BeforeValidator(as_numbers, json_schema_input_type=dict[str, _Take] | str)
]
Names = Annotated[Text, BeforeValidator(_as_text)]
VoicesDir = Annotated[
    Text, seldom(..., "voice", "where voices are found; empty: voices/ under outputs_dir", "voices")
]
Seed = Annotated[
    int, often(..., "expression", "same seed, same audio; -1 draws one", ge=-1, lt=2**32)
]
CfmSteps = Annotated[
    int | None, seldom(..., "expression", "steps from token to mel", "decoder steps", ge=1, le=100)
]
PromptSeconds = Annotated[
    float | None,
    seldom(..., "voice", "voice prompt used, seconds", "length of the voice sample", gt=0, le=30),
]
Formats = Annotated[
    tuple[OutputName, ...],
    often(..., "output", "audio files to write", "audio files", min_length=1),
    BeforeValidator(_as_tuple),
    AfterValidator(_no_duplicates),
]
LEXICON_SUFFIXES = (".yaml", ".yml", ".pls", ".xml")  # of an upload
Lexicon = Annotated[
    tuple[str, ...],
    seldom(..., "text", "files of words and how they are said", "lexicon files"),
    BeforeValidator(_as_tuple),
    AfterValidator(_no_duplicates),
]
Subtitles = Annotated[
    tuple[Literal["srt", "vtt"], ...],
    seldom(..., "output", "files of subtitles, beside the audio"),
    BeforeValidator(_as_tuple),
    AfterValidator(_no_duplicates),
]
WavBits = Annotated[
    Literal[16, 24, 32], seldom(..., "output", "wav sample width; 32 is float", "wav samples")
]
Master = Annotated[
    Literal["none", "acx", "podcast", "r128"],
    seldom(..., "output", "bring each chapter to a loudness; for mp3, opus and m4b", "loudness"),
]
RoomTone = Annotated[
    Literal["auto", "on", "off"],
    seldom(..., "output", "quiet noise under a mastered chapter; auto: acx has it"),
]
EndSeconds = Annotated[
    float | None,
    seldom(..., "output", "silence there in a mastered chapter; acx: 0.75 and 2", ge=0, le=10),
]
FileRate = Annotated[
    int | None,
    seldom(..., "output", "Hz, of mastered files; acx: 44100", "rate", ge=16_000, le=48_000),
]
Device = Annotated[str, AfterValidator(_check_device), seldom(..., "machine", "where models run")]
Precision = Annotated[
    Literal["auto", "exact", "fast", "int8"],
    seldom(..., "machine", "exact: float32; fast: 16-bit weights; int8: on a CPU"),
]
Checkpoint = Annotated[
    Text,
    seldom(..., "machine", "a folder of model files instead of the hub's cache", "model files"),
]
OutputsDir = Annotated[
    str,
    seldom(..., "output", "where run folders go", "folder of the runs", min_length=1),
    AfterValidator(_check_utf8),
]
RunName = Annotated[str, AfterValidator(_check_run_name)]
Interactive = Annotated[bool, seldom(..., "machine", "a person is watching; batches pass false")]


MASTERED = ("room_tone", "head_s", "tail_s", "sample_rate")  # need `master`


def rules_of_mastering(values: Mapping[str, Any]) -> Iterator[str]:
    """The rules of `Master`: a message for formats that lose nothing, and for what needs it."""
    formats = str(values["formats"])
    plain = [name for name, row in OUTPUT_FORMATS.items() if row.lossless and name in formats]
    if plain and values["master"] != "none":
        yield f"master is for compressed files: take {' and '.join(plain)} out of formats"
    given = [name for name in MASTERED if values[name] not in (None, "auto")]
    if given and values["master"] == "none":
        yield f"{' and '.join(given)}: for mastered files. Set master: acx, podcast or r128"


def is_blank(value: Any) -> bool:
    """Whether there is nothing to read in a value."""
    return not value or (isinstance(value, str) and not value.strip())


def is_number(value: Any) -> bool:
    """Whether a value is a number; YAML's truth values are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)
