"""What the suites run on: a checkpoint, upstream's model of it, texts, and counted calls.

Without `--checkpoint` a full-size random checkpoint is made once: it is as fast as a real one, but
it hums.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest import mock

from chatter_nb.base.disk import free_disk_bytes, part_path
from chatter_nb.base.errors import EngineError, OutputError
from chatter_nb.base.hashing import chunk_seed
from chatter_nb.base.project import resolve_path
from chatter_nb.bench.params import DEMO_TEXT, Options, Progress
from chatter_nb.bench.rounds import timed
from chatter_nb.engines.checkpoints import locate
from chatter_nb.engines.models import pick_device
from chatter_nb.text.chunking import clean, split_chunks
from chatter_nb.text.files import read_sources

BENCH_FOLDER = "outputs/.bench"
FULL_BYTES = 3_400_000_000  # of the largest, with some room
_LEAST_TEXT_CHARS, _MOST_TEXT_CHARS = 30, 180
_UPSTREAM = {
    "chatterbox": ("chatterbox.tts", "ChatterboxTTS"),
    "chatterbox-multilingual": ("chatterbox.mtl_tts", "ChatterboxMultilingualTTS"),
    "chatterbox-turbo": ("chatterbox.tts_turbo", "ChatterboxTurboTTS"),
}
# Where model work is done, on either side: module, class, method, the name it is counted under.
_MODEL_CALLS = (
    ("chatterbox.models.t3.t3", "T3", "inference", "t3"),
    ("chatterbox.models.t3.t3", "T3", "inference_turbo", "t3"),
    ("chatterbox.models.s3gen.s3gen", "S3Token2Wav", "inference", "s3gen"),
    ("perth", "PerthImplicitWatermarker", "apply_watermark", "watermark"),
)


@dataclass(frozen=True)
class Place:
    """A checkpoint, its engine, and the device that the model runs on."""

    engine: str
    device: str
    folder: Path

    @property
    def values(self) -> dict[str, Any]:
        """The place as parameters of a run."""
        return {"engine": self.engine, "device": self.device, "checkpoint": str(self.folder)}

    def upstream_model(self) -> Any:
        return upstream_model(self.engine, self.folder, self.device)


def place_for(options: Options, on_progress: Progress) -> Place:
    """The checkpoint of `checkpoint_for`, on the device that the options choose."""
    folder = checkpoint_for(options, on_progress)
    return Place(options.engine, pick_device(options.device, engine=options.engine).name, folder)


def seed_of(text: str) -> int:
    """The seed that a run with seed 0 gives a text's one chunk."""
    return chunk_seed(seed=0, text=text, occurrence=0, take=0)


def checkpoint_for(options: Options, on_progress: Progress) -> Path:
    """The folder of the checkpoint that the options name, or of a random one, made if missing.

    Raises `OutputError` where the disk has no room for a random checkpoint.
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
    on_progress(f"making a random checkpoint in {folder}, once: 3.2 GB, about half a minute")
    _make_random(folder, options.engine)
    return folder


def _make_random(folder: Path, engine: str) -> None:
    """Make a random checkpoint; it appears under its name when it is whole."""
    from chatter_nb.engines.chatterbox.random_checkpoints import make_checkpoint

    part = part_path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        make_checkpoint(part, engine, "full")
        os.replace(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def upstream_class(engine: str) -> Any:
    module, name = _UPSTREAM[engine]
    return getattr(import_module(module), name)


def upstream_model(engine: str, folder: Path, device: str) -> Any:
    """Upstream's own model, loaded by its `from_local`; offline, as the folder holds all files."""
    from huggingface_hub import constants

    from chatter_nb.engines.chatterbox.architecture import read_sidecar, reduced
    from chatter_nb.engines.chatterbox.device import quiet_upstream

    offline = mock.patch.object(constants, "HF_HUB_OFFLINE", True)
    with offline, quiet_upstream(), reduced(read_sidecar(folder)):
        return upstream_class(engine).from_local(folder, device)


def shorten_prompt(model: Any, prompt_s: float) -> None:
    """Cut the voice of an upstream model, as our parameter `prompt_s` does."""
    from chatter_nb.engines.chatterbox.conditionals import Conditionals

    model.conds.gen = Conditionals(None, model.conds.gen).for_s3gen(model.device, prompt_s)


