"""The HTTP service: requests to a real server, against the same work called directly.

The embedded voice, whose work is short: what a server adds is nowhere else so large a share. Every
round has seeds of its own, or an empty store: nothing is kept from the one before.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

from chatter_nb.base.errors import EngineError, InputError, UnavailableError
from chatter_nb.bench.harness import Options, Progress, Result, alternate, compared
from chatter_nb.bench.suites.embedded import demo_text
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.speak import generate_tts
from chatter_nb.runs.speech import Speech
from chatter_nb.runs.store import FOLDER

REQUESTS = 50  # a round
REQUEST_CHARS = 300
STREAM_CHARS = 3_000
PROBES = 500
_PROBE_EVERY_S = 0.01
_LOADERS = 2  # clients at once: while one answer is on its way, another text is in hand
_FIRST_BYTES = 4_800  # 0.1 s of pcm
_START_S = 60.0
_LONGEST_S = 120.0


@dataclass
class Server:
    """A server in a process of its own."""

    port: int
    outputs: Path
    connection: HTTPConnection = field(init=False)

    def __post_init__(self) -> None:
        self.connection = self.connect()

    def connect(self) -> HTTPConnection:
        return HTTPConnection("127.0.0.1", self.port, timeout=_LONGEST_S)

    def post(
        self, path: str, body: Mapping[str, object], over: HTTPConnection | None = None
    ) -> HTTPResponse:
        """An answer with its body still to be read. Raises `EngineError` for one that is none."""
        over = over or self.connection
        over.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = over.getresponse()
        if answer.status != 200:
            raise EngineError(f"{path}: {answer.status}: {answer.read().decode()[:300]}")
        return answer

    def forget(self) -> None:
        """Lose the finished chunks: a request that names no seed would find its own of before."""
        shutil.rmtree(self.outputs / FOLDER, ignore_errors=True)

    def speak(self, text: str, seed: int, over: HTTPConnection | None = None) -> bytes:
        return self.post("/api/v1/tts", {"text": text, "seed": seed}, over).read()


def run(options: Options, progress: Progress) -> list[Result]:
    """Whole answers, health while the worker is busy, and the first sound of a stream."""
    if options.repeats < 3:
        raise InputError(f"--repeats must be at least 3 for a median, not {options.repeats}")
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as server:
        direct = _Direct(Path(folder) / "direct")
        return [
            _throughput(server, direct, options.repeats, progress),
            _health(server, progress),
            _first_sound(server, direct, options.repeats, progress),
        ]


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """`chatter-nb serve` on the embedded voice, on a free port, ended with the block."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    outputs = folder / "served"
    command = [sys.executable, "-m", "chatter_nb.cli", "serve", "--port", str(port), "--preload"]
    command += ["--engine", "hibari", "--outputs", str(outputs), "--voices", str(folder / "voices")]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            _wait_for(port, process, folder / "log")
            yield Server(port, outputs)
        finally:
            process.terminate()
            process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    end_s = time.monotonic() + _START_S
    while time.monotonic() < end_s and process.poll() is None:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        time.sleep(0.05)
    raise UnavailableError(f"the server did not start: {log.read_text()[-500:]}")


class _Direct:
    """The same work without a server, in this process."""

    def __init__(self, outputs: Path) -> None:
        self._outputs, self._count = outputs, itertools.count()

    def speak(self, text: str, seed: int, told: Callable[[object], object] | None = None) -> Speech:
        values = {"text": text, "seed": seed, "engine": "hibari", "interactive": False}
        places = {"outputs_dir": str(self._outputs), "run_name": f"run-{next(self._count)}"}
        return generate_tts(SpeakParams.create(values | places), told)


def request_texts(count: int, chars: int) -> list[str]:
    """Distinct stretches of the demo text, each of so many characters."""
    text = " ".join(demo_text(0).split())
    text += " " + text[:chars]
    step = (len(text) - chars) // count
    return [text[at : at + chars] for at in range(0, step * count, step)]


