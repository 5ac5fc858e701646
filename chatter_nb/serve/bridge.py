"""Between a worker's thread and the event loop: results waited for, bytes passed on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Future
from typing import Any, TypeVar

from starlette.requests import Request

from chatter_nb.audio.reading import Signal
from chatter_nb.base.errors import Cancelled
from chatter_nb.runs.convert import ConversionPlan
from chatter_nb.runs.speak_plan import SpeechPlan
from chatter_nb.runs.speech import Speech
from chatter_nb.serve.encoding import StreamEncoder, is_streamable
from chatter_nb.serve.errors import Problem, shutting_down
from chatter_nb.serve.service import Listener
from chatter_nb.serve.worker import Task

T = TypeVar("T")


async def result_of(task: Task[T], request: Request, *, timeout_s: float) -> T:
    """What a task makes. A client that goes away, or one that waits too long, gives up its place.

    Raises the task's own error, or `Problem`.
    """
    made = asyncio.wrap_future(task.result)
    try:
        return _outcome(await _first_of(made, request, timeout_s))
    finally:
        made.add_done_callback(_looked_at)
        task.cancel()  # nothing, where it has ended


async def _first_of(
    made: asyncio.Future[T], request: Request, timeout_s: float
) -> asyncio.Future[T]:
    """`made` when it is done. Raises `Problem` if its client goes away, or it takes too long."""
    gone = asyncio.ensure_future(_gone(request))
    try:
        both: set[asyncio.Future[Any]] = {made, gone}
        await asyncio.wait(both, timeout=timeout_s, return_when="FIRST_COMPLETED")
    finally:
        gone.cancel()
    if made.done():
        return made
    if gone.done():
        raise Problem(408, "the client went away")
    raise Problem(504, f"not made within {timeout_s:g} s; what is finished is kept: ask again")


def _looked_at(made: asyncio.Future[Any]) -> None:
    """Nobody waits for it any more: its error is no news."""
    if not made.cancelled():
        made.exception()


def _outcome(made: asyncio.Future[T] | Future[T]) -> T:
    if made.cancelled():
        raise shutting_down()
    try:
        return made.result()
    except Cancelled as error:  # nobody else asks a task to stop while its client is there
        raise shutting_down() from error


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


class Relay:
    """Encoded audio on its way from the worker's thread to one client.

    The worker never waits for a client: one with more than `backlog_bytes` to take is given up.
    Nothing is passed on where the format cannot be sent before its end (`is_streamable`).
    """

    def __init__(self, format_name: str, *, backlog_bytes: int) -> None:
        self._format = format_name
        self._loop = asyncio.get_running_loop()
        self._arrived: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._backlog, self._most, self._too_slow = 0, backlog_bytes, False
        self._encoder: StreamEncoder | None = None
        self._task: Task[Speech] | None = None
        self.listener = Listener(self._begin, self._hear, self._end)

    def follow(self, task: Task[Speech]) -> None:
        """Pass on what this task makes, and its end."""
        self._task = task
        task.result.add_done_callback(lambda _: self._post(None))

    async def first(self, request: Request, *, timeout_s: float) -> bytes:
        """The first bytes; none where the run ended without any, and its file is the answer.

        Until then whatever goes wrong is an answer of its own: it raises.
        """
        arrived = asyncio.ensure_future(self._next())
        try:
            return (await _first_of(arrived, request, timeout_s)).result() or b""
        except BaseException:
            arrived.cancel()
            self.give_up()
            raise

    async def all(self, first: bytes) -> AsyncIterator[bytes]:
        """The first bytes and what follows, until the end; raises what broke it off."""
        try:
            data: bytes | None = first
            while data:
                yield data
                data = await self._next()
        finally:
            self.give_up()

    def give_up(self) -> None:
        """Nobody listens any more: the task stops after its chunk."""
        if self._task:
            self._task.cancel()

    async def _next(self) -> bytes | None:
        """More bytes; None at the end, if it is a good one."""
        data = await self._arrived.get()
        if data is None:
            assert self._task is not None
            if self._too_slow:
                raise Problem(408, f"the client left {self._most:,} bytes of audio untaken")
            _outcome(self._task.result)
            return None
        self._backlog -= len(data)
        return data

    # -- on the worker's thread

    def _begin(self, plan: SpeechPlan | ConversionPlan) -> None:
        pieces = len(plan.chunks if isinstance(plan, SpeechPlan) else plan.windows)
        if is_streamable(self._format, pieces=pieces):
            rate = plan.engine.sample_rate
            self._encoder = StreamEncoder(self._format, self._post, sample_rate=rate)

    def _hear(self, block: Signal) -> None:
        if self._encoder:
            self._encoder.write(block)

    def _end(self, speech: Speech) -> None:
        if self._encoder:
            self._encoder.finish()

    def _post(self, data: bytes | None) -> None:
        if data != b"":
            self._loop.call_soon_threadsafe(self._arrive, data)

    def _arrive(self, data: bytes | None) -> None:
        self._arrived.put_nowait(data)
        self._backlog += len(data or b"")
        if self._backlog > self._most:
            self._too_slow = True
            self.give_up()
