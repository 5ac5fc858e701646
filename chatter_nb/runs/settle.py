"""What every plan needs: engine and seed settled, problems collected, costs estimated and told."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from chatter_nb.base.disk import free_disk_bytes
from chatter_nb.base.errors import ChatterError, InputError, ParamError
from chatter_nb.base.project import resolve_path
from chatter_nb.base.wording import minutes
from chatter_nb.engines.base import SpeechEngine
from chatter_nb.engines.checkpoints import check_meanflow, locate
from chatter_nb.engines.models import Choice, pick_device, pick_engine
from chatter_nb.engines.registry import entry
from chatter_nb.engines.voices import CACHE, FOLDER, Library
from chatter_nb.params.runs import ConvertParams, SpeakParams
from chatter_nb.runs.record import RunFolder, RunRecord

_FILE_BYTES_PER_S = {"flac": 24_000, "mp3": 6_000, "opus": 6_000}  # of 24 kHz speech, roughly
_ENCODING_RTF = {"mp3": 0.009, "opus": 0.04}  # measured by `bench embedded`; wav and flac: nothing
_SLOW_RTF = 2.0  # slower than this on a CPU, a person should hear what a GPU or `auto` would do
_PLACES_SHOWN = 6
_RESUMED = "the run to resume had it: "


@dataclass(frozen=True)
class Estimate:
    """What a run will cost. Rough: by the length of its input and the engine's usual pace."""

    audio_s: float
    wall_s: float
    disk_bytes: int

    def __str__(self) -> str:
        return (
            f"{minutes(self.audio_s)} of audio, {minutes(self.wall_s)} of work, "
            f"{self.disk_bytes / 1e6:,.0f} MB on disk"
        )

    def notes(self, folder: RunFolder) -> list[str]:
        """What is tight."""
        free_bytes = free_disk_bytes(folder.path)
        if self.disk_bytes <= free_bytes:
            return []
        return [f"only {free_bytes / 1e6:,.0f} MB are free there: the disk may fill up"]


def file_bytes_per_s(params: SpeakParams | ConvertParams, sample_rate: int) -> int:
    """What a second of audio takes in all the formats together."""
    sizes = {"wav": sample_rate * params.wav_bits // 8, **_FILE_BYTES_PER_S}
    return sum(sizes[name] for name in params.formats)


def encoding_rtf(params: SpeakParams | ConvertParams) -> float:
    """Seconds that encoding a second of audio takes, in all the formats together."""
    return sum(_ENCODING_RTF.get(name, 0.0) for name in params.formats)


def cost_notes(engine: Any, audio_s: float) -> list[str]:
    """Before a slow engine runs on a CPU: what that costs."""
    if engine.device != "cpu" or engine.typical_rtf < _SLOW_RTF or audio_s <= 0:
        return []
    return [
        f"{engine.name} on a CPU takes about {engine.typical_rtf:.0f} s of work for a second of "
        f"audio, {minutes(audio_s * engine.typical_rtf)} for what is new here; a GPU is many times "
        "faster, and engine: auto takes what is fast on this machine"
    ]


def library_of(params: SpeakParams | ConvertParams) -> Library:
    """The voices of a run: `voices_dir`, else voices/ under its outputs root."""
    outputs = resolve_path(params.outputs_dir)
    folder = resolve_path(params.voices_dir) if params.voices_dir else outputs / FOLDER
    return Library(folder, outputs / CACHE)


def look_ahead(
    name: str, params: SpeakParams | ConvertParams, problems: Problems, *, convert: bool = False
) -> Any:
    """The device; what is wrong with it or the model's files is told before a slow import."""
    engine = entry(name, convert=convert)
    device = problems.of(lambda: pick_device(params.device, engine=name, convert=convert))
    if engine.files and not engine.missing():
        folder = problems.of(lambda: locate(engine.files, params.checkpoint))
        if folder and getattr(params, "meanflow", None):
            problems.of(lambda: check_meanflow(folder))
        problems.raise_any()
    return device


def check_voice(voice: str, library: Library, engine_class: Any) -> None:
    """Look at a recording before the model is loaded that would clone it."""
    min_s = getattr(engine_class, "min_voice_s", None)
    if not voice and getattr(engine_class, "needs_voice", False):
        raise ParamError(
            f"engine '{engine_class.name}' has no voice of its own: set target to a recording, or "
            "to the name of one in the voices folder"
        )
    if voice and min_s:
        library.recording(voice, min_s=min_s)


def check_texts(texts: list[str], engine: SpeechEngine, language: str) -> list[str]:
    """What the engine notes of chunks' texts. Where it fails they are named, all at once."""
    try:
        return engine.check_text("\n".join(texts), language)
    except ChatterError:
        raise
    except Exception as error:  # whatever reads the text may raise, and must not end a batch
        places = [text for text in texts if not _can_check(text, engine, language)] or texts
        shown = ", ".join(f"{text[:60]!r}" for text in places[:_PLACES_SHOWN])
        more = len(places) - _PLACES_SHOWN
        raise InputError(
            f"engine '{engine.name}' cannot read {shown}{f' and {more} more' if more > 0 else ''} "
            f"({type(error).__name__}: {error}): write it otherwise (replacements)"
        ) from error


def _can_check(text: str, engine: SpeechEngine, language: str) -> bool:
    try:
        engine.check_text(text, language)
    except ChatterError:
        return True
    except Exception:
        return False
    return True


def settle(
    params: SpeakParams | ConvertParams,
    unfinished: RunRecord | None,
    *,
    source: tuple[str, ...],
    convert: bool = False,
) -> tuple[Choice, int]:
    """Engine and seed: as the unfinished run of the same request settled them, else anew.

    It is the same request if the fields in `source`, the engine asked for and the seed are.
    """
    resumes = unfinished is not None and all(
        unfinished.params.get(name) == getattr(params, name) for name in (*source, "engine", "seed")
    )
    if unfinished is None or not resumes:
        seed = draw_seed() if params.seed < 0 else params.seed
        return pick_engine(params.engine, convert=convert), seed
    if params.engine != "auto":
        return pick_engine(params.engine, convert=convert), unfinished.seed
    reason = unfinished.engine.reason.removeprefix(_RESUMED)
    return Choice(unfinished.engine.name, _RESUMED + reason), unfinished.seed


def draw_seed() -> int:
    """A seed from the system's own source, leaving every generator as it is."""
    return secrets.randbelow(2**31)


class Problems:
    """Collects what several steps have to say, so that a person hears all of it at once."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def of(self, step: Callable[[], Any]) -> Any:
        """The step's result, or None if it found bad input."""
        try:
            return step()
        except InputError as error:
            self.found.append(str(error))
        except OSError as error:  # a folder that is closed to us, a network disk that went away
            self.found.append(f"cannot read {error.filename}: {error.strerror or error}")
        return None

    def raise_any(self) -> None:
        if self.found:
            raise ParamError("\n".join(dict.fromkeys(self.found)))
