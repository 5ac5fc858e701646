"""Papermill's client of a warm kernel."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from nbclient.exceptions import CellExecutionComplete
from papermill.clientwrap import PapermillNotebookClient

_REPLY_S = 10.0  # in which a kernel that is idle has answered, also on a busy machine


class WarmClient(PapermillNotebookClient):
    """Papermill's client, but for an answer that does not come.

    An interrupt that falls beside a cell's own code, on its way in or out, makes ipykernel say that
    it is idle and nothing more. nbclient would wait for ever; here the kernel is ended, by `kill`,
    and `unanswered` tells why.
    """

    unanswered = False
    kill: Callable[[], object]

    def process_message(self, *message: Any) -> Any:
        try:
            return super().process_message(*message)
        except CellExecutionComplete:  # the kernel is idle
            reply = self.task_poll_for_reply
            late = asyncio.get_running_loop().call_later(_REPLY_S, self._give_up)
            reply.add_done_callback(lambda _: late.cancel())
            raise

    def _give_up(self) -> None:
        self.unanswered = True
        self.kill()  # nbclient then raises `DeadKernelError`
