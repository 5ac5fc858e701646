"""Between a worker's thread and the event loop: waits for results, and passes on bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import CancelledError, Future
from typing import Any

from starlette.requests import Request

from chatter_nb.audio.reading import Signal
from chatter_nb.base.errors import Cancelled
from chatter_nb.runs.speech import Speech
from chatter_nb.serve.encoding import StreamEncoder, is_streamable
from chatter_nb.serve.errors import Problem, shutting_down
from chatter_nb.serve.service import AnyPlan, Listener
from chatter_nb.serve.worker import T, Task


async def result_of(task: Task[T], request: Request, *, timeout_s: float) -> T:
    """A task's result. Raises `Problem`, and cancels it, after `timeout_s` or without a client."""
    ended = asyncio.wrap_future(task.result)
    # Takes the error out of the future, or asyncio logs it where nobody waits any more.
    ended.add_done_callback(lambda future: future.cancelled() or future.exception())
    try:
        await _wait_for(ended, request, timeout_s)
        return _outcome(task.result)
    finally:
        task.cancel()  # changes nothing where the task has ended


async def _wait_for(future: asyncio.Future[Any], request: Request, timeout_s: float) -> None:
    """Wait until `future` is done. Raises `Problem` if the client goes away, or for the time."""
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait([future, gone], timeout=timeout_s, return_when="FIRST_COMPLETED")
    finally:
        gone.cancel()
    if future.done():
        return
    if gone.done():
        raise Problem(408, "the client went away")
    raise Problem(504, f"not made within {timeout_s:g} s; what is finished is kept: ask again")


def _outcome(result: Future[T]) -> T:
    """The result of a task that has ended; only the server cancels a task whose client waits."""
    try:
        return result.result()
    except (Cancelled, CancelledError) as error:
        raise shutting_down() from error


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


class Relay:
    """Encodes the audio of a run on the worker's thread, and passes the bytes to one client.

    The worker never waits for a client: the task of a client with more than `backlog_bytes` to take
    is cancelled. No bytes are passed on where the format cannot be sent before its end
    (`is_streamable`). `parts`: whether chunks are heard in parts, as `render_speech` takes it.
    """

    def __init__(self, format_name: str, *, backlog_bytes: int, parts: bool | None = False) -> None:
        self._format, self._parts = format_name, parts
        self._loop = asyncio.get_running_loop()
        self._arrived: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._backlog, self._max_backlog, self._too_slow = 0, backlog_bytes, False
        self._encoder: StreamEncoder | None = None
        self._task: Task[Speech] | None = None
        self.listener = Listener(self._begin, self._encode, self._finish, self._hears_parts)

    def follow(self, task: Task[Speech]) -> None:
        """Pass on the audio of this task, and its end."""
        self._task = task
        task.result.add_done_callback(lambda _: self._post(None))

    async def first(self, request: Request, *, timeout_s: float) -> bytes:
        """The first bytes; b"" where the file is the answer. Raises what goes wrong until then."""
        arrived = asyncio.ensure_future(self._next())
        try:
            await _wait_for(arrived, request, timeout_s)
            return arrived.result() or b""
        except BaseException:
            arrived.cancel()
            self.give_up()
            raise

    async def all(self, first: bytes) -> AsyncIterator[bytes]:
        """The first bytes and all that follow. Raises the error that ends the audio too early."""
        try:
            data: bytes | None = first
            while data:
                yield data
                data = await self._next()
        finally:
            self.give_up()

    def give_up(self) -> None:
        """Stop the task after its chunk: nobody listens any more."""
        if self._task:
            self._task.cancel()

    async def _next(self) -> bytes | None:
        """More bytes; None at the end of a run that went well. Raises the run's error."""
        data = await self._arrived.get()
        if data is None:
            assert self._task is not None
            if self._too_slow:
                raise Problem(408, f"the client left {self._max_backlog:,} bytes of audio untaken")
            _outcome(self._task.result)
            return None
        self._backlog -= len(data)
        return data

    # -- on the worker's thread

    def _begin(self, plan: AnyPlan) -> None:
        # Who asks for parts wants the beginning of a single piece too.
        pieces = len(plan.pieces) + (self._parts is True)
        if is_streamable(self._format, pieces=pieces):
            rate = plan.engine.sample_rate
            self._encoder = StreamEncoder(self._format, self._post, sample_rate=rate)

    def _hears_parts(self) -> bool | None:
        return self._parts if self._encoder else False

    def _encode(self, block: Signal) -> None:
        if self._encoder:
            self._encoder.write(block)

    def _finish(self, speech: Speech) -> None:
        if self._encoder:
            self._encoder.close()

    def _post(self, data: bytes | None) -> None:
        if data != b"":
            self._loop.call_soon_threadsafe(self._arrive, data)

    # -- on the event loop

    def _arrive(self, data: bytes | None) -> None:
        self._arrived.put_nowait(data)
        self._backlog += len(data or b"")
        if self._backlog > self._max_backlog:
            self._too_slow = True
            self.give_up()
