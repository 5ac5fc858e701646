"""The HTTP service: requests to a real server, against the same work called directly.

The voice is the embedded one, whose work is short: what a server adds is the largest share there.
Every round has its own seeds, or an empty store: no chunk is finished from the round before.
"""

from __future__ import annotations

import itertools
import json
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

from chatter_nb.base.errors import EngineError
from chatter_nb.bench.harness import Result, alternate, compared, own_clock
from chatter_nb.bench.params import EMBEDDED, Options, Progress
from chatter_nb.bench.servers import free_port, running
from chatter_nb.bench.suites.embedded import demo_text, first_chunk_s
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.speak import generate_tts
from chatter_nb.runs.store import FOLDER

REQUESTS = 50  # a round
REQUEST_CHARS = 300
STREAM_CHARS = 3_000
PROBES = 500
_PROBE_EVERY_S = 0.01
_LOADERS = 2  # clients: while a client reads its answer, the worker speaks for the other
_FIRST_BYTES = 4_800  # 0.1 s of pcm
_LONGEST_S = 120.0


@dataclass
class Server:
    """A running server, and a connection to it."""

    port: int
    outputs: Path
    connection: HTTPConnection = field(init=False)

    def __post_init__(self) -> None:
        self.connection = self.connect()

    def connect(self) -> HTTPConnection:
        return HTTPConnection("127.0.0.1", self.port, timeout=_LONGEST_S)

    def post(
        self, path: str, body: Mapping[str, object], connection: HTTPConnection | None = None
    ) -> HTTPResponse:
        """A response whose body is still to be read. Raises `EngineError` for a status but 200."""
        connection = connection or self.connection
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        if response.status != 200:
            raise EngineError(f"{path}: {response.status}: {response.read().decode()[:300]}")
        return response

    def reconnect(self) -> None:
        """Connect anew, untimed: the server closes a connection that was idle for half a minute."""
        self.connection.close()
        self.connection.connect()

    def forget(self) -> None:
        """Delete the finished chunks, which a request without a seed would use again; reconnect."""
        self.reconnect()
        shutil.rmtree(self.outputs / FOLDER, ignore_errors=True)

    def speak(self, text: str, seed: int, connection: HTTPConnection | None = None) -> bytes:
        """The wav file of a text."""
        return self.post("/api/v1/tts", {"text": text, "seed": seed}, connection).read()


def run(options: Options, on_progress: Progress) -> list[Result]:
    """Whole answers, health while the worker is busy, and the first sound of a stream."""
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder), "--no-page") as server:
        direct = Path(folder) / "direct"
        return [
            _throughput(server, direct, options.repeats, on_progress),
            _health(server, on_progress),
            _first_sound(server, direct, options.repeats, on_progress),
        ]


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[Server]:
    """`chatter-nb serve` on the embedded voice, on a free port, ended with the block."""
    port, outputs = free_port(), folder / "served"
    command = [sys.executable, "-m", "chatter_nb.cli", "serve", "--port", str(port), "--preload"]
    command += ["--engine", EMBEDDED, *options]
    command += ["--outputs", str(outputs), "--voices", str(folder / "voices")]

    def connect() -> None:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()

    with running("the server", command, connect):
        yield Server(port, outputs)


def request_texts(count: int, chars: int) -> list[str]:
    """`count` distinct stretches of the demo text, each of `chars` characters."""
    text = " ".join(demo_text().split())
    text += " " + text[:chars]
    step = (len(text) - chars) // count
    return [text[at : at + chars] for at in range(0, step * count, step)]


