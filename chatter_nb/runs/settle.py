"""The first steps of every plan: choose engine and seed, check the input, load the engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from chatter_nb.base.errors import ChatterError, InputError, ParamError, Problems
from chatter_nb.base.project import resolve_path
from chatter_nb.base.timing import Stopwatch
from chatter_nb.engines.base import SpeechEngine, Voice
from chatter_nb.engines.checks import check_files, check_supported, settle_params
from chatter_nb.engines.models import load, loaded
from chatter_nb.engines.registry import EngineEntry
from chatter_nb.engines.voices import Library, library_of
from chatter_nb.params.runs import AnyParams, SpeakParams
from chatter_nb.runs.checking import Checks, settle_checks
from chatter_nb.runs.folder import RunFolder
from chatter_nb.runs.plan import Plan
from chatter_nb.runs.resume import engine_and_seed, resumed
from chatter_nb.runs.store import ChunkStore

P = TypeVar("P", bound=Plan)
OnLoad = Callable[[EngineEntry], object]  # called before a model is loaded that takes long

_PLACES_SHOWN = 6


class Planner:
    """Chooses and loads what every run needs: engine, device, precision, seed, voice.

    It collects problems of the input in `problems`; `load` raises them, before it calls `on_load`
    and loads. `reading` is the name of the stage in which the source is read.
    """

    def __init__(self, params: AnyParams, reading: str, on_load: OnLoad | None = None) -> None:
        self.watch = Stopwatch(("load", "voice", reading))
        self.problems = Problems()
        self._params = params
        self._on_load = on_load or (lambda _: None)
        self._folder = RunFolder(params.run_dir())
        self._library = library_of(params)
        self._voice = getattr(params, params.voice_field)
        with self.watch.stage("load"):  # looking at a GPU imports torch
            choice, self.seed = engine_and_seed(params, self._folder)
            self.entry = choice.entry
            self.entry.check_installed()
            self.settled = self.problems.of(lambda: settle_params(choice, params))
            if params.checkpoint:
                self.problems.of(lambda: check_files(self.entry, params))
        self.problems.of(lambda: check_supported(params, self.entry, choice.reason))

    def settle_checks(self, params: SpeakParams) -> Checks | None:
        """How the chunks are checked; None if that is a problem, which is then collected."""
        if self.settled is None or self.problems.messages:
            return None
        unfinished = resumed(params, self._folder)
        language = params.language or self.entry.languages[0]
        pinned = unfinished.checks if unfinished else None
        with self.watch.stage("load"):
            return self.problems.of(lambda: settle_checks(params, self.settled, language, pinned))

    def load(self) -> Any:
        """Load the engine and return it. Raises `InputError` with all collected problems."""
        with self.watch.stage("voice"):
            self.problems.of(lambda: check_voice(self._voice, self._library, self.entry))
        self.problems.raise_any()
        if self.entry.files and self.entry.key not in loaded():
            self._on_load(self.entry)
        with self.watch.stage("load"):
            check_files(self.entry, self._params)
            self._engine = load(self.settled)
        return self._engine

    def prepare_voice(self) -> Voice:
        """Prepare the voice that the parameters name, and return it."""
        with self.watch.stage("voice"):
            self._prepared: Voice = self._engine.prepare_voice(self._voice, self._library)
        return self._prepared

    def plan(self, kind: type[P], outputs: Sequence[Any], notes: Sequence[str], **more: Any) -> P:
        """The finished plan; `notes` are the notes on the source, `more` fields of its kind."""
        return kind(
            params=self._params,
            folder=self._folder,
            store=ChunkStore(resolve_path(self._params.outputs_dir)),
            settled=self.settled,
            engine=self._engine,
            voice=self._prepared,
            seed=self.seed,
            outputs=tuple(outputs),
            warnings=(*self._prepared.notes, *notes),
            stages_s=self.watch.stages_s,
            planning_s=self.watch.wall_s,
            **more,
        )


def check_voice(voice: str, library: Library, engine: EngineEntry) -> None:
    """Check the recording of a voice before a model is loaded. Raises `InputError`."""
    if not voice and engine.needs_voice:
        raise ParamError(
            f"engine '{engine.name}' has no voice of its own: set target to a recording, or "
            "to the name of one in the voices folder"
        )
    if voice and engine.min_voice_s:
        library.recording(voice, min_s=engine.min_voice_s)


def check_texts(texts: list[str], engine: SpeechEngine, language: str) -> list[str]:
    """The engine's notes on the texts of chunks. Raises `InputError` that names every bad text."""
    try:
        return engine.check_text("\n".join(texts), language)
    except ChatterError:
        raise
    except Exception as error:  # an engine's own code, which may raise anything
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
