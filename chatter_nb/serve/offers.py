"""What a server offers: engines and voices; and a request's parameters checked against them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from chatter_nb.base.errors import ChatterError, ParamError, shorten
from chatter_nb.engines.checkpoints import cached
from chatter_nb.engines.checks import check_files
from chatter_nb.engines.models import EngineChoice, load, pick_engine, settle
from chatter_nb.engines.offered import DEFAULT_VOICE, hibari_voices, no_voice, voice_choices
from chatter_nb.engines.registry import EngineEntry, entries, entry
from chatter_nb.engines.voices import CACHE, NAME, Library
from chatter_nb.params.base import RunKind
from chatter_nb.params.runs import AnyParams, ConvertParams, SpeakParams
from chatter_nb.runs.speakers import cast_of
from chatter_nb.serve.bodies import DOCUMENT, LEXICON, RECORDINGS, Kind, Params, check_names
from chatter_nb.serve.errors import Problem, log, not_ready, without_folders
from chatter_nb.serve.settings import Settings
from chatter_nb.setup.colab import sample_folder
from chatter_nb.text.dialogue.marks import voices_marked

Values = Mapping[str, Any]
Uploads = Mapping[str, Path]  # recordings on the disk, by the parameter that they stand for
NO_UPLOADS: Mapping[str, Any] = {}


class Catalog:
    """Engines and voices, for every route and the web page."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.library = Library(settings.voices, settings.outputs / CACHE)
        self.loaded: dict[str, str] = {}  # `models.loaded()` waits for a model that is loading
        # A request does not wait for gigabytes to be fetched.
        self._has_checkpoint = bool(settings.machine.get("checkpoint"))
        self._speaks = pick_engine(settings.engine, may_fetch=self._has_checkpoint)
        self._converts = pick_engine("auto", "convert", may_fetch=self._has_checkpoint)

    def choice(self, kind: RunKind = "speak") -> EngineChoice:
        """The engine behind `auto`, and why it is that engine."""
        return self._converts if kind == "convert" else self._speaks

    def engines(self, kind: RunKind = "speak") -> dict[str, EngineEntry]:
        """The engines that a request may choose: all installed, or the server's speech engine."""
        only = self._settings.engine
        if only != "auto" and kind == "speak":
            return {only: entry(only)}
        return {name: engine for name, engine in entries(kind).items() if not engine.missing()}

    def import_engines(self) -> None:
        """Import the libraries of models that are here: it holds the interpreter for seconds."""
        for engine in (*self.engines().values(), *self.engines("convert").values()):
            if engine.files and self.has_files(engine):
                engine.engine_class()

    def has_files(self, engine: EngineEntry) -> bool:
        """Whether an engine's model is on this machine; a `checkpoint` for all counts as that."""
        return not engine.files or self._has_checkpoint or bool(cached(engine.files))

    def load_engine(self, params: AnyParams) -> str:
        """Load the engine of a run. Returns the engine's key the first time, later "".

        Raises `Problem` 503 for whatever keeps the engine from loading.
        """
        name, key = params.engine, entry(params.engine, params.kind).key
        is_first = key not in self.loaded
        if is_first:
            self.check_here(params)
        try:
            choice = pick_engine(name, params.kind)
            if is_first:
                check_files(choice.entry, params)
            model = load(settle(choice, params.device, params.checkpoint, params.precision))
        except ChatterError as error:
            log.error("engine %s cannot be used: %s", name, error)
            reason = without_folders(str(error))
            raise not_ready(f"engine '{name}' cannot be used: {reason}") from error
        except Exception as error:  # whatever a broken file or a missing library raises
            log.error("engine %s did not load", name, exc_info=error)
            raise not_ready(f"engine '{name}' did not load: {type(error).__name__}") from error
        self.loaded[key] = model.device
        return key if is_first else ""

    def check_here(self, params: AnyParams) -> None:
        """Raises `Problem` 503 where a run's model is not on this machine: none is fetched."""
        files = entry(params.engine, params.kind).files
        if files and not params.checkpoint and cached(files) is None:
            raise not_ready(
                f"engine '{params.engine}': its model is not on this machine; its owner can bring "
                f"it with: chatter-nb fetch {files}"
            )

    def clones(self, engine: str) -> bool:
        """Whether an engine speaks in the voice of a recording."""
        return bool(entry(engine).files)

    def voices(self, engine: str) -> list[str]:
        """The voices of an engine: its built-in voices, and recordings if it clones them."""
        voices = [DEFAULT_VOICE, *(hibari_voices() if engine == "hibari" else [])]
        recordings = self.recordings() if self.clones(engine) else []
        return list(dict.fromkeys([*voices, *recordings]))

    def recordings(self) -> list[str]:
        """The recordings in the voices folder that can be named over HTTP."""
        names = [name for name in self.library.names() if NAME.fullmatch(name)]
        return [name for name in names if name != DEFAULT_VOICE]

    def voice_choices(self, engine: str) -> list[tuple[str, str]]:
        """The voices of an engine in words, each with its name; also those to be fetched first."""
        if engine == "hibari":
            return voice_choices(entry(engine), self.library)
        samples = self.sample_choices() if self.clones(engine) else []
        recordings = [(name, name) for name in self.voices(engine) if name != DEFAULT_VOICE]
        return [("the engine's own voice", DEFAULT_VOICE), *recordings, *samples]

    def speaker_choices(self, engine: str) -> list[tuple[str, str]]:
        """As `voice_choices`, for a speaker of a text: without the engine's own and samples."""
        others, voices = {DEFAULT_VOICE, *_samples()}, self.voice_choices(engine)
        return [("the run's voice", ""), *(pair for pair in voices if pair[1] not in others)]

    def sample_choices(self) -> list[tuple[str, str]]:
        """The recordings that come with the package in words, each with its name."""
        return [(f"{path.stem} (a sample)", name) for name, path in _samples().items()]

    def name_of(self, voice: str) -> str:
        """The name in a request of a run's recording, which the run has as a path."""
        path = Path(voice)
        samples = {sample: name for name, sample in _samples().items()}
        return samples.get(path) or (path.stem if path.parent == self.library.folder else voice)

    def run(self, kind: Kind, values: Values, uploads: Uploads, name: str) -> AnyParams:
        """The parameters of a run of this name; see `speech` and `conversion`."""
        make = self.speech if kind is SpeakParams else self.conversion
        return make(values, name, uploads)

    def speech(self, values: Values, run_name: str, uploads: Uploads = NO_UPLOADS) -> SpeakParams:
        """The parameters of a speech run, from a request's `values`.

        Raises `ParamError`, or `Problem` 404 for a voice that does not exist.
        """
        check_names(SpeakParams, values)
        if DOCUMENT not in uploads and not str(values.get("text", "")).strip():
            raise ParamError("text: there is nothing to speak")
        uploads = _with_samples(SpeakParams, values, uploads)
        params = self._params(SpeakParams, values, run_name, uploads)
        voice = "" if params.voice == DEFAULT_VOICE else params.voice
        if "voice" in uploads and not self.clones(params.engine):
            names = [name for name in self.engines() if self.clones(name)]
            cure = (
                f"; choose engine: {' or '.join(names)}" if names else ", and no engine here does"
            )
            raise ParamError(f"voice: engine '{params.engine}' clones no recording{cure}")
        if "voice" not in uploads:
            self._check_voice(voice, params.engine)
        narrator = "" if cast_of(params).speaker(params.narrator) else params.narrator
        self._check_voice(narrator, params.engine, "narrator: ")
        for name, member in params.cast.items():
            self._check_voice(member.voice, params.engine, f"cast: {shorten(name, 60)}: ")
        return params.model_copy(update={"voice": voice})

    def check_marks(self, params: AnyParams, text: str) -> None:
        """Raises `Problem` 404 for a mark that names no voice here: a run would fetch it."""
        if isinstance(params, SpeakParams):
            cast = cast_of(params)
            for voice in voices_marked(text):
                if cast.speaker(voice) is None:
                    self._check_voice(voice, params.engine, f"[voice: {shorten(voice, 60)}]: ")

    def _check_voice(self, voice: str, engine: str, whose: str = "") -> None:
        """Raises `Problem` 404 for what is no name of a voice: a path never is."""
        known = [name for name in self.voices(engine) if name != DEFAULT_VOICE]
        if not voice or voice in known:
            return
        if voice in (name for _, name in self.speaker_choices(engine)):
            raise Problem(
                404,
                f"{whose}voice '{voice}' is not on this machine yet; its owner can bring it with: "
                f"chatter-nb speak Hello --voice {voice}",
            )
        if engine == "hibari":
            known = [name for _, name in self.voice_choices(engine)]
        raise Problem(404, whose + no_voice(engine, voice, known))

    def conversion(
        self, values: Values, run_name: str, uploads: Uploads = NO_UPLOADS
    ) -> ConvertParams:
        """The parameters of a conversion, like `speech`; its recordings are named, or uploads."""
        check_names(ConvertParams, values)
        uploads = _with_samples(ConvertParams, values, uploads)
        if not values.get("source") and "source" not in uploads:
            raise ParamError("source: name a recording of the voices folder, or send one")
        params = self._params(ConvertParams, values, run_name, uploads)
        target = "" if params.target == DEFAULT_VOICE else params.target
        for name, voice in {"source": params.source, "target": target}.items():
            if voice and name not in uploads and voice not in (known := self.recordings()):
                there = ", ".join(known) or "none"
                raise Problem(404, f"no voice {voice[:80]!r}; the voices folder has: {there}")
        source = params.source if "source" in uploads else str(self.library.find(params.source))
        return params.model_copy(update={"source": source, "target": target})

    def _params(
        self, kind: type[Params], values: Values, run_name: str, uploads: Uploads
    ) -> Params:
        """A request's values and the server's, with an engine that is served here."""
        paths: dict[str, Any] = {name: str(path) for name, path in uploads.items()}
        if LEXICON in paths:
            paths[LEXICON] = [paths[LEXICON]]  # a text would be divided at its commas
        fixed = {**self._settings.server_values(kind), "run_name": run_name}
        params = kind.create({**values, **paths, **fixed}, where="request")
        engine = self.choice(params.kind).entry
        if params.engine != "auto":
            offered = self.engines(params.kind)
            if params.engine not in offered:
                wrong, known = f"'{params.engine}' is not served here", ", ".join(offered)
                raise Problem(422, f"engine: {wrong}; there is: {known}")
            engine = offered[params.engine]
        return params.model_copy(update={"engine": engine.name, **_not_taken(engine)})


def _not_taken(engine: EngineEntry) -> dict[str, Any]:
    """The defaults of what the server sets for all requests and this engine does not take."""
    defaults = {"checkpoint": "", "precision": "auto", "rows": 0}
    values = {name: value for name, value in defaults.items() if name not in engine.accepts}
    return {**values, "device": "auto"} if engine.cpu_only else values


@cache
def _samples() -> dict[str, Path]:
    """The recordings that come with the package, by the names that a request may hold."""
    folder = sample_folder("params")
    paths = sorted(folder.glob("recordings/*.flac")) if folder else []
    return {f"sample-{path.stem}": path for path in paths}


def _with_samples(kind: Kind, values: Values, uploads: Uploads) -> dict[str, Path]:
    """The uploads, and the samples that a request names: both are recordings at a place."""
    named = {part: _samples().get(str(values.get(part))) for part in RECORDINGS[kind]}
    return {part: path for part, path in named.items() if path} | dict(uploads)
