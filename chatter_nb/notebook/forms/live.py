"""A run is heard and seen in a form while it is made: its samples go to the browser as it plays."""

from __future__ import annotations

import threading
import time
from collections import deque
from itertools import accumulate
from typing import Any
from uuid import uuid4

import anywidget
import ipywidgets as widgets
import numpy as np
import traitlets

from chatter_nb.audio.reading import Signal
from chatter_nb.pages.players import asset, shown_texts
from chatter_nb.runs.lifecycle import Progress
from chatter_nb.runs.listening import keeps_up
from chatter_nb.runs.speak_plan import SpeechPlan

# Jupyter's server drops messages beyond a megabyte a second; a fast engine makes several.
AHEAD_S = 10.0
MOST_S = 600.0  # that wait here; the finished take has all of it
CLOCK_S = 2.0  # later than the browser by the kernel's clock; while a cell runs, it cannot report
WORTH_S = 2.0  # a run that is shorter is heard when it is there


class LivePlayer(anywidget.AnyWidget):
    """Plays samples as they come. Any thread may call; a browser that shows it plays them."""

    _esm = asset("live.js")
    key = traitlets.Unicode().tag(sync=True)

    def __init__(self) -> None:
        super().__init__(key=uuid4().hex)
        self._lock = threading.Lock()
        self._turn = 0
        self._rate, self._is_on = 1, False
        self._waiting: deque[np.ndarray] = deque()  # 16 bits, up to a second each
        self._ahead = 0  # samples that were sent and are not played yet
        self._sent = 0
        self._began_s = 0.0  # when the first samples were sent
        self.on_msg(self._take)

    @property
    def is_heard(self) -> bool:
        """Whether something of the last sound was sent to the browser."""
        return self._sent > 0

    def begin(self, sample_rate: int) -> None:
        """Begin another sound, in Hz."""
        with self._lock:
            self._turn, self._rate, self._is_on = self._turn + 1, sample_rate, True
            self._waiting.clear()
            self._ahead = self._sent = 0

    def tell(self, kind: str, **about: Any) -> None:
        """Send the browser a message about the sound."""
        self.send({"kind": kind, "turn": self._turn, "rate": self._rate, **about})

    def play(self, block: Signal) -> None:
        """Play samples, mono float32, after those before."""
        pcm = (np.clip(block, -1, 1) * 32767).astype("<i2")
        with self._lock:
            if self._is_on and len(self._waiting) < MOST_S:
                self._waiting.extend(
                    pcm[start : start + self._rate] for start in range(0, len(pcm), self._rate)
                )
            self._send_some()

    def stop(self) -> None:
        """Be silent at once, whatever is still given to be played."""
        with self._lock:
            self._is_on = False
            self._waiting.clear()
            self.send({"kind": "stop"})

    def _take(self, widget: Any, content: dict[str, Any], buffers: list[Any]) -> None:
        with self._lock:
            if content["turn"] == self._turn:
                self._ahead = self._sent - content["played"]
                self._send_some()

    def _send_some(self) -> None:
        now_s = time.monotonic()
        if not self._sent:
            self._began_s = now_s
        by_clock = self._sent - round((now_s - self._began_s - CLOCK_S) * self._rate)
        self._ahead = min(self._ahead, max(0, by_clock))
        while self._waiting and self._ahead < AHEAD_S * self._rate:
            pcm = self._waiting.popleft()
            self._ahead += len(pcm)
            self._sent += len(pcm)
            about = {"kind": "sound", "turn": self._turn, "rate": self._rate}
            self.send(about, [pcm.tobytes()])


class Hearing:
    """The choice whether a run is heard while it is made; `player` shows how it grows."""

    def __init__(self, player: LivePlayer) -> None:
        self.player = player
        self.choice = widgets.Dropdown(
            options=[("if the engine keeps up", None), ("always", True), ("never", False)],
            description="hear it while it is made",
            style={"description_width": "initial"},
            layout=widgets.Layout(width="auto", max_width="26em"),
        )

    def begins(self, plan: SpeechPlan) -> bool:
        """Whether this run is heard; if so, the player is ready for it."""
        heard = self.choice.value
        if heard is None:
            work_s = plan.estimate().wall_s  # 0 where all is kept, None where nobody knows
            heard = keeps_up(plan.engine) and (work_s is None or work_s >= WORTH_S)
        self.player.begin(plan.engine.sample_rate)
        self._texts = [planned.chunk.spoken for planned in plan.chunks]
        self._waiting: dict[str, list[int]] = {}  # places of the chunks that are not made, by text
        for place, text in reversed(list(enumerate(self._texts))):
            self._waiting.setdefault(text, []).append(place)
        self._early: set[int] = set()
        self._joined, self._joined_s = 0, 0.0
        if heard:
            texts = shown_texts([planned.chunk.text for planned in plan.chunks])
            self.player.tell("begin", texts=texts, total_s=plan.estimate().audio_s)
        return bool(heard)

    def joined(self, progress: Progress) -> None:
        """Tell the player where chunks end, once they and all before them are made.

        Several that come at once share the time by the lengths of their texts.
        """
        if self._waiting.get(progress.text):
            self._early.add(self._waiting[progress.text].pop())
        first = self._joined
        while self._joined in self._early:
            self._joined += 1
        sizes = list(accumulate(len(text) + 1 for text in self._texts[first : self._joined]))
        if sizes:
            length_s = progress.audio_s - self._joined_s
            ends_s = [self._joined_s + length_s * size / sizes[-1] for size in sizes]
            self.player.tell("joined", ends_s=ends_s)
            self._joined_s = progress.audio_s
