"""What the suites run on: a checkpoint, upstream's model of it, texts, and calls counted.

Without a checkpoint a full-size random one is made once: as fast as a real one, but it hums.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest import mock

from chatter_nb.base.disk import free_disk_bytes, part_path
from chatter_nb.base.errors import EngineError, OutputError
from chatter_nb.base.project import resolve_path
from chatter_nb.bench.harness import Options, Progress
from chatter_nb.bench.rounds import synchronise
from chatter_nb.engines.checkpoints import locate
from chatter_nb.text.chunking import clean, split_chunks
from chatter_nb.text.files import read_sources

BENCH_FOLDER = "outputs/.bench"
FULL_BYTES = 3_400_000_000  # of the largest, with some room
_TEXTS = "params/texts/oz_the_cyclone.txt"
_UPSTREAM = {
    "chatterbox": ("chatterbox.tts", "ChatterboxTTS"),
    "chatterbox-multilingual": ("chatterbox.mtl_tts", "ChatterboxMultilingualTTS"),
    "chatterbox-turbo": ("chatterbox.tts_turbo", "ChatterboxTurboTTS"),
}
# Where model work is done, on either side: class, method, what it is counted as.
_MODEL_CALLS = (
    ("chatterbox.models.t3.t3", "T3", "inference", "t3"),
    ("chatterbox.models.t3.t3", "T3", "inference_turbo", "t3"),
    ("chatterbox.models.s3gen.s3gen", "S3Token2Wav", "inference", "s3gen"),
    ("perth", "PerthImplicitWatermarker", "apply_watermark", "watermark"),
)


def checkpoint_for(options: Options, progress: Progress) -> Path:
    """The folder of the checkpoint to run on: the one asked for, or a random one, made if need be.

    Raises `OutputError` where the disk has no room for it.
    """
    if options.checkpoint:
        return locate(options.engine, options.checkpoint)
    folder = resolve_path(BENCH_FOLDER) / f"{options.engine}-full"
    if folder.is_dir():
        return locate(options.engine, str(folder))
    if free_disk_bytes(folder) < FULL_BYTES:
        raise OutputError(
            f"a full-size random checkpoint takes {FULL_BYTES / 1e9:.1f} GB, and {folder.parent} "
            "has less: make room, or give --checkpoint"
        )
    progress(f"making a random checkpoint in {folder}, once: 3.2 GB, about half a minute")
    return _made(folder, options.engine)


def _made(folder: Path, engine: str) -> Path:
    from chatter_nb.engines.chatterbox.random_checkpoints import make_checkpoint

    part = part_path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        make_checkpoint(part, engine, "full")
        os.replace(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def upstream_class(engine: str) -> Any:
    module, name = _UPSTREAM[engine]
    return getattr(import_module(module), name)


def upstream_model(engine: str, folder: Path, device: str) -> Any:
    """Upstream's own class, by its own `from_local`; offline, as the folder has all it needs."""
    from huggingface_hub import constants

    from chatter_nb.engines.chatterbox.architecture import read_sidecar, reduced
    from chatter_nb.engines.chatterbox.device import quiet_upstream

    offline = mock.patch.object(constants, "HF_HUB_OFFLINE", True)
    with offline, quiet_upstream(), reduced(read_sidecar(folder)):
        return upstream_class(engine).from_local(folder, device)


def shorten_prompt(model: Any, prompt_s: float) -> None:
    """Cut an upstream model's voice, as our parameter `prompt_s` does."""
    from chatter_nb.engines.chatterbox.conditionals import Conditionals

    model.conds.gen = Conditionals(None, model.conds.gen).for_s3gen(model.device, prompt_s)


def generate(model: Any, text: str, seed: int) -> Any:
    """One call of upstream's `generate` after `torch.manual_seed`; samples, shape (n,).

    The global generators are as they were.
    """
    from chatter_nb.engines.chatterbox.device import quiet_upstream, seeded

    language = {"language_id": "en"} if "MTL" in type(model.tokenizer).__name__ else {}
    with seeded(seed), quiet_upstream():
        return model.generate(text, **language).squeeze(0).numpy()


@dataclass
class Calls:
    """Calls into the model, and the seconds spent in them, by kind."""

    count: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    returned: dict[str, Any] = field(default_factory=dict)  # by the last of each kind

    @property
    def total_s(self) -> float:
        return sum(self.seconds.values())

    def timing(self, kind: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            start_s = time.perf_counter()
            found = self.returned[kind] = method(*args, **kwargs)
            synchronise()
            spent_s = time.perf_counter() - start_s
            self.count[kind] = self.count.get(kind, 0) + 1
            self.seconds[kind] = self.seconds.get(kind, 0.0) + spent_s
            return found

        return counted


@contextmanager
def counted_calls() -> Iterator[Calls]:
    """Count and time upstream's `t3.inference`, `s3gen.inference` and PerTh inside, whoever calls.

    One call at a time: a call that makes another would count twice.
    """
    calls = Calls()
    with ExitStack() as patches:
        for module, name, method, kind in _MODEL_CALLS:
            owner = getattr(import_module(module), name)
            counting = calls.timing(kind, getattr(owner, method))
            patches.enter_context(mock.patch.object(owner, method, counting))
        yield calls


def sample_texts(longest: int = 180) -> list[str]:
    """Pieces of the sample text, of 30 to `longest` characters, each a chunk of its own."""
    (source,) = read_sources(resolve_path(_TEXTS))
    found = [chunk.spoken for chunk in split_chunks(clean(source.text), chunk_chars=longest)]
    return [" ".join(text.split()) for text in found if len(text) >= 30]


class _Enough(Exception):
    """Stops `generate` when the tokens are known."""


def token_count(model: Any, text: str, seed: int, limit: int) -> int | None:
    """How many speech tokens upstream makes of a text; None if it does not end within `limit`."""
    t3 = type(model.t3)
    name, longest = (
        ("inference_turbo", "max_gen_len") if model.t3.is_gpt else ("inference", "max_new_tokens")
    )
    decode, counts = getattr(t3, name), []

    def limited(*args: Any, **kwargs: Any) -> Any:
        counts.append(decode(*args, **(kwargs | {longest: limit})).shape[-1])
        raise _Enough

    with mock.patch.object(t3, name, limited), suppress(_Enough):
        generate(model, text, seed)
    return counts[0] if counts[0] < limit else None


def texts_that_end(
    model: Any, count: int, tokens: int, seed_of: Callable[[str], int], progress: Progress
) -> list[str]:
    """Texts whose chunks end by themselves, between half and one and a half of `tokens`.

    A chunk that does not is split and made again, or is not the work that was asked for. It also
    warms both T3 and the machine up. `seed_of` gives the seed that a text will be spoken with.
    """
    chosen: list[str] = []
    for text in sample_texts():
        progress(f"looking for texts of about {tokens} tokens: {len(chosen)} of {count}")
        made = token_count(model, text, seed_of(text), limit=tokens * 3 // 2)
        if made is not None and made >= tokens // 2:
            chosen.append(text)
        if len(chosen) == count:
            return chosen
    raise EngineError(
        f"of {_TEXTS} only {len(chosen)} pieces end at about {tokens} tokens, and {count} are "
        "asked for: choose other --tokens or fewer --chunks"
    )


def spread(count: int, tokens: int) -> Sequence[int]:
    """Token limits, mixed as chunks are: evenly from 0.5 to 1.5 of `tokens`, none beside its next.

    One alone is `tokens` itself.
    """
    if count == 1:
        return [tokens]
    even = [round(tokens * (0.5 + index / (count - 1))) for index in range(count)]
    return even[::2] + even[1::2]
