"""A model called in several ways: the time that is spent around the model's own work.

The ways: bare calls, `process_one_chunk`, a whole run to a wav file, and bare calls handed to
asyncio's threads and to a pool, as the first system of this kind did; with the embedded voice, over
HTTP as well. The voice is ready on all sides. Chatterbox speaks one chunk, with upstream's model;
the embedded voice speaks some chunks of the demo text.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from typing import Any
from urllib.request import Request, urlopen

from chatter_nb.audio.reading import Signal
from chatter_nb.bench.harness import Result, Turns, alternate, compared
from chatter_nb.bench.params import EMBEDDED, Options, Progress
from chatter_nb.bench.suites.embedded import demo_plan, forget, same_samples, stored
from chatter_nb.bench.suites.workload import (
    Calls,
    counted_calls,
    generate,
    place_for,
    seed_of,
    texts_that_end,
)
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.speak import generate_tts, process_one_chunk
from chatter_nb.runs.speak_plan import SpeechPlan

BARE = "bare model calls"
RUN = "generate_tts to a wav"
HTTP = "HTTP, a whole run"
Way = Callable[[], Any]
Call = Callable[[str, int], Any]  # is called with a text and its seed


def run(options: Options, on_progress: Progress = lambda message: None) -> list[Result]:
    """All ways in turn, each against the bare calls of the model that `options.engine` names."""
    run_ways = _run_embedded if options.engine == EMBEDDED else _run_upstream
    return run_ways(options, on_progress)


def absent_ways(results: Sequence[Result]) -> dict[str, str]:
    """The ways that were not compared, with the reason, for a table or a plot."""
    if any(result.name == HTTP for result in results):
        return {}
    return {HTTP: "embedded voice only" if _has_server() else "needs the extra [serve]"}


def _ways(chunks: list[tuple[str, int]], bare: Call, one_chunk: Call, whole: Way) -> dict[str, Way]:
    """The five ways by name. Each speaks the same chunks, which are pairs of text and seed."""

    async def in_asyncio() -> list[Any]:
        return [await asyncio.to_thread(bare, *chunk) for chunk in chunks]

    def in_own_loop() -> list[Any]:
        """Run the loop in a new thread: a notebook's own thread has a running loop already."""
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(lambda: asyncio.run(in_asyncio())).result()

    def in_pool() -> list[Any]:
        with ThreadPoolExecutor() as pool:
            return list(pool.map(bare, *zip(*chunks, strict=True)))

    return {
        BARE: lambda: [bare(*chunk) for chunk in chunks],
        "process_one_chunk": lambda: [one_chunk(*chunk) for chunk in chunks],
        RUN: whole,
        "bare, asyncio.to_thread": in_own_loop,
        "bare, thread pool": in_pool,
    }


def _run_upstream(options: Options, on_progress: Progress) -> list[Result]:
    place = place_for(options, on_progress)
    model = place.upstream_model()
    (text,) = texts_that_end(model, 1, options.tokens, on_progress)
    same_path = place.values | {"engine_path": "upstream"}

    def one_chunk(text: str, seed: int) -> Any:
        return process_one_chunk(text, seed=seed, **same_path)

    def to_a_wav() -> None:
        with tempfile.TemporaryDirectory() as outputs:
            values = {"text": text, "run_name": "bench", "outputs_dir": outputs, "seed": 0}
            generate_tts(SpeakParams.create(values | same_path | {"verify": "off"}))

    ways = _ways([(text, seed_of(text))], partial(generate, model), one_chunk, to_a_wav)
    for name in (BARE, "process_one_chunk"):  # warm-up; the second way loads our engine
        ways[name]()
    calls: dict[str, list[Calls]] = {name: [] for name in ways}

    def count(name: str) -> None:
        with counted_calls() as counted:
            ways[name]()
        calls[name].append(counted)

    counting = {name: partial(count, name) for name in ways}
    turns = alternate(counting, options.repeats, on_progress, warm_up=False)
    return [_result(name, turns, calls) for name in ways if name != BARE]


def _result(name: str, turns: Turns, calls: dict[str, list[Calls]]) -> Result:
    import torch  # with Chatterbox only

    sides = {"baseline": BARE, "ours": name}
    shares = {side: _outside_share(turns.seconds[way], calls[way]) for side, way in sides.items()}
    counts = {side: calls[way][-1].count for side, way in sides.items()}
    waves = [calls[way][-1].returned["s3gen"][0] for way in sides.values()]
    return compared(
        name,
        turns.pair(BARE, name),
        torch.equal(*waves),
        outside_model_share=shares,
        model_calls=counts,
    )


def _outside_share(walls_s: list[float], calls: list[Calls]) -> float:
    """The share of the time outside T3, S3Gen and PerTh, 0 to 1: the median of the rounds."""
    pairs = zip(walls_s, calls, strict=True)
    return statistics.median((wall_s - counted.total_s) / wall_s for wall_s, counted in pairs)


def _run_embedded(options: Options, on_progress: Progress) -> list[Result]:
    with tempfile.TemporaryDirectory() as outputs, _server(outputs) as url:
        plan = demo_plan(options.chunks, outputs)
        ways = embedded_ways(plan, url)
        turns = alternate(ways, options.repeats, on_progress, before=lambda side: forget(plan))
    bare = turns.returned[BARE]
    figures = {"chunks": len(bare), "audio_s": sum(map(len, bare)) / plan.engine.sample_rate}
    return [
        compared(name, turns.pair(BARE, name), same_samples(bare, turns.returned[name]), **figures)
        for name in ways
        if name != BARE
    ]


def embedded_ways(plan: SpeechPlan, url: str = "") -> dict[str, Way]:
    """The ways on hibari, by name; each returns the samples of every chunk of a plan, in order.

    `url` is the address of a server that writes to the plan's folder; if given, HTTP is a way too.
    """
    from hibari import Hibari

    speaker = Hibari()

    def bare(text: str, seed: int) -> Signal:
        return speaker(text, seed=seed)

    def one_chunk(text: str, seed: int) -> Signal:
        return process_one_chunk(text, engine=EMBEDDED, seed=seed)[0]

    def to_a_wav() -> list[Signal]:
        generate_tts(plan.params)
        return stored(plan)

    def over_http() -> list[Signal]:
        body = json.dumps({"text": plan.params.text, "seed": plan.params.seed}).encode()
        headers = {"Content-Type": "application/json"}
        with urlopen(Request(f"{url}/api/v1/tts", body, headers)) as response:
            response.read()
        return stored(plan)

    chunks = [(planned.chunk.spoken, planned.seed) for planned in plan.chunks]
    return _ways(chunks, bare, one_chunk, to_a_wav) | ({HTTP: over_http} if url else {})


def _has_server() -> bool:
    return all(find_spec(name) for name in ("fastapi", "uvicorn", "av", "prometheus_client"))


@contextmanager
def _server(outputs: str) -> Iterator[str]:
    """Run a server and yield its address; yield "" where no server can run."""
    if not _has_server():
        yield ""
        return
    from chatter_nb.serve.server import running
    from chatter_nb.serve.settings import Settings

    settings = Settings(port=0, engine=EMBEDDED, outputs_dir=outputs, web_page=False)
    with running(settings) as url:
        yield url
