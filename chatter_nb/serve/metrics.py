"""What a server counts, in Prometheus' terms. Each server has a registry of its own."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

from chatter_nb.runs.record import RunRecord

__all__ = ["CONTENT_TYPE_LATEST", "Metrics"]

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
_RTF = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


class Metrics:
    """Counters and gauges under `chatter_…`."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()

        def made(kind: type, name: str, told: str, labels: tuple[str, ...] = (), **more):  # type: ignore[no-untyped-def]
            return kind(name, told, labels, registry=self._registry, **more)

        self._requests = made(
            Counter, "chatter_requests", "Answers sent", ("method", "route", "status")
        )
        self._latency = made(
            Histogram, "chatter_request_seconds", "Whole answers", ("route",), buckets=_SECONDS
        )
        self._queue = made(Gauge, "chatter_queue_length", "What waits", ("worker", "line"))
        self._loads = made(Counter, "chatter_model_loads", "Models loaded", ("model",))
        self._stages = made(
            Counter, "chatter_stage_seconds", "Work by stage", ("kind", "engine", "stage")
        )
        self._audio = made(Counter, "chatter_audio_seconds", "Audio made", ("kind", "engine"))
        self._rtf = made(
            Histogram,
            "chatter_rtf",
            "Work a second of audio, of runs with nothing kept",
            ("kind", "engine"),
            buckets=_RTF,
        )

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        known = method if method in _METHODS else "other"  # a client may invent any
        self._requests.labels(known, route, str(status)).inc()
        self._latency.labels(route).observe(seconds)

    def queue(self, worker: str, line: str, length: Callable[[], int]) -> None:
        self._queue.labels(worker, line).set_function(length)

    def loaded(self, model: str) -> None:
        self._loads.labels(model).inc()

    def made(self, record: RunRecord) -> None:
        """Count a finished run."""
        whose = record.kind, record.engine.name
        for stage, seconds in record.stages_s.items():
            self._stages.labels(*whose, stage).inc(max(0.0, seconds))
        self._audio.labels(*whose).inc(record.audio_s)
        kept = [one.cached for one in record.chunks] + [one.cached for one in record.windows]
        if record.rtf and not any(kept):
            self._rtf.labels(*whose).observe(record.rtf)

    def text(self) -> bytes:
        """What Prometheus scrapes."""
        return generate_latest(self._registry)
