"""Uvicorn's HTTP protocol with two time limits: until a request has come, and until the client
takes more of the answer.

Where as many connections are open as the server allows, the longest silent connection is closed.
Not here: how slowly a body may come (`middleware`), and how long a model may take (`responses`).
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any, ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol

from chatter_nb.serve.settings import Limits

# Linux tells that a client took something when a third of this is free again: left alone it grows
# to megabytes, minutes of audio for a client that plays as it takes.
_KERNEL_BYTES = 256 * 1024


class Connection(H11Protocol):
    """A client's connection.

    It is closed where the client does not finish a request's headers within `header_timeout_s`, or
    still sends the body of a request that is answered. It is cut off where the client takes nothing
    of an answer for `send_timeout_s`.
    """

    limits = Limits()
    silent: ClassVar[dict[Connection, None]] = {}  # of a server, the longest silent first
    _request_timer: asyncio.TimerHandle | None = None
    _send_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_SNDBUF, _KERNEL_BYTES
        )
        self._await_request()
        while len(self.connections) >= self.limits.connections and len(self.silent) > 1:
            next(iter(self.silent))._make_room()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self._is_waiting():
            self._end_waiting()
        elif self._request_timer is None:
            self._await_request()

    def on_response_complete(self) -> None:
        super().on_response_complete()  # may begin with the next request
        if self._is_waiting() and not self.transport.is_closing():  # uvicorn's own timer runs now
            self.silent[self] = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_waiting()
        self._stop_send_timer()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._await_sending()

    def resume_writing(self) -> None:
        self._stop_send_timer()
        super().resume_writing()

    # -- until a request has come

    def _is_waiting(self) -> bool:
        cycle: Any = self.cycle  # None until a request has come, whatever its type says
        return cycle is None or cycle.response_complete

    def _await_request(self) -> None:
        self._end_waiting()
        self._request_timer = self.loop.call_later(self.limits.header_timeout_s, self._give_up)
        self.silent[self] = None

    def _end_waiting(self) -> None:
        if self._request_timer:
            self._request_timer.cancel()
        self._request_timer = None
        self.silent.pop(self, None)

    def _make_room(self) -> None:
        self._end_waiting()
        self.connections.discard(self)  # as uvicorn does once it is lost, a turn of the loop later
        self.transport.close()

    def _give_up(self) -> None:
        self._request_timer = None
        if self._is_waiting():
            self.transport.close()

    # -- until the client takes more of the answer

    def _await_sending(self) -> None:
        """Check later whether a slow client has taken something meanwhile, and then again."""
        left = self.transport.get_write_buffer_size()

        def look() -> None:
            if self.transport.get_write_buffer_size() < left:
                self._await_sending()
            else:
                self.transport.abort()  # close() would wait until all of it is taken

        self._stop_send_timer()
        self._send_timer = self.loop.call_later(self.limits.send_timeout_s, look)

    def _stop_send_timer(self) -> None:
        if self._send_timer:
            self._send_timer.cancel()
        self._send_timer = None
