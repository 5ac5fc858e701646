"""Turns a request's parameters into a run, and hands the run to the worker of its engine.

Everything here is synchronous: `submit` returns a task, and routes, jobs and the web page wait for
the task's result.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from anyio import CapacityLimiter

from chatter_nb.audio.reading import Signal
from chatter_nb.base.budget import stopping
from chatter_nb.base.errors import ChatterError, InputError
from chatter_nb.base.wording import minutes
from chatter_nb.engines.registry import EngineEntry, entries, entry
from chatter_nb.pages.review import write_checked_review
from chatter_nb.params.runs import AnyParams, SpeakParams
from chatter_nb.runs.convert import ConversionPlan, plan_conversion, render_conversion
from chatter_nb.runs.lifecycle import OnProgress, Progress
from chatter_nb.runs.speak import render_speech
from chatter_nb.runs.speak_plan import SpeechPlan, plan_speech
from chatter_nb.runs.speak_texts import read_texts
from chatter_nb.runs.speech import Speech
from chatter_nb.serve.errors import Problem, about_document, log, shutting_down
from chatter_nb.serve.metrics import Metrics
from chatter_nb.serve.offers import Catalog
from chatter_nb.serve.outputs import new_name
from chatter_nb.serve.settings import Settings
from chatter_nb.serve.worker import T, Task, Work, Worker
from chatter_nb.text.pace import chars_per_s

CHUNK_GRACE_S = 7.0  # for the chunk in hand when the server is asked to end; all in all under 10 s
_TORCH = "chatterbox"  # its speech and its conversion share modules: one thread for both
_SEARCH = 200_000_000  # words to replace, times characters to count them in: about a second
_SLACK = 2  # texts are spoken at different paces

AnyPlan = SpeechPlan | ConversionPlan


@dataclass(frozen=True)
class Listener:
    """Callbacks that follow a run on the worker's thread: its plan, blocks of samples, its end."""

    on_plan: Callable[[AnyPlan], object]
    on_audio: Callable[[Signal], object]
    on_end: Callable[[Speech], object]
    parts: Callable[[], bool | None] = lambda: False  # see `render_speech`


class Service:
    """The workers of a server, its catalog and its metrics. Any thread may call the methods."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.started_s = time.monotonic()
        self.closing, self._end_s = False, math.inf
        self.catalog = Catalog(settings)
        self.readers = CapacityLimiter(2)  # of documents at once: each may take 2 GB
        engines = (*entries("speak").values(), *entries("convert").values())
        names = dict.fromkeys(map(_worker_name, engines))
        self._workers = {
            name: Worker(name, settings.max_queue, settings.max_jobs) for name in names
        }
        for name, worker in self._workers.items():
            self.metrics.watch_queue(name, "requests", worker.waiting)
            self.metrics.watch_queue(name, "jobs", partial(worker.waiting, jobs=True))

    # -- parameters become runs

    def submit(
        self,
        params: AnyParams,
        *,
        on_progress: OnProgress | None = None,
        listener: Listener | None = None,
        job: bool = False,
        accepted: bool = False,
        on_begin: Callable[[], object] = lambda: None,
    ) -> Task[Speech]:
        """Hand a run to its worker, which calls `on_begin` first. Raises what `call` raises."""
        worker = self.worker(_entry_of(params))
        limits = self.settings.limits
        longest_s = limits.job_audio_s if job else limits.audio_s

        def after_chunk(step: Progress) -> None:
            if on_progress:
                on_progress(step)
            if job:
                worker.let_pass()
            _check_progress(step, longest_s)

        def work(cancelled: Callable[[], bool]) -> Speech:
            with stopping(cancelled):
                plan = _plan(params, longest_s)
            if listener:
                listener.on_plan(plan)
            speech = _render(plan, after_chunk, cancelled, listener)
            if listener:
                listener.on_end(speech)
            try:
                write_checked_review(speech)
            except ChatterError as error:  # the run is done without it
                log.error("run %s has no review: %s", params.run_name, error)
            self.metrics.count_run(speech.record)
            return speech

        return self.call(params, work, job=job, accepted=accepted, on_begin=on_begin)

    def call(
        self,
        params: AnyParams,
        work: Work[T],
        *,
        job: bool = False,
        accepted: bool = False,
        on_begin: Callable[[], object] = lambda: None,
    ) -> Task[T]:
        """Hand `work` to the worker of a run's engine, which loads the engine first.

        Loading may end the server, and so may planning: `on_begin` comes before both. Raises
        `Problem` 429 where the line is full, unless an earlier server `accepted` the run.
        """
        if self.closing:
            raise shutting_down()

        def loaded(cancelled: Callable[[], bool]) -> T:
            on_begin()
            self._load_engine(params)
            return work(cancelled)

        return self.worker(_entry_of(params)).submit(loaded, job=job, accepted=accepted)

    def _load_engine(self, params: AnyParams) -> None:
        if model := self.catalog.load_engine(params):
            self.metrics.count_load(model)

    # -- begin and end

    def preload(self) -> None:
        """Load the default engine on its worker. Raises `Problem` 503 if it cannot be loaded."""
        params = self.catalog.speech({"text": "ready"}, new_name("tts"))
        task = self.worker(_entry_of(params)).submit(lambda cancelled: self._load_engine(params))
        task.result.result()

    def worker(self, engine: EngineEntry) -> Worker:
        """The worker that runs this engine."""
        return self._workers[_worker_name(engine)]

    def waiting(self) -> dict[str, int]:
        """How many requests wait, by the worker's name."""
        return {name: worker.waiting() for name, worker in self._workers.items()}

    def close(self) -> None:
        """Refuse new runs, and stop the runs in hand after their chunk."""
        if not self.closing:
            self._end_s = time.monotonic() + CHUNK_GRACE_S
        self.closing = True
        for worker in self._workers.values():
            worker.close()

    def join(self) -> bool:
        """Wait for the chunks in hand, until `CHUNK_GRACE_S` after `close`.

        Returns whether all of them ended in time; the tasks of the others fail with `Cancelled`.
        """
        workers = self._workers.values()
        ended = [worker.join(max(0.0, self._end_s - time.monotonic())) for worker in workers]
        for worker in workers:
            worker.abandon()
        return all(ended)


