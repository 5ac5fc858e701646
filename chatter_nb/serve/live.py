"""What the page hears of a run while it is made: a stream for the browser's own player."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from functools import partial
from html import escape

import anyio.from_thread

from chatter_nb.audio.reading import Signal
from chatter_nb.runs.listening import keeps_up
from chatter_nb.runs.speech import Speech
from chatter_nb.serve.encoding import StreamEncoder, encodable
from chatter_nb.serve.service import AnyPlan, Listener
from chatter_nb.serve.worker import Task

HEAR = ("auto", "on", "off")  # auto: if the engine is faster than real time
FORMAT = "mp3" if "mp3" in encodable() else "wav"
_MOST_BYTES = 16_000_000  # of a run's sound: half an hour and more; its files have all of it
_MOST_RUNS = 8


class Live:
    """The encoded sound of a run, from its beginning, for as many players as ask.

    It belongs to the event loop that it is made on. Who does not listen does not stop the run.
    """

    def __init__(self, run: str, hear: str) -> None:
        self._run, self._asked = run, hear == "on" or None
        self._loop, self._grown = asyncio.get_running_loop(), asyncio.Event()
        self._pieces: list[bytes] = []
        self._bytes, self._has_ended = 0, False
        self._encoder: StreamEncoder | None = None
        self._is_shown = False
        self.listener = Listener(self._begin, self._encode, self._finish, lambda: self._asked)

    def follow(self, task: Task[Speech]) -> None:
        """End the sound with this task."""
        task.result.add_done_callback(lambda _: self._post(b""))

    def take_player(self) -> str:
        """HTML of a player, once, when the run has begun; else "".

        It starts by itself, since a person has just asked for its sound, and with the first of it:
        `autoplay` would wait for more.
        """
        if self._encoder is None or self._is_shown:
            return ""
        self._is_shown = True
        source = f"/api/v1/runs/{escape(self._run)}/live"
        events = 'oncanplay="this.play().catch(() => {})" onended="this.remove()"'
        return f'<audio controls src="{source}" {events}></audio>'

    async def all(self) -> AsyncIterator[bytes]:
        """The sound from its beginning, until its end."""
        position = 0
        while position < len(self._pieces) or not self._has_ended:
            if position < len(self._pieces):
                yield self._pieces[position]
                position += 1
            else:
                await self._grown.wait()

    # -- on the worker's thread

    def _begin(self, plan: AnyPlan) -> None:
        rate = plan.engine.sample_rate
        if self._asked or keeps_up(plan.engine):
            self._encoder = StreamEncoder(FORMAT, self._post, sample_rate=rate)

    def _encode(self, block: Signal) -> None:
        if self._encoder and self._bytes < _MOST_BYTES:
            self._encoder.write(block)

    def _finish(self, speech: Speech) -> None:
        if self._encoder:
            self._encoder.close()

    def _post(self, data: bytes) -> None:
        self._loop.call_soon_threadsafe(self._arrive, data)

    # -- on the event loop

    def _arrive(self, data: bytes) -> None:
        """Take more sound; no bytes are its end."""
        if data:
            self._pieces.append(data)
            self._bytes += len(data)
        else:
            self._has_ended = True
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()


class Lives:
    """What is heard of the latest runs, by their names. Any thread may call."""

    def __init__(self) -> None:
        self._by_run: dict[str, Live] = {}
        self._lock = threading.Lock()

    def begin(self, run: str, hear: str) -> Live | None:
        """What will be heard of a run; None if `hear` is off.

        Call it on a thread that the event loop has started.
        """
        if hear not in HEAR[:2]:
            return None
        live = anyio.from_thread.run_sync(partial(Live, run, hear))
        with self._lock:
            self._by_run[run] = live
            while len(self._by_run) > _MOST_RUNS:
                self._by_run.pop(next(iter(self._by_run)))
        return live

    def of(self, run: str) -> Live | None:
        with self._lock:
            return self._by_run.get(run)
