"""Checks of T3 in float32: are its tokens upstream's, with graphs, and when memory is short?

Chunks differ in length and seed. Needs Chatterbox.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from chatter_nb.bench.rounds import timed
from chatter_nb.bench.selftest.result import TELL, NotRun, Result, judged
from chatter_nb.bench.selftest.subject import Subject, sentences
from chatter_nb.bench.suites.workload import speech_tokens, spread
from chatter_nb.engines.gpu import return_memory

if TYPE_CHECKING:
    from torch import Tensor

    from chatter_nb.bench.suites.t3 import Sides
    from chatter_nb.engines.chatterbox.tokens import Prompt

CHUNKS, TOKENS = 3, 24
MANY_ROWS = 16
_MEMORY_SHARE = 3  # a third of what the rows need: the half does not fit, a quarter does
_CURE = f"{TELL}: the fast path must not be used here; engine_path: upstream works"
Tokens = Mapping[int, "Tensor"]


def beside_upstream(subject: Subject) -> Result:
    """The tokens of both paths, beside those that upstream's own `generate` draws."""
    sides = subject.sides()
    prompts = _prompts(sides)
    sides.together([replace(prompt, max_new_tokens=4) for prompt in prompts], CHUNKS)  # warms up
    upstream_s, upstream = timed(lambda: _generated(sides, prompts))
    fast_s, fast = timed(lambda: sides.together(prompts, CHUNKS))
    plain = sides.one_by_one(prompts)
    count = sum(map(len, upstream.values()))
    return _compared(
        f"{count} tokens of {CHUNKS} chunks on both paths",
        {"fast path": (fast, upstream), "upstream path": (plain, upstream)},
        upstream_tokens_per_s=count / upstream_s,
        fast_tokens_per_s=count / fast_s,
    )


def growing_cache(subject: Subject) -> Result:
    """Chunks that outgrow the cache while they are decoded, and a chunk after that."""
    sides = subject.sides()
    room, prefix = sides.decoder.pace.room, sides.voice_positions()
    short = _prompts(sides)
    long = [_filled(prompt, room, prefix) for prompt in short]
    pairs = {
        name: (sides.together(chunks, CHUNKS), sides.one_by_one(chunks))
        for name, chunks in {"while it grows": long, "after that": short[:1]}.items()
    }
    upstream = pairs["while it grows"][1]
    grown = sum(len(drawn) > _short_of_room(at) for at, drawn in upstream.items())
    if not grown:
        raise NotRun("every chunk ended before the cache was full", "another checkpoint")
    return _compared(f"{grown} chunks past a multiple of {room} positions", pairs)


def graphs(subject: Subject) -> Result:
    """The same chunks with captured graphs and without."""
    from chatter_nb.engines.chatterbox.graphs import Direct

    notes: list[str] = []
    prompts = _prompts(subject.sides())

    def decode() -> Tokens:
        return subject.sides().together(prompts, CHUNKS, on_note=notes.append)

    with_s, captured = timed(decode)
    pace = replace(subject.sides().decoder.pace, runs=Direct)
    subject.sides(renewed=True).decoder.pace = pace
    without_s, direct = timed(decode)
    subject.sides(renewed=True)
    if notes:
        return judged(False, notes[0], f"{TELL}; it works without, slower")
    pairs = {"without": (captured, direct)}
    what = f"{CHUNKS} chunks with graphs and without"
    return _compared(what, pairs, with_graphs_s=with_s, without_s=without_s)


