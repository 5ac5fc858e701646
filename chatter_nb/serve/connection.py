"""One client's connection, and how long it is waited for: until it asks, and until it takes.

Where as many are open as there may be, the one that has been silent for longest makes room.

Uvicorn's protocol with two clocks. Not here: how slowly a body may come (`middleware`), and how
long a model may take (`responses`).
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
    """Closed when it does not say what it wants within `header_timeout_s`, each time it asks; so is
    one that still sends the body of a request that has had its answer. Cut off when it takes
    nothing of an answer for `send_timeout_s`.
    """

    limits = Limits()
    silent: ClassVar[dict[Connection, None]] = {}  # of a server, the longest silent first
    _patience: asyncio.TimerHandle | None = None
    _sending: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_SNDBUF, _KERNEL_BYTES
        )
        self._begin_to_wait()
        while len(self.connections) >= self.limits.connections and len(self.silent) > 1:
            next(iter(self.silent))._make_room()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self._waits():
            self._end_to_wait()
        elif self._patience is None:
            self._begin_to_wait()

    def on_response_complete(self) -> None:
        super().on_response_complete()  # may begin with the next request
        if self._waits() and not self.transport.is_closing():  # uvicorn's own clock runs now
            self.silent[self] = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_to_wait()
        self._end_to_send()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_sending()

    def resume_writing(self) -> None:
        self._end_to_send()
        super().resume_writing()

    # -- until it asks

    def _waits(self) -> bool:
        asked: Any = self.cycle  # None until a request has come, whatever its type says
        return asked is None or asked.response_complete

    def _begin_to_wait(self) -> None:
        self._end_to_wait()
        self._patience = self.loop.call_later(self.limits.header_timeout_s, self._give_up)
        self.silent[self] = None

    def _end_to_wait(self) -> None:
        if self._patience:
            self._patience.cancel()
        self._patience = None
        self.silent.pop(self, None)

    def _make_room(self) -> None:
        self._end_to_wait()
        self.connections.discard(self)  # as uvicorn does once it is lost, a turn of the loop later
        self.transport.close()

    def _give_up(self) -> None:
        self._patience = None
        if self._waits():
            self.transport.close()

    # -- until it takes

    def _watch_sending(self) -> None:
        """Look again later; a slow client that has taken something meanwhile is waited for."""
        left = self.transport.get_write_buffer_size()

        def look() -> None:
            if self.transport.get_write_buffer_size() < left:
                self._watch_sending()
            else:
                self.transport.abort()  # close() would wait until all of it is taken

        self._end_to_send()
        self._sending = self.loop.call_later(self.limits.send_timeout_s, look)

    def _end_to_send(self) -> None:
        if self._sending:
            self._sending.cancel()
        self._sending = None
