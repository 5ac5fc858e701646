"""What the self-test examines: an engine on a device, and what several of its checks share."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chatter_nb.audio.reading import Signal
from chatter_nb.base.errors import InputError, UnavailableError
from chatter_nb.bench.params import ENGINES, PRECISIONS, SENTENCES, Options
from chatter_nb.bench.selftest.result import NotRun
from chatter_nb.bench.suites.workload import Place
from chatter_nb.engines.checkpoints import cached, is_random, locate
from chatter_nb.engines.gpu import return_memory
from chatter_nb.engines.models import Settled, pick_engine, relinquish, settle
from chatter_nb.engines.watermark import CURE
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.checking import lacking
from chatter_nb.runs.speak import Speech, plan_speech, render_speech
from chatter_nb.verify.spelling import INSTALL

if TYPE_CHECKING:
    from chatter_nb.bench.suites.t3 import Sides

NEEDS_CHATTERBOX = "--engine chatterbox, where its model is"
# Seconds of work a second of speech, for forecasts, until a run was measured; upstream's included.
_TYPICAL_RTF = {"cpu": 9.0, "mps": 3.0, "cuda": 1.0}
_TINY_RTF, _EMBEDDED_RTF = 0.5, 0.05
_LOADING_S = 10.0
_GPU_QUEUE = 4


def choose(
    engine: str = "auto", device: str = "auto", checkpoint: str = "", precision: str = "auto"
) -> Settled:
    """The engine to examine; "auto" with a checkpoint is English Chatterbox. Downloads nothing.

    Raises `UnavailableError`, with the cure, if the engine or its model is not here.
    """
    if precision not in PRECISIONS:
        raise InputError(f"--precision {precision!r} is none of {', '.join(PRECISIONS)}")
    if checkpoint and engine == "auto":
        engine = ENGINES[0]
    choice = pick_engine(engine, may_fetch=False)
    choice.entry.engine_class()
    model = choice.entry.files
    if model and not checkpoint and cached(model) is None:
        raise UnavailableError(
            f"the model of {choice.name} is not on this machine: chatter-nb fetch {model}, or "
            "give --checkpoint FOLDER"
        )
    if precision != "auto" and "precision" not in choice.entry.accepts:
        raise InputError(f"engine '{choice.name}' takes no --precision")
    return settle(choice, device, checkpoint, precision)


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
    """An engine on its device. `rtf` is its pace as far as it is known; runs go below `outputs`.

    `gpu_peaks_mb` are the most that each run held of a CUDA card's memory.
    """

    def __init__(self, settled: Settled, outputs: Path) -> None:
        self.settled = settled
        self.entry, self.device = settled.engine.entry, settled.device.name
        self.folder: Path | None = None
        if model := self.entry.files:
            self.folder = locate(model, settled.checkpoint)
        self._folders = (outputs / str(number) for number in itertools.count())
        self._sides: Sides | None = None
        self.rtf = self._typical_rtf()
        self.gpu_peaks_mb: list[float] = []

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
        if "precision" in self.entry.accepts:
            values["precision"] = self.settled.precision.name
        return values | {"checkpoint": self.settled.checkpoint_folder}

    def check_needs(self, needs: Sequence[str]) -> None:
        """Raise `NotRun` for the first of `needs` that this engine or machine does not have."""
        name, missing = self.entry.name, lacking()
        lacks = {
            "tokens": (self.folder is None, f"{name} draws no tokens", NEEDS_CHATTERBOX),
            "cuda": (self.device[:4] != "cuda", f"for CUDA, not for {self.device}", "a CUDA card"),
            "rows": ("rows" not in self.entry.accepts, f"{name} speaks a chunk at a time", ""),
            "words": (self.weights == "random", "random weights do not speak", "real weights"),
            "recogniser": (bool(missing), missing, INSTALL),
            "watermark": (find_spec("perth") is None, "PerTh is not installed", CURE),
        }
        for is_lacking, why, cure in map(lacks.__getitem__, needs):
            if is_lacking:
                raise NotRun(why, cure)

    @property
    def queue(self) -> int:
        """How many chunks a row is given where the pace counts.

        More than one on a GPU, which also chooses kernels and captures graphs at a first use: what
        counts there is run once before.
        """
        return 1 if self.device == "cpu" else _GPU_QUEUE

    def forecast_s(self, speech_s: float) -> float:
        """Roughly how long it takes to load, and to make so much speech, as often as need be."""
        times = self.queue + 1 if self.queue > 1 else 1
        return (_LOADING_S if self.folder else 1.0) + speech_s * self.rtf * times

    def new_folder(self) -> Path:
        """A folder for a run, where nothing is finished."""
        return next(self._folders)

    def sides(self, *, renewed: bool = False) -> Sides:
        """Upstream's model and our decoder, float32; `renewed`: the decoder holds no rows yet."""
        from chatter_nb.bench.suites.t3 import Sides

        assert self.folder is not None
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
        if speech.record.peak_gpu_mb is not None:
            self.gpu_peaks_mb.append(speech.record.peak_gpu_mb)
        return spoken

    @property
    def chunk(self) -> str:
        """Some 200 characters; where that would take minutes, one sentence."""
        return " ".join(sentences(3 if self._typical_rtf() <= 1 else 1))

    @cached_property
    def listened(self) -> Spoken:
        """A run of one chunk that somebody hears, for the checks that need any speech."""
        if self.queue > 1:
            self.speak([self.chunk], in_parts=True)
        return self.speak([self.chunk], in_parts=True)

    def _typical_rtf(self) -> float:
        if self.folder is None:
            return _EMBEDDED_RTF
        from chatter_nb.engines.chatterbox.architecture import read_sidecar

        sidecar = read_sidecar(self.folder)
        is_tiny = sidecar is not None and sidecar.size == "tiny"
        return _TINY_RTF if is_tiny else _TYPICAL_RTF[self.device.partition(":")[0]]
