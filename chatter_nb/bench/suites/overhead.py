"""A model called in several ways: what is spent around its own work.

Bare calls, `process_one_chunk`, a whole run to a wav file, and bare calls handed to asyncio's
threads and to a pool, as the first system of this kind did; with the embedded voice, over HTTP as
well. The voice is ready on all sides. Of Chatterbox it is upstream's model and one chunk; of the
embedded voice, some chunks of the demo.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import numpy as np

from chatter_nb.base.hashing import chunk_seed
from chatter_nb.bench.harness import Options, Progress, Result, alternate, compared
from chatter_nb.bench.suites.embedded import demo_text
from chatter_nb.bench.suites.workload import (
    Calls,
    checkpoint_for,
    counted_calls,
    generate,
    texts_that_end,
    upstream_model,
)
from chatter_nb.engines.models import pick_device
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.speak import generate_tts, process_one_chunk
from chatter_nb.runs.speak_plan import SpeechPlan, plan_speech

BARE = "bare model calls"
RUN = "generate_tts to a wav"
HTTP = "HTTP, a whole run"
Ways = dict[str, Callable[[], list[np.ndarray]]]
_PLAIN: dict[str, Any] = {"engine_path": "upstream"}


def seed_of(text: str) -> int:
    """The seed that a run with seed 0 gives a text's one chunk."""
    return chunk_seed(seed=0, text=text, occurrence=0, take=0)


def run(options: Options, progress: Progress = lambda told: None) -> list[Result]:
    """All ways in turn, each against the bare calls; the engine decides which model it is."""
    if options.engine == "hibari":
        return _run_embedded(options, progress)
    folder = checkpoint_for(options, progress)
    device = pick_device(options.device, engine=options.engine).name
    model = upstream_model(options.engine, folder, device)
    (text,) = texts_that_end(model, 1, options.tokens, seed_of, progress)
    place: dict[str, Any] = {"engine": options.engine, "device": device, "checkpoint": str(folder)}
    calls: dict[str, list[Calls]] = {}
    counting = {name: _counted(name, way, calls) for name, way in ways(model, text, place).items()}
    for name in (BARE, "process_one_chunk"):  # warm-up; the second loads our engine
        counting[name]()
    calls.clear()
    timings = alternate(counting, options.repeats, progress, warm_up=False)
    return [_result(name, timings, calls) for name in timings if name != BARE]


def ways(model: Any, text: str, place: dict[str, Any]) -> dict[str, Callable[[], object]]:
    """The five, by name; each makes the same tokens of the same text."""
    seed = seed_of(text)

    def bare() -> Any:
        return generate(model, text, seed)

    async def in_asyncio() -> Any:
        return await asyncio.to_thread(bare)

    def in_pool() -> Any:
        with ThreadPoolExecutor() as pool:
            return pool.submit(bare).result()

    return {
        BARE: bare,
        "process_one_chunk": lambda: process_one_chunk(text, seed=seed, **place, **_PLAIN),
        RUN: lambda: _run_to_file(text, place),
        "bare, asyncio.to_thread": lambda: _in_own_loop(in_asyncio),
        "bare, thread pool": in_pool,
    }


