"""What is served: the workers, the voices, and how a request becomes a run of `speak` or `convert`.

Everything here is synchronous; what asks (`api`, `openai`, `ui`) waits for a task's result.
"""

from __future__ import annotations

import logging
import math
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from chatter_nb.audio.reading import Signal
from chatter_nb.base.budget import stopping
from chatter_nb.base.errors import ChatterError
from chatter_nb.engines.base import SpeechEngine
from chatter_nb.engines.checkpoints import cached
from chatter_nb.engines.models import CONVERT, get_or_load_tts_model, get_or_load_vc_model
from chatter_nb.engines.registry import entries, entry
from chatter_nb.params.runs import ConvertParams, SpeakParams
from chatter_nb.runs.convert import ConversionPlan, plan_conversion, render_conversion
from chatter_nb.runs.lifecycle import Progress
from chatter_nb.runs.record import RECORD, RunFolder
from chatter_nb.runs.settle import Problems, look_ahead
from chatter_nb.runs.speak import render_speech
from chatter_nb.runs.speak_plan import SpeechPlan, plan_speech
from chatter_nb.runs.speech import Speech
from chatter_nb.serve.errors import Problem, not_ready, shutting_down, without_folders
from chatter_nb.serve.limits import check_cost, check_replacements, stop_beyond
from chatter_nb.serve.metrics import Metrics
from chatter_nb.serve.offers import Catalog
from chatter_nb.serve.settings import Settings
from chatter_nb.serve.uploads import NAME
from chatter_nb.serve.worker import Full, Task, Worker

log = logging.getLogger("chatter_nb.serve")

UPLOADS = ".uploads"
PAGE_UPLOADS = "page_uploads"  # Gradio serves nothing out of hidden folders
CHUNK_GRACE_S = 7.0  # for the chunk in hand when the server is asked to end; all in all under 10 s
_TORCH = "chatterbox"  # its speech and its conversion share modules: one thread for both

Heard = Callable[[Signal], object]
Told = Callable[[Progress], object]


@dataclass(frozen=True)
class Listener:
    """Who hears a run while it is made, on the worker's thread: first the plan, then samples."""

    begin: Callable[[SpeechPlan | ConversionPlan], object]
    heard: Heard
    end: Callable[[Speech], object]


