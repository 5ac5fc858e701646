"""Papermill's client of a warm kernel."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from nbclient.exceptions import CellExecutionComplete
from papermill.clientwrap import PapermillNotebookClient

_REPLY_S = 10.0  # an idle kernel has answered by then, also on a busy machine


class WarmClient(PapermillNotebookClient):
    """Papermill's client, which ends a kernel that is idle and does not answer.

    If an interrupt comes just before or just after the code of a cell, ipykernel reports that it is
    idle and sends no answer. nbclient would wait for ever. This client calls `kill` and sets
    `unanswered`.
    """

    unanswered = False
    kill: Callable[[], object]  # ends the kernel; set by `runner`

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