def _throughput(server: Server, direct: _Direct, repeats: int, progress: Progress) -> Result:
    """One request after the other over one connection, against one call after the other."""
    texts = request_texts(REQUESTS, REQUEST_CHARS)
    made: dict[str, list[bytes]] = {}
    rounds = {"baseline": itertools.count(), "ours": itertools.count()}

    def calls() -> None:
        seed = next(rounds["baseline"])
        spoken = [direct.speak(text, seed) for text in texts]
        made["baseline"] = [speech.files[0].read_bytes() for speech in spoken]

    def requests() -> None:
        seed = next(rounds["ours"])
        made["ours"] = [server.speak(text, seed) for text in texts]

    timings = alternate({"baseline": calls, "ours": requests}, repeats, progress)
    seconds = {side: statistics.median(timings[side]) / REQUESTS for side in timings}
    return compared(
        f"{REQUESTS} requests of {REQUEST_CHARS} characters",
        timings,
        made["ours"] == made["baseline"],
        call_ms=seconds["baseline"] * 1000,
        request_ms=seconds["ours"] * 1000,
        throughput=seconds["baseline"] / seconds["ours"],
    )


def _health(server: Server, progress: Progress) -> Result:
    """How long health takes, with nothing to do and while the worker always has something."""
    progress(f"{PROBES} times health, at rest")
    idle = _probed(server)
    progress(f"{PROBES} times health, while it speaks")
    with _busy(server):
        busy = _probed(server)
    figures = {
        f"{when}_{name}_ms": _percentile(seconds, share) * 1000
        for when, seconds in (("rest", idle), ("busy", busy))
        for name, share in (("p50", 0.5), ("p99", 0.99))
    }
    return compared(
        "health: at rest, while it speaks", {"baseline": idle, "ours": busy}, None, **figures
    )


def _probed(server: Server) -> list[float]:
    seconds = []
    connection = server.connect()
    for _ in range(PROBES):
        start_s = time.perf_counter()
        connection.request("GET", "/api/v1/health")
        connection.getresponse().read()
        seconds.append(time.perf_counter() - start_s)
        time.sleep(_PROBE_EVERY_S)
    connection.close()
    return seconds


@contextlib.contextmanager
def _busy(server: Server) -> Iterator[None]:
    """Keep the worker speaking: the whole demo text, again and again."""
    text, seeds, stop = demo_text(0), itertools.count(1_000), threading.Event()

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
    """The least value that `share` of them do not exceed."""
    return sorted(seconds)[max(0, -int(-share * len(seconds)) - 1)]


def _first_sound(server: Server, direct: _Direct, repeats: int, progress: Progress) -> Result:
    """From a request to the first 0.1 s of its audio, against a call and its first chunk."""
    # Without its headings: running text begins with a chunk of the usual length.
    text = "\n\n".join(demo_text(0).split("\n\n")[2:])[:STREAM_CHARS]
    first: dict[str, list[float]] = {"baseline": [], "ours": []}
    for number in range(repeats + 1):
        progress(f"first sound, round {number} of {repeats}")
        server.forget()
        first["baseline"].append(_first_chunk_s(direct, text, seed=number + 1))
        first["ours"].append(_first_bytes_s(server, text))
    warm = {side: seconds[1:] for side, seconds in first.items()}
    medians = {side: statistics.median(seconds) for side, seconds in warm.items()}
    return compared(
        f"first sound of {STREAM_CHARS} characters",
        warm,
        None,
        times_direct=medians["ours"] / medians["baseline"],
    )


def _first_chunk_s(direct: _Direct, text: str, *, seed: int) -> float:
    finished_s: list[float] = []
    start_s = time.perf_counter()
    direct.speak(text, seed, lambda step: finished_s.append(time.perf_counter()))
    return finished_s[0] - start_s


def _first_bytes_s(server: Server, text: str) -> float:
    body = {"model": "hibari", "voice": "default", "input": text, "response_format": "pcm"}
    start_s = time.perf_counter()
    answer = server.post("/v1/audio/speech", body)
    answer.read(_FIRST_BYTES)
    took_s = time.perf_counter() - start_s
    answer.read()
    return took_s