def _in_own_loop(work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """In a thread of its own: a notebook's has a loop that runs already, and allows no second."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(work())).result()


def absent_ways(results: Sequence[Result]) -> dict[str, str]:
    """Ways that were not compared, and why, for a table or a plot to say so."""
    if any(result.name == HTTP for result in results):
        return {}
    return {HTTP: "embedded voice only" if _has_server() else "needs the extra [serve]"}


def _has_server() -> bool:
    return all(find_spec(name) for name in ("fastapi", "uvicorn", "av", "prometheus_client"))


def embedded_ways(plan: SpeechPlan, url: str = "") -> Ways:
    """The ways on hibari, by name; each returns the samples of every chunk of a plan, in order.

    `url` is a server's that writes where the plan does: then HTTP is one of them.
    """
    from hibari import Hibari

    speaker = Hibari()
    asked = [(planned.chunk.spoken, planned.seed) for planned in plan.chunks]

    def bare(text: str, seed: int) -> np.ndarray:
        return speaker(text, seed=seed)

    async def in_asyncio() -> list[np.ndarray]:
        return [await asyncio.to_thread(bare, *one) for one in asked]

    def in_pool() -> list[np.ndarray]:
        with ThreadPoolExecutor() as pool:
            return list(pool.map(bare, *zip(*asked, strict=True)))

    def to_a_wav() -> list[np.ndarray]:
        generate_tts(plan.params)
        return _stored(plan)

    def over_http() -> list[np.ndarray]:
        _post(f"{url}/api/v1/tts", {"text": plan.params.text, "seed": plan.params.seed})
        return _stored(plan)

    found: Ways = {
        BARE: lambda: [bare(*one) for one in asked],
        "process_one_chunk": lambda: [_one_chunk(*one) for one in asked],
        RUN: to_a_wav,
        "bare, asyncio.to_thread": lambda: _in_own_loop(in_asyncio),
        "bare, thread pool": in_pool,
    }
    return found | ({HTTP: over_http} if url else {})


def _post(url: str, values: dict[str, Any]) -> bytes:
    request = Request(url, json.dumps(values).encode(), {"Content-Type": "application/json"})
    with urlopen(request) as response:
        return bytes(response.read())


@contextmanager
def _server(outputs: str) -> Iterator[str]:
    """Its address; empty where it cannot run."""
    if not _has_server():
        yield ""
        return
    from chatter_nb.serve.server import running
    from chatter_nb.serve.settings import Settings

    settings = Settings(port=0, engine="hibari", outputs_dir=outputs, web_page=False)
    with running(settings) as url:
        yield url


def _one_chunk(text: str, seed: int) -> np.ndarray:
    return process_one_chunk(text, engine="hibari", seed=seed)[0]


def _stored(plan: SpeechPlan) -> list[np.ndarray]:
    """What a run made of each chunk: the store has it as the engine gave it."""
    found = [plan.store.get(planned.key) for planned in plan.chunks]
    return [audio for audio, _ in filter(None, found)]


def _run_embedded(options: Options, progress: Progress) -> list[Result]:
    with tempfile.TemporaryDirectory() as outputs, _server(outputs) as url:
        values = {"text": demo_text(options.chunks), "engine": "hibari", "outputs_dir": outputs}
        plan = plan_speech(SpeakParams.create(values | {"run_name": "bench"}))
        made: dict[str, list[np.ndarray]] = {}

        def keeping(name: str, way: Callable[[], list[np.ndarray]]) -> Callable[[], None]:
            return lambda: made.update({name: way()})

        def forget() -> None:
            for key, _, _ in list(plan.store.entries()):
                plan.store.discard(key)

        calls = {name: keeping(name, way) for name, way in embedded_ways(plan, url).items()}
        timings = alternate(calls, options.repeats, progress, before=forget)
    audio_s = sum(map(len, made[BARE])) / plan.engine.sample_rate
    return [
        compared(
            name,
            {"baseline": timings[BARE], "ours": timings[name]},
            same_samples(made[BARE], made[name]),
            chunks=len(plan.chunks),
            audio_s=audio_s,
        )
        for name in timings
        if name != BARE
    ]


def same_samples(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    """Whether two ways made the same of every chunk."""
    return len(one) == len(other) and all(map(np.array_equal, one, other))


def _run_to_file(text: str, place: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as outputs:
        values = {"text": text, "run_name": "bench", "outputs_dir": str(Path(outputs)), "seed": 0}
        generate_tts(SpeakParams.create(values | place | _PLAIN))


def _counted(
    name: str, way: Callable[[], object], calls: dict[str, list[Calls]]
) -> Callable[[], None]:
    def call() -> None:
        with counted_calls() as counted:
            way()
        calls.setdefault(name, []).append(counted)

    return call


def _result(name: str, timings: dict[str, list[float]], calls: dict[str, list[Calls]]) -> Result:
    sides = {"baseline": BARE, "ours": name}
    import torch  # with Chatterbox only

    shares = {side: outside_share(timings[way], calls[way]) for side, way in sides.items()}
    counts = {side: calls[way][-1].count for side, way in sides.items()}
    waves = [calls[way][-1].returned["s3gen"][0] for way in sides.values()]
    return compared(
        name,
        {side: timings[way] for side, way in sides.items()},
        torch.equal(*waves),
        outside_model_share=shares,
        model_calls=counts,
    )


def outside_share(walls_s: list[float], calls: list[Calls]) -> float:
    """The share of the time that is not spent in T3, S3Gen and PerTh, 0 to 1, the median round."""
    pairs = zip(walls_s, calls, strict=True)
    return statistics.median((wall_s - one.total_s) / wall_s for wall_s, one in pairs)
