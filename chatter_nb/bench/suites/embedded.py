"""The embedded voice: bare hibari calls, against a whole run to a file."""

from __future__ import annotations

import math
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from chatter_nb.audio.reading import Signal, read_audio
from chatter_nb.base.errors import Cancelled, InputError
from chatter_nb.base.formats import OUTPUT_FORMATS, OutputName
from chatter_nb.base.project import resolve_path
from chatter_nb.bench.harness import Result, alternate, compared
from chatter_nb.bench.params import DEMO_TEXT, EMBEDDED, Options, Progress
from chatter_nb.bench.workers import Work
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.plan import Plan
from chatter_nb.runs.speak import generate_tts, render_speech
from chatter_nb.runs.speak_plan import SpeechPlan, plan_speech
from chatter_nb.text.chunking import clean, split_chunks
from chatter_nb.text.files import read_sources

FORMAT_REPEATS = 3  # of each of six comparisons
CHUNK_CHARS = SpeakParams.model_fields["chunk_chars"].default


def run(options: Options, on_progress: Progress) -> list[Result]:
    """The demo text, or its first chunks: bare hibari calls, against a whole run to one wav."""
    from hibari import Hibari

    with tempfile.TemporaryDirectory() as folder:
        plan, speaker = demo_plan(options.chunks, folder), Hibari()

        def bare() -> list[Signal]:
            return [speaker(planned.chunk.spoken, seed=planned.seed) for planned in plan.chunks]

        def ours() -> None:
            generate_tts(plan.params)

        result = against_bare("speak to one wav", bare, ours, plan, options, on_progress)
        others = [name for name in OUTPUT_FORMATS if name != "wav"]
        costs = [
            _format_cost(plan, name, made, on_progress) for made in (False, True) for name in others
        ]
        return [result, *costs]


def work(options: Options, on_progress: Progress) -> Work:
    """The demo text, or its first chunks, as whole runs to one wav."""
    return Work("speak", {"text": demo_text(options.chunks), "engine": EMBEDDED})


def against_bare(
    name: str,
    bare: Callable[[], list[Signal]],
    ours: Callable[[], object],
    plan: Plan,
    options: Options,
    on_progress: Progress,
) -> Result:
    """Compare bare calls, which return the samples of each piece, with a run, which stores them."""
    calls = {"baseline": bare, "ours": ours}
    turns = alternate(calls, options.repeats, on_progress, before=lambda side: forget(plan))
    same = same_samples(turns.returned["baseline"], stored(plan))
    return compared(name, turns.seconds, same)


def first_chunk_s(text: str, folder: Path) -> float:
    """The seconds of a direct call until its first chunk is made, where it is stopped.

    What `folder` holds is deleted before.
    """
    shutil.rmtree(folder, ignore_errors=True)
    params = SpeakParams(text=text, engine="hibari", outputs_dir=str(folder))
    made_s: list[float] = []
    start_s = time.perf_counter()
    with suppress(Cancelled):
        generate_tts(params, lambda step: made_s.append(time.perf_counter()), lambda: bool(made_s))
    return made_s[0] - start_s


def forget(plan: Plan) -> None:
    """Discard all finished pieces of the store: the next run makes them again."""
    for key, _, _ in list(plan.store.entries()):
        plan.store.discard(key)


def stored(plan: Plan) -> list[Signal]:
    """The samples of each piece of a finished run, as the engine returned them."""
    entries = [plan.store.get(planned.key) for planned in plan.pieces]
    return [audio for audio, _ in filter(None, entries)]


def same_samples(before: list[Signal], after: list[Signal]) -> bool:
    """Whether two sides made the same samples of every piece."""
    return len(before) == len(after) and all(map(np.array_equal, before, after))


def _format_cost(
    plan: SpeechPlan, format_name: OutputName, made: bool, on_progress: Progress
) -> Result:
    """A run to wav, against one to wav and a second format; the chunks are finished or `made`.

    With finished chunks it shows the encoder's time, with made ones what is left of it beside the
    voice.
    """
    both = plan_speech(plan.params.model_copy(update={"formats": ("wav", format_name)}))
    calls = {"baseline": lambda: render_speech(plan), "ours": lambda: render_speech(both)}
    before = forget if made else lambda plan: None
    turns = alternate(calls, FORMAT_REPEATS, on_progress, before=lambda side: before(plan))
    wav, _ = read_audio(plan.folder.path / "speech.wav")
    second, _ = read_audio(plan.folder.path / f"speech.{format_name}")
    identical = np.array_equal(wav, second) if OUTPUT_FORMATS[format_name].lossless else None
    name = f"{'speak' if made else 'finished chunks'} to wav, and {format_name} as well"
    return compared(name, turns.seconds, identical)


def demo_text(chunks: int = 0) -> str:
    """The demo text; with `chunks`, its first `chunks` chunks, each a paragraph of its own.

    Raises `InputError` for more chunks than the text has.
    """
    (source,) = read_sources(resolve_path(DEMO_TEXT))
    if not chunks:
        return source.text
    pieces = split_chunks(clean(source.text), chunk_chars=CHUNK_CHARS)
    if chunks > len(pieces):
        raise InputError(f"--chunks must be at most {len(pieces)} for {DEMO_TEXT}, not {chunks}")
    return "\n\n".join(chunk.spoken for chunk in pieces[:chunks])


def text_of(chars: int) -> str:
    """The demo text from its beginning, repeated, up to `chars` characters.

    The last word is whole: the text may be a little shorter.
    """
    whole = demo_text().strip() + "\n\n"
    text = whole * math.ceil((chars + 1) / len(whole))
    return text[: chars + 1].rsplit(maxsplit=1)[0]


def demo_plan(chunks: int, folder: str) -> SpeechPlan:
    """A run of `demo_text(chunks)` by the embedded voice, below `folder`."""
    values = {"text": demo_text(chunks), "engine": EMBEDDED, "run_name": "bench"}
    return plan_speech(SpeakParams.create(values | {"outputs_dir": folder}))