def generate(model: Any, text: str, seed: int) -> Any:
    """Call upstream's `generate` after `torch.manual_seed`; returns samples, shape (n,).

    Afterwards the global generators are in the state of before.
    """
    from chatter_nb.engines.chatterbox.device import quiet_upstream, seeded

    language = {"language_id": "en"} if "MTL" in type(model.tokenizer).__name__ else {}
    with seeded(seed), quiet_upstream():
        return model.generate(text, **language).squeeze(0).numpy()


@dataclass
class Calls:
    """The number of calls into the model, and the seconds spent in them, by kind."""

    count: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    returned: dict[str, Any] = field(default_factory=dict)  # by the last call of each kind

    @property
    def total_s(self) -> float:
        return sum(self.seconds.values())

    def timing(self, kind: str, method: Callable[..., Any]) -> Callable[..., Any]:
        """`method`, with each of its calls counted and timed under `kind`."""

        def counted(*args: Any, **kwargs: Any) -> Any:
            spent_s, self.returned[kind] = timed(lambda: method(*args, **kwargs))
            self.count[kind] = self.count.get(kind, 0) + 1
            self.seconds[kind] = self.seconds.get(kind, 0.0) + spent_s
            return self.returned[kind]

        return counted


@contextmanager
def counted_calls() -> Iterator[Calls]:
    """Count and time calls of upstream's `t3.inference`, `s3gen.inference` and PerTh in the block.

    The methods must not call each other: their time would count twice.
    """
    calls = Calls()
    with ExitStack() as patches:
        for module, name, method, kind in _MODEL_CALLS:
            owner = getattr(import_module(module), name)
            counting = calls.timing(kind, getattr(owner, method))
            patches.enter_context(mock.patch.object(owner, method, counting))
        yield calls


def sample_texts() -> list[str]:
    """Pieces of the demo text, of 30 to 180 characters, each of which is one chunk."""
    (source,) = read_sources(resolve_path(DEMO_TEXT))
    chunks = split_chunks(clean(source.text), chunk_chars=_MOST_TEXT_CHARS)
    texts = [chunk.spoken for chunk in chunks if len(chunk.spoken) >= _LEAST_TEXT_CHARS]
    return [" ".join(text.split()) for text in texts]


class _Enough(Exception):
    """Stops `generate` when the tokens are known."""


def speech_tokens(model: Any, text: str, seed: int, limit: int) -> Any:
    """The tokens that upstream's `generate` draws for a text, shape (n,); at most `limit`."""
    t3 = type(model.t3)
    name, limit_name = "inference", "max_new_tokens"
    if model.t3.is_gpt:
        name, limit_name = "inference_turbo", "max_gen_len"
    decode, drawn = getattr(t3, name), []

    def limited(*args: Any, **kwargs: Any) -> Any:
        drawn.append(decode(*args, **(kwargs | {limit_name: limit}))[0])
        raise _Enough

    with mock.patch.object(t3, name, limited), suppress(_Enough):
        generate(model, text, seed)
    return drawn[0]


def token_count(model: Any, text: str, seed: int, limit: int) -> int | None:
    """How many speech tokens upstream makes of a text; None if it does not end within `limit`."""
    count = len(speech_tokens(model, text, seed, limit))
    return count if count < limit else None


def texts_that_end(model: Any, count: int, tokens: int, on_progress: Progress) -> list[str]:
    """`count` texts whose chunks end by themselves, after half to one and a half of `tokens`.

    A chunk that does not end is split and made again, which would be other work. The search also
    warms T3 and the machine up. Raises `EngineError` if the demo text has too few such pieces.
    """
    chosen: list[str] = []
    for text in sample_texts():
        on_progress(f"looking for texts of about {tokens} tokens: {len(chosen)} of {count}")
        length = token_count(model, text, seed_of(text), limit=tokens * 3 // 2)
        if length is not None and length >= tokens // 2:
            chosen.append(text)
        if len(chosen) == count:
            return chosen
    raise EngineError(
        f"of {DEMO_TEXT} only {len(chosen)} pieces end at about {tokens} tokens, and {count} are "
        "asked for: choose other --tokens or fewer --chunks"
    )


def spread(count: int, tokens: int) -> Sequence[int]:
    """`count` token limits of mixed size: evenly from 0.5 to 1.5 times `tokens`, in mixed order.

    Neighbours in size do not follow each other. A single limit is `tokens` itself.
    """
    if count == 1:
        return [tokens]
    even = [round(tokens * (0.5 + index / (count - 1))) for index in range(count)]
    return even[::2] + even[1::2]
