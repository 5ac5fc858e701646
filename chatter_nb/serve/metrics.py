"""The counters of a server, for Prometheus. Each server has a registry of its own."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from chatter_nb.runs.record import RunRecord

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
_RTF = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
_RUN = ("kind", "engine")
_REQUEST = ("method", "route", "status")


class Metrics:
    """Counters, gauges and histograms whose names begin with `chatter_`."""

    def __init__(self) -> None:
        self._registry = to = CollectorRegistry()
        self._requests = Counter("chatter_requests", "Answers sent", _REQUEST, registry=to)
        self._latency = Histogram(
            "chatter_request_seconds", "Whole answers", ("route",), buckets=_SECONDS, registry=to
        )
        self._queue = Gauge(
            "chatter_queue_length", "Tasks that wait", ("worker", "line"), registry=to
        )
        self._loads = Counter("chatter_model_loads", "Models loaded", ("model",), registry=to)
        self._stages = Counter(
            "chatter_stage_seconds", "Work by stage", (*_RUN, "stage"), registry=to
        )
        self._audio = Counter("chatter_audio_seconds", "Audio made", _RUN, registry=to)
        about = "Seconds of work for a second of audio, of runs without kept chunks"
        self._rtf = Histogram("chatter_rtf", about, _RUN, buckets=_RTF, registry=to)

    def count_answer(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answer, and the seconds that it took."""
        known = method if method in _METHODS else "other"  # a client may invent any
        self._requests.labels(known, route, str(status)).inc()
        self._latency.labels(route).observe(seconds)

    def watch_queue(self, worker: str, line: str, length: Callable[[], int]) -> None:
        """Show `length()` as the length of a worker's line."""
        self._queue.labels(worker, line).set_function(length)

    def count_load(self, model: str) -> None:
        """Count a loaded model."""
        self._loads.labels(model).inc()

    def count_run(self, record: RunRecord) -> None:
        """Count a finished run."""
        labels = record.kind, record.engine.name
        for stage, seconds in record.stages_s.items():
            self._stages.labels(*labels, stage).inc(max(0.0, seconds))
        self._audio.labels(*labels).inc(record.audio_s)
        cached = [chunk.cached for chunk in record.chunks]
        cached += [window.cached for window in record.windows]
        if record.rtf and not any(cached):
            self._rtf.labels(*labels).observe(record.rtf)

    def text(self) -> bytes:
        """All values in the text format of Prometheus."""
        return generate_latest(self._registry)