def _entry_of(params: AnyParams) -> EngineEntry:
    return entry(params.engine, params.kind)


def _worker_name(engine: EngineEntry) -> str:
    return _TORCH if engine.files else engine.name


# -- a run on the worker's thread, and what it costs: a short body may ask for days of audio


def _plan(params: AnyParams, longest_s: float) -> AnyPlan:
    """Raises `Problem` 422 for a run of more than `longest_s` seconds of audio."""
    plan: AnyPlan
    if isinstance(params, SpeakParams):
        try:
            _check_replacements(params, longest_s)
            plan = plan_speech(params)
        except InputError as error:
            raise about_document(error, params.text_file) if params.text_file else error from None
    else:
        plan = plan_conversion(params)
    audio_s = plan.estimate().audio_s
    if audio_s > longest_s:
        raise Problem(
            422,
            f"this would be {minutes(audio_s)} of audio; up to {minutes(longest_s)} are made: "
            "shorten the text or its pauses",
        )
    return plan


def _render(
    plan: AnyPlan, on_progress: OnProgress, cancelled: Callable[[], bool], listener: Listener | None
) -> Speech:
    on_audio = listener.on_audio if listener else None
    if isinstance(plan, SpeechPlan):
        parts = listener.parts() if listener else False
        return render_speech(plan, on_progress, cancelled, on_audio, parts=parts)
    return render_conversion(plan, on_progress, cancelled, on_audio)


def _check_replacements(params: SpeakParams, longest_s: float) -> None:
    """Raises `Problem` 422 where replacing words takes too long, or makes the text too long.

    The check runs before the text is built. It counts a word wherever its letters stand, so the
    count is never too small.
    """
    words = params.replacements
    if not words:
        return
    text = "\n".join(source.text for source in read_texts(params)).casefold()
    if len(words) * len(text) > _SEARCH:
        raise Problem(
            422,
            f"replacements: {len(words):,} words are too many for {len(text):,} characters: "
            f"up to {_SEARCH // len(text):,} are replaced",
        )
    grown = len(text) + sum(text.count(word.casefold()) * len(said) for word, said in words.items())
    if grown > _SLACK * longest_s * chars_per_s(params.language or "en"):
        raise Problem(
            422,
            f"replacements: they could make {grown:,} characters of {len(text):,}: use shorter "
            "replacements, or fewer",
        )


def _check_progress(step: Progress, longest_s: float) -> None:
    """Raises `Problem` 422 once a run has more than `longest_s` of audio before its last chunk.

    Estimates go by characters: digits and prices take eight times as long as they look.
    """
    if step.audio_s > longest_s and step.done < step.total:
        raise Problem(
            422,
            f"stopped after {step.done:,} of {step.total:,} chunks: they are "
            f"{minutes(step.audio_s)} of audio, and up to {minutes(longest_s)} are made; they "
            "are kept: ask for the text in parts",
        )
