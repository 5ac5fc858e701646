"""One chunk of upstream's model, called in five ways: what is spent around the model's own work.

Bare `generate`, `process_one_chunk`, a whole run to a wav file, and bare calls handed to asyncio's
threads and to a pool, as the first system of this kind did. The voice is ready on all sides.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from chatter_nb.bench import Options, Progress, Result, alternate, compared
from chatter_nb.chunkstore import chunk_seed
from chatter_nb.models import pick_device
from chatter_nb.params import SpeakParams
from chatter_nb.speak import generate_tts, process_one_chunk
from chatter_nb.suites.workload import (
    Calls,
    checkpoint_for,
    counted_calls,
    generate,
    texts_that_end,
    upstream_model,
)

BARE = "bare generate"
_PLAIN: dict[str, Any] = {"engine_path": "upstream"}


def seed_of(text: str) -> int:
    """The seed that a run with seed 0 gives a text's one chunk."""
    return chunk_seed(seed=0, text=text, occurrence=0, take=0)


def run(options: Options, progress: Progress) -> list[Result]:
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
        "generate_tts to a wav": lambda: _run_to_file(text, place),
        "bare, asyncio.to_thread": lambda: asyncio.run(in_asyncio()),
        "bare, thread pool": in_pool,
    }


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
