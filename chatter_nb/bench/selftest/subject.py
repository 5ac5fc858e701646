"""What the self-test examines: an engine on a device, and what several of its checks share."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chatter_nb.audio.reading import Signal
from chatter_nb.base.errors import UnavailableError
from chatter_nb.bench.params import ENGINES, SENTENCES, Options
from chatter_nb.bench.selftest.result import NotRun
from chatter_nb.bench.suites.workload import Place
from chatter_nb.engines.checkpoints import cached, is_random, locate
from chatter_nb.engines.models import Settled, pick_engine, relinquish, return_memory, settle
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.speak import Speech, plan_speech, render_speech

if TYPE_CHECKING:
    from chatter_nb.bench.suites.t3 import Sides

NEEDS_CHATTERBOX = "--engine chatterbox, where its model is"
# Seconds of work a second of speech, for forecasts, until a run was measured; upstream's included.
_TYPICAL_RTF = {"cpu": 9.0, "mps": 3.0, "cuda": 1.0}
_TINY_RTF, _EMBEDDED_RTF = 0.5, 0.05


def choose(engine: str = "auto", device: str = "auto", checkpoint: str = "") -> Settled:
    """The engine to examine; "auto" with a checkpoint is English Chatterbox. Downloads nothing.

    Raises `UnavailableError`, with the cure, if the engine or its model is not here.
    """
    if checkpoint and engine == "auto":
        engine = ENGINES[0]
    choice = pick_engine(engine, may_fetch=False)
    choice.entry.engine_class()
    model = choice.entry.files
    if model and not checkpoint and cached(model) is None:
        raise UnavailableError(
            f"the model of {engine} is not on this machine: chatter-nb fetch {model}, or give "
            "--checkpoint FOLDER"
        )
    return settle(choice, device, checkpoint)


def sentences(count: int) -> list[str]:
    """The first sentences of the benchmark's, of 3 to 5 s each."""
    return SENTENCES.read_text(encoding="utf-8").splitlines()[:count]


@dataclass(frozen=True)
class Spoken:
    """A run without loading: its seconds, and what a listener heard, block by block, and when."""

    speech: Speech
    whole_s: float
    blocks: list[Signal]
    heard_s: list[float]

    @property
    def rtf(self) -> float:
        return self.whole_s / self.speech.audio_s


class Subject:
    """An engine on its device. `rtf` is its pace as far as it is known; runs go below `outputs`."""

    def __init__(self, settled: Settled, outputs: Path) -> None:
        self.settled = settled
        self.entry, self.device = settled.engine.entry, settled.device.name
        self.folder: Path | None = None
        if model := self.entry.files:
            self.folder = locate(model, settled.checkpoint)
        self._folders = (outputs / str(number) for number in itertools.count())
        self._sides: Sides | None = None
        self.rtf = self._typical_rtf()

    @property
    def weights(self) -> str:
        """ "embedded", "random" (for tests and benchmarks) or "real"."""
        if self.folder is None:
            return "embedded"
        return "random" if is_random(self.folder) else "real"

    @property
    def values(self) -> dict[str, Any]:
        """The engine as parameters of a run."""
        values = {"engine": self.entry.name, "device": self.device}
        return values | {"checkpoint": self.settled.checkpoint_folder}

    def needs_cuda(self, what: str) -> None:
        """Raise `NotRun` unless the device is CUDA."""
        if not self.device.startswith("cuda"):
            raise NotRun(f"{what} on CUDA only, and this is {self.device}", "a CUDA device")

    def new_folder(self) -> Path:
        """A folder for a run, where nothing is finished."""
        return next(self._folders)

    def sides(self, *, renewed: bool = False) -> Sides:
        """Upstream's model and our decoder, float32; `renewed`: the decoder holds no rows yet."""
        if self.folder is None:
            raise NotRun(f"{self.entry.name} draws no tokens", NEEDS_CHATTERBOX)
        from chatter_nb.bench.suites.t3 import Sides

        if self._sides is None or renewed:
            place = Place(self.entry.name, self.device, self.folder)
            model = self._sides.model if self._sides else place.upstream_model()
            self.release()
            self._sides = Sides(model, Options(engine=self.entry.name))
            self._sides.use("")
        return self._sides

    def release(self) -> None:
        """Let go of upstream's model and of our decoder."""
        self._sides = None
        return_memory()

    def speak(self, texts: Sequence[str], *, in_parts: bool = False, rows: int = 0) -> Spoken:
        """A run with a chunk for each text; `in_parts`: somebody listens, from within a chunk on.

        Ctrl-C stops it at once, as nothing is kept.
        """
        relinquish()
        values = self.values | {"text": "\n\n".join(texts), "rows": rows, "seed": 1}
        values |= {"outputs_dir": str(self.new_folder()), "run_name": "selftest", "verify": "off"}
        plan = plan_speech(SpeakParams.create(values))
        blocks: list[Signal] = []
        heard_s: list[float] = []
        start_s = time.perf_counter()

        def on_audio(block: Signal) -> None:
            blocks.append(block)
            heard_s.append(time.perf_counter() - start_s)

        listener = on_audio if in_parts else None
        speech = render_speech(plan, None, lambda: False, listener, parts=in_parts)
        spoken = Spoken(speech, time.perf_counter() - start_s, blocks, heard_s)
        if not in_parts:
            self.rtf = spoken.rtf
        return spoken

    @property
    def chunk(self) -> str:
        """Some 200 characters; where that would take minutes, one sentence."""
        return " ".join(sentences(3 if self._typical_rtf() <= 1 else 1))

    @cached_property
    def listened(self) -> Spoken:
        """A run of one chunk that somebody hears, for the checks that need any speech."""
        if self.device != "cpu":
            self.speak(
                [self.chunk], in_parts=True
            )  # kernels are chosen, and graphs captured, at a first use
        return self.speak([self.chunk], in_parts=True)

    def _typical_rtf(self) -> float:
        if self.folder is None:
            return _EMBEDDED_RTF
        from chatter_nb.engines.chatterbox.architecture import read_sidecar

        sidecar = read_sidecar(self.folder)
        is_tiny = sidecar is not None and sidecar.size == "tiny"
        return _TINY_RTF if is_tiny else _TYPICAL_RTF[self.device.partition(":")[0]]