def _throughput(server: Server, direct: Path, repeats: int, on_progress: Progress) -> Result:
    """Requests one after the other over a common connection, against calls one after the other."""
    texts = request_texts(REQUESTS, REQUEST_CHARS)
    seeds = {"baseline": itertools.count(), "ours": itertools.count()}

    def calls() -> list[bytes]:
        seed = next(seeds["baseline"])
        values = {"seed": seed, "engine": EMBEDDED, "outputs_dir": str(direct)}
        runs = ({"text": text, "run_name": f"{seed}-{at}"} for at, text in enumerate(texts))
        speeches = [generate_tts(SpeakParams.create(values | run)) for run in runs]
        return [speech.files[0].read_bytes() for speech in speeches]

    def requests() -> list[bytes]:
        seed = next(seeds["ours"])
        return [server.speak(text, seed) for text in texts]

    turns = alternate(
        {"baseline": calls, "ours": requests},
        repeats,
        on_progress,
        before=lambda side: server.reconnect(),
    )
    name = f"{REQUESTS} requests of {REQUEST_CHARS} characters"
    same = turns.returned["ours"] == turns.returned["baseline"]
    result = compared(name, turns.seconds, same)
    result.figures.update(
        call_ms=result.baseline_s / REQUESTS * 1000,
        request_ms=result.ours_s / REQUESTS * 1000,
        throughput=result.ratio,
    )
    return result


def _health(server: Server, on_progress: Progress) -> Result:
    """How long `health` takes, at rest and while the worker is never idle."""
    on_progress(f"{PROBES} times health, at rest")
    rest_s = _health_s(server)
    on_progress(f"{PROBES} times health, while it speaks")
    with _busy(server):
        busy_s = _health_s(server)
    figures = {
        f"{when}_{name}_ms": _percentile(seconds, share) * 1000
        for when, seconds in (("rest", rest_s), ("busy", busy_s))
        for name, share in (("p50", 0.5), ("p99", 0.99))
    }
    return compared(
        "health: at rest, while it speaks", {"baseline": rest_s, "ours": busy_s}, None, **figures
    )


def _health_s(server: Server) -> list[float]:
    """Seconds of `PROBES` requests for `health`."""
    seconds = []
    with closing(server.connect()) as connection:
        for _ in range(PROBES):
            start_s = time.perf_counter()
            connection.request("GET", "/api/v1/health")
            connection.getresponse().read()
            seconds.append(time.perf_counter() - start_s)
            time.sleep(_PROBE_EVERY_S)
    return seconds


@contextmanager
def _busy(server: Server) -> Iterator[None]:
    """Keep the worker speaking in the block: the whole demo text, again and again."""
    text, seeds, stop = demo_text(), itertools.count(1_000), threading.Event()

    def load() -> None:
        connection = server.connect()
        while not stop.is_set():
            server.speak(text, next(seeds), connection)

    loaders = [threading.Thread(target=load) for _ in range(_LOADERS)]
    for loader in loaders:
        loader.start()
    try:
        time.sleep(0.5)
        yield
    finally:
        stop.set()
        for loader in loaders:
            loader.join()


def _percentile(seconds: list[float], share: float) -> float:
    """The least of the values which a `share` of them (0 to 1) does not exceed."""
    return sorted(seconds)[max(0, -int(-share * len(seconds)) - 1)]


def _first_sound(server: Server, direct: Path, repeats: int, on_progress: Progress) -> Result:
    """The time from a request to the first 0.1 s of audio, against a call and its first chunk."""
    # Without its headings: running text begins with a chunk of the usual length.
    text = "\n\n".join(demo_text().split("\n\n")[2:])[:STREAM_CHARS]
    calls = {
        "baseline": lambda: first_chunk_s(text, direct),
        "ours": lambda: _first_bytes_s(server, text),
    }
    turns = alternate(
        calls,
        repeats,
        lambda message: on_progress(f"first sound: {message}"),
        before=lambda side: server.forget(),
        clock=own_clock,
    )
    result = compared(f"first sound of {STREAM_CHARS} characters", turns.seconds, None)
    result.figures["times_direct"] = result.ours_s / result.baseline_s
    return result


def _first_bytes_s(server: Server, text: str) -> float:
    body = {"model": "hibari", "voice": "default", "input": text, "response_format": "pcm"}
    start_s = time.perf_counter()
    response = server.post("/v1/audio/speech", body)
    response.read(_FIRST_BYTES)
    spent_s = time.perf_counter() - start_s
    response.read()
    return spent_s