class Service:
    """One server's workers and their state. Threads of requests, pages and workers call it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.started_s = time.monotonic()
        self.closing, self._end_s = False, math.inf
        self.loaded: dict[str, str] = {}  # `models.loaded()` waits for a model that is loading
        self.catalog = Catalog(settings)
        self._workers = {name: self._worker(name) for name in self._worker_names()}

    # -- parameters become runs

    def speak(
        self,
        params: SpeakParams,
        *,
        progress: Told | None = None,
        listener: Listener | None = None,
        job: bool = False,
        accepted: bool = False,
        on_begin: Callable[[], object] | None = None,
    ) -> Task[Speech]:
        """Hand a speech run to its worker, which calls `on_begin` before it plans. Raises `Problem`
        429 where the line is full, unless it was `accepted` by an earlier server.
        """
        worker = self.worker(params.engine)
        told = _letting_pass(worker, progress) if job else progress
        limits = self.settings.limits
        longest_s = limits.job_audio_s if job else limits.audio_s
        told = stop_beyond(longest_s, told)
        work = partial(self._spoken, params, told, listener, longest_s, on_begin)
        return self._hand_in(worker, work, job=job, accepted=accepted)

    def convert(
        self,
        params: ConvertParams,
        *,
        progress: Told | None = None,
        listener: Listener | None = None,
    ) -> Task[Speech]:
        """Likewise a conversion."""
        worker = self.worker(params.engine, convert=True)
        work = partial(self._converted, params, progress, listener)
        return self._hand_in(worker, work)

    def _hand_in(
        self, worker: Worker, work: Any, *, job: bool = False, accepted: bool = False
    ) -> Task[Speech]:
        if self.closing:
            raise shutting_down()
        try:
            return worker.submit(work, job=job, accepted=accepted)
        except Full as full:
            wait_s = str(max(1, round(full.wait_s)))
            told = f"{full.waiting} requests are waiting already: try again in {wait_s} s"
            raise Problem(429, told, headers={"Retry-After": wait_s}) from None

    def _spoken(
        self,
        params: SpeakParams,
        progress: Told | None,
        listener: Listener | None,
        longest_s: float,
        on_begin: Callable[[], object] | None,
        cancelled: Callable[[], bool],
    ) -> Speech:
        if on_begin:
            on_begin()
        self.ready(params.engine, params)
        check_replacements(params, longest_s)
        with stopping(cancelled):
            plan = plan_speech(params)
        check_cost(plan.estimate(), longest_s)
        heard = _begun(listener, plan)
        return self._ended(render_speech(plan, progress, cancelled, heard), listener)

    def _converted(
        self,
        params: ConvertParams,
        progress: Told | None,
        listener: Listener | None,
        cancelled: Callable[[], bool],
    ) -> Speech:
        self.ready(params.engine, params, convert=True)
        plan = plan_conversion(params)
        check_cost(plan.estimate(), self.settings.limits.audio_s)
        heard = _begun(listener, plan)
        return self._ended(render_conversion(plan, progress, cancelled, heard), listener)

    def _ended(self, speech: Speech, listener: Listener | None) -> Speech:
        if listener:
            listener.end(speech)
        self.metrics.made(speech.record)
        return speech

    def ready(
        self, name: str, params: SpeakParams | ConvertParams, *, convert: bool = False
    ) -> SpeechEngine:
        """Load an engine if it is not. Raises `Problem` 503 for whatever keeps it from loading."""
        key = f"{CONVERT}{name}" if convert else name
        first = key not in self.loaded
        if first:
            self.check_here(params, convert=convert)
        try:
            if first:
                self._look(name, params, convert=convert)
            if convert:
                model = get_or_load_vc_model(name, params.device, params.checkpoint)
            else:
                model = get_or_load_tts_model(
                    name, params.device, params.checkpoint, params.precision
                )
        except ChatterError as error:
            log.error("engine %s cannot be used: %s", name, error)
            told = f"engine '{name}' cannot be used: {without_folders(str(error))}"
            raise not_ready(told) from error
        except Exception as error:  # whatever a broken file or a missing library raises
            log.error("engine %s did not load", name, exc_info=error)
            told = f"engine '{name}' did not load: {type(error).__name__}"
            raise not_ready(told) from error
        if first:
            self.loaded[key] = model.device
            self.metrics.loaded(key)
        return model

    def check_here(self, params: SpeakParams | ConvertParams, *, convert: bool = False) -> None:
        """Raises `Problem` 503 where a run's model is not on this machine: none is fetched."""
        files = entry(params.engine, convert=convert).files
        if files and not params.checkpoint and cached(files) is None:
            raise not_ready(
                f"engine '{params.engine}': its model is not on this machine; its owner can bring "
                f"it with: chatter-nb fetch {files}"
            )

    def _look(self, name: str, params: SpeakParams | ConvertParams, *, convert: bool) -> None:
        problems = Problems()
        look_ahead(name, params, problems, convert=convert)
        problems.raise_any()

    # -- begin and end

    def preload(self) -> None:
        """Load what `auto` speaks with, on its worker. Raises `Problem` 503 if it cannot."""
        name = self.catalog.choice().name
        params = self.catalog.speech({"text": "ready"}, new_name("tts"))
        self.worker(name).submit(lambda cancelled: self.ready(name, params)).result.result()

    def worker(self, engine: str, *, convert: bool = False) -> Worker:
        return self._workers[_worker_name(engine, convert=convert)]

    def waiting(self) -> dict[str, int]:
        return {name: worker.waiting for name, worker in self._workers.items()}

    def close(self) -> None:
        """Take nothing more; what is in hand stops after its chunk."""
        if not self.closing:
            self._end_s = time.monotonic() + CHUNK_GRACE_S
        self.closing = True
        for worker in self._workers.values():
            worker.close()

    def join(self) -> bool:
        """Wait for the chunks in hand, until `CHUNK_GRACE_S` after `close`; whether all ended.

        Who waits for one that did not end is told then that nothing comes.
        """
        workers = self._workers.values()
        ended = [one.join(max(0.0, self._end_s - time.monotonic())) for one in workers]
        for worker in workers:
            worker.abandon()
        return all(ended)

    def _worker_names(self) -> list[str]:
        pairs = [(name, convert) for convert in (False, True) for name in entries(convert=convert)]
        return list(dict.fromkeys(_worker_name(name, convert=convert) for name, convert in pairs))

    def _worker(self, name: str) -> Worker:
        own = self.settings
        worker = Worker(name, max_queue=own.max_queue, max_jobs=own.max_jobs)
        self.metrics.queue(name, "requests", lambda: worker.waiting)
        self.metrics.queue(name, "jobs", lambda: worker.jobs_waiting)
        return worker


def _begun(listener: Listener | None, plan: SpeechPlan | ConversionPlan) -> Heard | None:
    if listener is None:
        return None
    listener.begin(plan)
    return listener.heard


def _letting_pass(worker: Worker, progress: Told | None) -> Told:
    def told(step: Progress) -> None:
        if progress:
            progress(step)
        worker.let_pass()

    return told


def _worker_name(engine: str, *, convert: bool) -> str:
    return _TORCH if entry(engine, convert=convert).files else engine


def new_name(kind: str) -> str:
    """A run's name that no other has, and nobody guesses."""
    return f"{kind}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(8)}"


def is_name(name: str) -> bool:
    """Whether a run may have been named by `new_name`."""
    kind, _, rest = name.partition("-")
    return kind in ("tts", "vc", "job") and bool(NAME.fullmatch(name)) and len(rest) == 32


def find_run(folder: Path, name: str) -> RunFolder:
    """A run's folder by its name. Raises `Problem` 404."""
    if not is_name(name) or not (folder / name / RECORD).is_file():
        raise Problem(404, f"there is no run {name[:80]!r}")
    return RunFolder(folder / name)
