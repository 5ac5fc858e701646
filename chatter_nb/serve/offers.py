"""What a server offers: engines, voices, and a request's parameters checked against them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chatter_nb.base.errors import ParamError
from chatter_nb.base.project import resolve_path
from chatter_nb.engines.checkpoints import cached
from chatter_nb.engines.models import Choice, pick_engine
from chatter_nb.engines.registry import EngineEntry, entries, entry
from chatter_nb.engines.voices import CACHE, Library
from chatter_nb.params.runs import ConvertParams, SpeakParams
from chatter_nb.serve.bodies import check_names, conversion_params, speech_params
from chatter_nb.serve.errors import Problem
from chatter_nb.serve.settings import Settings
from chatter_nb.serve.uploads import DEFAULT_VOICE, NAME

_NO_UPLOADS: Mapping[str, Path] = {}


class Catalog:
    """Read by every surface; holds nothing but the settings and what `auto` came to."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.library = Library(resolve_path(settings.voices_dir), settings.outputs / CACHE)
        # A request does not wait for gigabytes to be fetched.
        self._own_files = bool(settings.machine.get("checkpoint"))
        self._speaks = pick_engine(settings.engine, may_fetch=self._own_files)
        self._converts = pick_engine("auto", convert=True, may_fetch=self._own_files)

    def choice(self, *, convert: bool = False) -> Choice:
        """What speaks, or converts, where a request says auto; and why."""
        return self._converts if convert else self._speaks

    def engines(self, *, convert: bool = False) -> dict[str, EngineEntry]:
        """What a request may choose: everything installed, or what the server was started for."""
        only = self._settings.engine
        if only != "auto" and not convert:
            return {only: entry(only)}
        found = entries(convert=convert)
        return {name: one for name, one in found.items() if not one.missing()}

    def import_engines(self) -> None:
        """Import the libraries of models that are here: it holds the interpreter for seconds."""
        for convert in (False, True):
            for engine in self.engines(convert=convert).values():
                if engine.files and self.has_files(engine):
                    engine.engine_class()

    def has_files(self, engine: EngineEntry) -> bool:
        """Whether an engine's model is on this machine; a `checkpoint` for all is taken to be."""
        return not engine.files or self._own_files or bool(cached(engine.files))

    def clones(self, engine: str) -> bool:
        """Whether an engine speaks in the voice of a recording."""
        return bool(entry(engine).files)

    def voices(self, engine: str) -> list[str]:
        """The voices that an engine speaks in: its own, and recordings if it clones them."""
        own = [DEFAULT_VOICE]
        if engine == "hibari":
            own += _hibari_voices()
        return own + [name for name in self.recordings() if self.clones(engine) and name not in own]

    def recordings(self) -> list[str]:
        """The recordings in the voices folder that can be named over HTTP."""
        names = [name for name in self.library.names() if NAME.fullmatch(name)]
        return [name for name in names if name != DEFAULT_VOICE]

    def speech(
        self,
        values: Mapping[str, Any],
        run_name: str,
        uploads: Mapping[str, Path] = _NO_UPLOADS,
    ) -> SpeakParams:
        """A request's parameters; `uploads` are files of ours by the parameter that they serve.

        Raises `ParamError`, or `Problem` 404 for a voice that is not there.
        """
        own = self._settings.own(SpeakParams) | {"run_name": run_name}
        params = speech_params({**values, **_paths(uploads)}, own)
        engine = self._offered(params.engine)
        voice = "" if params.voice == DEFAULT_VOICE else params.voice
        if "voice" in uploads and not self.clones(engine):
            raise ParamError(f"voice: engine '{engine}' clones no recording{self._cloners()}")
        if voice and "voice" not in uploads and voice not in self.voices(engine):
            raise self.no_voice(voice, engine)
        own = {"engine": engine, "voice": voice}
        return params.model_copy(update=own | _not_taken(entry(engine)))

    def conversion(
        self,
        values: Mapping[str, Any],
        run_name: str,
        uploads: Mapping[str, Path] = _NO_UPLOADS,
    ) -> ConvertParams:
        """Likewise; `source` and `target` are recordings in the voices folder, or uploads."""
        check_names(ConvertParams, values)
        if not values.get("source") and "source" not in uploads:
            raise ParamError("source: name a recording of the voices folder, or send one")
        own = self._settings.own(ConvertParams) | {"run_name": run_name}
        params = conversion_params({**values, **_paths(uploads)}, own)
        engine = self._offered(params.engine, convert=True)
        target = "" if params.target == DEFAULT_VOICE else params.target
        named = {"source": params.source, "target": target}
        for name, voice in named.items():
            if voice and name not in uploads and voice not in self.recordings():
                raise self.no_voice(voice)
        source = named["source"] if "source" in uploads else self.library.find(params.source)
        update = {"engine": engine, "source": str(source), "target": target}
        return params.model_copy(update=update | _not_taken(entry(engine, convert=True)))

    def no_voice(self, name: str, engine: str = "") -> Problem:
        """404 that lists what there is."""
        known = ", ".join(self.voices(engine) if engine else self.recordings()) or "none"
        whose = f"engine '{engine}' has" if engine else "the voices folder has"
        return Problem(404, f"no voice {name[:80]!r}; {whose}: {known}")

    def _cloners(self) -> str:
        """Who does, to end a sentence."""
        names = [name for name in self.engines() if self.clones(name)]
        return f"; choose engine: {' or '.join(names)}" if names else ", and no engine here does"

    def _offered(self, engine: str, *, convert: bool = False) -> str:
        if engine == "auto":
            return self.choice(convert=convert).name
        offered = self.engines(convert=convert)
        if engine not in offered:
            known = ", ".join(offered)
            raise Problem(422, f"engine: '{engine}' is not served here; there is: {known}")
        return engine


def _not_taken(engine: EngineEntry) -> dict[str, Any]:
    """What the server sets for all requests, taken back for an engine that does not take it."""
    plain = {"checkpoint": "", "precision": "auto", "rows": 0}
    back = {name: value for name, value in plain.items() if name not in engine.takes}
    return back | ({"device": "auto"} if engine.cpu_only else {})


def _paths(uploads: Mapping[str, Path]) -> dict[str, str]:
    return {name: str(path) for name, path in uploads.items()}


def _hibari_voices() -> list[str]:
    """Those that need no download."""
    from hibari.voices import VOICES, voice_path

    here = []
    for name in VOICES:
        try:
            voice_path(name, download_missing=False)
        except FileNotFoundError:
            continue
        here.append(name)
    return here