def out_of_memory(subject: Subject) -> Result:
    """Many rows with a third of the memory that they need: fewer rows, the same tokens."""
    notes: list[str] = []
    prompts = _prompts(subject.sides(), MANY_ROWS)

    def decode() -> Tokens:
        return subject.sides().together(prompts, MANY_ROWS, on_note=notes.append)

    subject.sides(renewed=True)
    needed_bytes, roomy = memory_of(subject.device, decode)
    subject.sides(renewed=True)
    with memory_cap(subject.device, needed_bytes // _MEMORY_SHARE):
        capped = decode()
    if not notes:
        raise NotRun("a third of the memory was enough", "a checkpoint of full size")
    pairs = {"with room": (capped, roomy)}
    return _compared(notes[-1], pairs, needed_mb=needed_bytes / 1e6, times_halved=len(notes))


@contextmanager
def memory_cap(device: str, more_bytes: int) -> Iterator[None]:
    """Inside, this process may take `more_bytes` of CUDA memory beyond what it has."""
    import torch

    return_memory()
    number = torch.device(device).index or 0  # torch takes no "cuda" here
    allowed_bytes = torch.cuda.memory_reserved(number) + more_bytes
    share = min(1.0, allowed_bytes / torch.cuda.mem_get_info(number)[1])
    torch.cuda.set_per_process_memory_fraction(share, number)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, number)


def memory_of(device: str, call: Callable[[], Tokens]) -> tuple[int, Tokens]:
    """The most bytes that a call has held beyond what there was, and what it returned."""
    import torch

    torch.cuda.reset_peak_memory_stats(device)
    before_bytes = torch.cuda.memory_allocated(device)
    returned = call()
    return torch.cuda.max_memory_allocated(device) - before_bytes, returned


def _prompts(sides: Sides, count: int = CHUNKS) -> list[Prompt]:
    """Chunks of different texts, seeds and limits around `TOKENS`."""
    from chatter_nb.bench.suites.t3 import text_tokens
    from chatter_nb.engines.chatterbox.tokens import Prompt

    device, limits = sides.model.device, spread(count, TOKENS)
    tokens = [text_tokens(sides.model, text).to(device) for text in sentences(count)]
    return [Prompt(at, tokens[at], seed=at, max_new_tokens=limits[at]) for at in range(count)]


def _filled(prompt: Prompt, room: int, prefix: int) -> Prompt:
    """The chunk with its text repeated until a few more tokens need a larger cache."""
    count = len(prompt.text_tokens[0])
    wanted = (room - _short_of_room(prompt.index) - prefix) % room
    wanted += room if wanted < count else 0
    repeated = prompt.text_tokens.repeat(1, -(-wanted // count))[:, :wanted]
    return replace(prompt, text_tokens=repeated)


def _short_of_room(index: int) -> int:
    """How many positions a chunk's text leaves free; start and end of the text take up to four."""
    return 4 + 3 * index


def _generated(sides: Sides, prompts: Sequence[Prompt]) -> Tokens:
    """What upstream's `generate` draws for the texts of `_prompts`, valid tokens only."""
    from chatterbox.models.s3tokenizer import SPEECH_VOCAB_SIZE

    texts, tokens = sentences(len(prompts)), {}
    for prompt in prompts:
        drawn = speech_tokens(sides.model, texts[prompt.index], prompt.seed, prompt.max_new_tokens)
        tokens[prompt.index] = drawn[drawn < SPEECH_VOCAB_SIZE].cpu()
    return tokens


def _compared(what: str, pairs: Mapping[str, tuple[Tokens, Tokens]], **figures: Any) -> Result:
    """Whether ours are theirs in all `pairs`; if not, where the first chunk differs."""
    found = {name: _difference(ours, theirs) for name, (ours, theirs) in pairs.items()}
    differing = "; ".join(f"{name}: {where}" for name, where in found.items() if where)
    why = f"{what}: other tokens, {differing}" if differing else f"{what}: the same tokens"
    return judged(not differing, why, _CURE, **figures)


def _difference(ours: Tokens, theirs: Tokens) -> str:
    """Where the first chunk differs, in words; "" if none does."""
    for index, expected in theirs.items():
        found = ours[index].tolist()
        for at, (one, other) in enumerate(zip(found, expected.tolist(), strict=False)):
            if one != other:
                return f"chunk {index}, token {at} of {len(expected)}: {one}, not {other}"
        if len(found) != len(expected):
            return f"chunk {index} has {len(found)} tokens, not {len(expected)}"
    return ""
