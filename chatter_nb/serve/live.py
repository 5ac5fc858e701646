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
from chatter_nb.runs.speak_plan import SpeechPlan
from chatter_nb.runs.speech import Speech
from chatter_nb.serve.encoding import StreamEncoder, encodable
from chatter_nb.serve.service import AnyPlan, Listener
from chatter_nb.serve.worker import Task

FORMAT = "mp3" if "mp3" in encodable() else "wav"
_MOST_BYTES = 16_000_000  # of a run's sound: half an hour and more; its files have all of it
_MOST_RUNS = 8


class Live:
    """The encoded sound of a run, from its beginning, for as many players as ask.

    It belongs to the event loop that it is made on. Who does not listen does not stop the run. All
    runs are encoded: of a run that is cancelled, the sound is what its chunks have given.
    """

    def __init__(self, run: str, hear: str) -> None:
        self._run, self._hear = run, hear
        self._loop, self._grown = asyncio.get_running_loop(), asyncio.Event()
        self._pieces: list[bytes] = []
        self._bytes, self._has_ended = 0, False
        self._encoder: StreamEncoder | None = None
        self._keeps_up, self.is_shown = False, False  # shown: its player was taken
        self.has_begun = threading.Event()
        self._samples, self._rate_hz, self._worker = 0, 1, 0
        self._texts: tuple[str, ...] = ()
        self._starts_s: list[float] = []  # of the chunks that are heard, in the stream
        parts = {"on": True, "auto": None}.get(hear, False)
        self.listener = Listener(self._begin, self._encode, self._finish, lambda: parts)

    @property
    def starts_s(self) -> str:
        """Where each chunk begins in the stream, in seconds, with commas between."""
        return ",".join(f"{start_s:.2f}" for start_s in self._starts_s)

    def note_chunk(self) -> None:
        """Note that a chunk was joined: the next chunk begins here."""
        self._starts_s.append(self._samples / self._rate_hz)

    def take_player(self) -> str:
        """HTML of a player with the text of the chunks, once, when the run has begun; else "".

        It starts by itself, since a person has just asked for its sound, and with the first of it:
        `autoplay` would wait for more.
        """
        if self.is_shown or self._hear == "off" or not (self._keeps_up or self._hear == "on"):
            return ""
        self.is_shown = True
        return self._player('oncanplay="this.isConnected && this.play().catch(() => {})"')

    def stopped_player(self) -> str:
        """HTML of a player of what a cancelled run has made; "" if that is nothing."""
        starts = f'data-starts="{self.starts_s}"'
        return f"<div {starts}>{self._player()}</div>" if self._bytes else ""

    def _player(self, events: str = "") -> str:
        texts = "".join(f"<span>{escape(text)}</span>" for text in self._texts)
        return (
            f'<audio controls aria-label="what is spoken" data-run="{escape(self._run)}" '
            f'src="/api/v1/runs/{escape(self._run)}/live" {events}></audio>'
            f'<div class="said" role="group" tabindex="0" aria-label="the text">{texts}</div>'
        )

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
        self._rate_hz, self._keeps_up = plan.engine.sample_rate, keeps_up(plan.engine)
        self._worker = threading.get_ident()
        if isinstance(plan, SpeechPlan):
            paragraph_ms = plan.params.paragraph_pause_ms
            self._texts = tuple(
                chunk.text + "\n\n" * (chunk.pause_ms >= paragraph_ms)
                for chunk in (planned.chunk for planned in plan.chunks)
            )
        self.note_chunk()
        self._encoder = StreamEncoder(FORMAT, self._post, sample_rate=self._rate_hz)
        self.has_begun.set()

    def _encode(self, block: Signal) -> None:
        self._samples += len(block)
        if self._encoder and self._bytes < _MOST_BYTES:
            self._encoder.write(block)

    def _finish(self, speech: Speech | None = None) -> None:
        if self._encoder:
            self._encoder.close()

    def end(self) -> None:
        """End the sound of a run. One that is given up ends elsewhere, while its chunk goes on."""
        if threading.get_ident() == self._worker:
            self._finish()
        self._post(b"")

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

    def begin(self, run: str, hear: str) -> Live:
        """What will be heard of a run, once `follow` has its task; for the event loop's threads."""
        return anyio.from_thread.run_sync(partial(Live, run, hear))

    def follow(self, run: str, live: Live, task: Task[Speech]) -> None:
        """Keep the sound of a run that the line has taken; it ends with its task."""
        with self._lock:
            self._by_run[run] = live
            while len(self._by_run) > _MOST_RUNS:
                self._by_run.pop(next(iter(self._by_run)))
        task.result.add_done_callback(lambda _: live.end())

    def of(self, run: str) -> Live | None:
        with self._lock:
            return self._by_run.get(run)
