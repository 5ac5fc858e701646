"""The Papermill engine `chatter-warm`: notebooks one after the other in one kernel, made like a
fresh one in between. Models and libraries stay loaded; names, settings and files' folders do not.

    papermill in.ipynb out.ipynb --engine chatter-warm

Anything that cannot be put back gives a fresh kernel (`status` tells the last reason), and what
this engine cannot honour is left to Papermill's own. One notebook runs at a time in a process. A
kernel that dies or a cell that takes too long becomes an error in the cell, so that Papermill
raises; its own engine leaves no trace of them in the notebook.
"""

from __future__ import annotations

import atexit
import concurrent.futures
import logging
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import nbformat
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbclient.util import run_hook

from chatter_nb.batch.warm.kernel import KernelThread, ResetError, WarmKernel

if TYPE_CHECKING:
    from jupyter_client.kernelspec import KernelSpec

    from chatter_nb.batch.warm.client import WarmClient

logger = logging.getLogger("papermill")
_EXIT_MOST_S = 8.0  # for ending the kernel when the process ends
_ABANDON_MOST_S = 20.0
_SHUT_DOWN = "the last one was shut down"


@dataclass(frozen=True)
class Status:
    """The kernel's process (None: there is none), how many were started, and why the last was."""

    pid: int | None
    started: int
    reason: str


def interrupt() -> None:
    """Interrupt the notebook in hand, or else the next: no further cell of it is begun.

    The cell that runs is interrupted as by the stop button. May be called from another thread, or
    from a signal handler while `execute_notebook` waits.
    """
    _warm.interrupt()


def clear_interrupt() -> None:
    """Forget an interrupt that no notebook has met: a new batch begins."""
    _warm.clear_interrupt()


def shutdown() -> None:
    """End the kernel, and with it let go of its models. The next notebook starts another."""
    _warm.shutdown()


def status() -> Status:
    return _warm.status()


def execute(client: WarmClient, spec: KernelSpec) -> Any:
    """Run a client's notebook in the warm kernel; for the engine."""
    return _warm.execute(client, spec)


def is_nested() -> bool:
    """Whether a hook of a running notebook asks: it cannot wait for itself."""
    return _warm.is_nested()


class _Warm:
    """The one warm kernel of the process, and the lock that gives it to one notebook at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: KernelThread | None = None
        self._kernel: WarmKernel | None = None
        self._running = self._abandoned = self._interrupted = False
        self._started, self._reason = 0, ""
        self._next_reason = "the first notebook"

    def is_nested(self) -> bool:
        return self._thread is not None and self._thread.is_current()

    def status(self) -> Status:
        return Status(self._kernel.pid if self._kernel else None, self._started, self._reason)

    def interrupt(self) -> None:
        self._interrupted = True  # also while a kernel, or a worker, is being made ready
        if self._running and self._kernel is not None:
            self._kernel.signal(signal.SIGINT)

    def clear_interrupt(self) -> None:
        self._interrupted = False

    def shutdown(self) -> None:
        with self._lock:
            if self._kernel is not None and self._thread is not None:
                stop = partial(self._retire, _SHUT_DOWN)
                self._thread.submit(stop).result(timeout=_EXIT_MOST_S)

    def at_exit(self) -> None:
        """End the kernel, politely if it goes quickly: the interpreter must not hang."""
        kernel, thread = self._kernel, self._thread
        if kernel is None or thread is None:
            return
        stop = thread.submit(partial(self._retire, "the process ends"))
        if not concurrent.futures.wait([stop], 0 if self._running else _EXIT_MOST_S).done:
            kernel.kill()

    def execute(self, client: WarmClient, spec: KernelSpec) -> Any:
        with self._lock:
            self._abandoned = False
            self._thread = self._thread or KernelThread()
            job = self._thread.submit(partial(self._run, client, spec))
            try:
                return job.result()
            except BaseException:
                if not job.done():  # a KeyboardInterrupt or the like, while we waited
                    self._abandoned = True
                    if self._kernel is not None:
                        self._kernel.kill()
                    concurrent.futures.wait([job], _ABANDON_MOST_S)
                raise
            finally:
                self._interrupted = False

    # -- on the kernel's thread ------------------------------------------------------------------

    def _wait(self, coroutine: Any) -> Any:
        assert self._thread is not None
        return self._thread.wait(coroutine)

    def _run(self, client: WarmClient, spec: KernelSpec) -> Any:
        start = partial(self._start, client, spec, _folder(client))
        kernel = self._reuse(client) or start()
        try:
            self._lend(client, kernel)
            self._wait(run_hook(client.on_notebook_start, notebook=client.nb))
            logger.info(f"Executing notebook with kernel: {client.kernel_name}")
            self._running = True
            failure = self._run_cells(client, start)
            assert self._kernel is not None
            client.nb.metadata["language_info"] = dict(self._kernel.language_info)
            client.set_widgets_metadata()
            if failure is not None:
                self._retire(failure, now=True)
        finally:
            self._running = False
            client.km = client.kc = None
            del client.kill  # it holds the kernel
            self._clean()
        return client.nb

    def _reuse(self, client: WarmClient) -> WarmKernel | None:
        """The kernel there is, ready for this notebook; None if another must be started."""
        kernel = self._kernel
        if kernel is None:
            return None
        try:
            if kernel.name != client.kernel_name:
                raise ResetError(f"kernel {client.kernel_name} follows {kernel.name}")
            if kernel.extra_arguments != tuple(client.extra_arguments):
                raise ResetError("other arguments for the kernel were asked for")
            self._wait(kernel.begin(_folder(client)))
            return kernel
        except (ResetError, DeadKernelError) as error:
            self._retire(str(error))
            return None

    def _start(self, client: WarmClient, spec: KernelSpec, cwd: str) -> WarmKernel:
        kernel = WarmKernel(client.kernel_name, spec, client.extra_arguments)
        self._kernel = kernel  # now: so that an impatient caller can kill it
        self._started, self._reason = self._started + 1, self._next_reason
        try:
            self._wait(kernel.start(cwd, client.startup_timeout))
        except BaseException as error:
            self._retire(f"the last one did not start: {error}", now=True)
            raise
        expected = self._started == 1 or self._reason == _SHUT_DOWN
        log = logger.info if expected else logger.warning
        log(f"Started a kernel for notebooks to come, pid {kernel.pid}: {self._reason}")
        return kernel

    def _lend(self, client: WarmClient, kernel: WarmKernel) -> None:
        client.km, client.kc, client.owns_km = kernel.manager, kernel.client, False
        client.kill = kernel.kill

    def _run_cells(self, client: WarmClient, start: Callable[[], WarmKernel]) -> str | None:
        """`papermill_execute_cells`, and what it leaves out: why the kernel is lost, or None."""
        fault = partial(_cuda_fault, client.nb)
        for index, cell in enumerate(client.nb.cells):
            try:
                client.nb_man.cell_start(cell, index)
                if self._interrupted and cell.cell_type == "code":  # it came between two cells
                    raise _stop_before(cell)
                self._run_cell(client, cell, index, start)
            except CellExecutionError as error:
                client.nb_man.cell_exception(
                    client.nb.cells[index], cell_index=index, exception=error
                )
                # An import that was interrupted may have left half a library behind.
                broken_off = self._interrupted or client.unanswered
                return "the last notebook was interrupted" if broken_off else fault()
            except (DeadKernelError, CellTimeoutError) as error:
                if self._abandoned:
                    raise
                cell.outputs.append(_as_output(error, index, client))
                client.nb_man.cell_exception(cell, cell_index=index, exception=error)
                return f"{type(error).__name__} in the last notebook"
            finally:
                client.nb_man.cell_complete(client.nb.cells[index], cell_index=index)
        return fault()

    def _run_cell(
        self,
        client: WarmClient,
        cell: Any,
        index: int,
        start: Callable[[], WarmKernel],
    ) -> None:
        assert self._kernel is not None
        try:
            self._wait(client.async_execute_cell(cell, index))
        except DeadKernelError:
            if client.unanswered:
                raise _unanswered(cell) from None
            first = client.code_cells_executed == 1
            if self._abandoned or not first or not self._kernel.reused:
                raise
            # It may have died of what the notebook before it left behind.
            self._retire("it died at the first cell", now=True)
            client.code_cells_executed = 0
            self._lend(client, start())
            self._wait(client.async_execute_cell(cell, index))

    def _clean(self) -> None:
        """After a notebook, so that what it held is let go of now, as at the end of a kernel."""
        if self._kernel is None:
            return
        try:
            self._wait(self._kernel.finish())
        except Exception as error:  # whatever it is, such a kernel must not be used again
            self._retire(str(error) or type(error).__name__)

    def _retire(self, reason: str, now: bool = False) -> None:
        """End the kernel; `reason` is told when the next one is started."""
        kernel, self._kernel, self._next_reason = self._kernel, None, reason
        if kernel is not None:
            self._wait(kernel.stop(now=now or self._abandoned))


def _folder(client: WarmClient) -> str:
    folder = client.resources.get("metadata", {}).get("path") or os.getcwd()  # noqa: PTH109
    return os.path.abspath(folder)  # noqa: PTH100 - links stay as the caller names them


def _cuda_fault(nb: Any) -> str | None:
    """After a CUDA error every later call fails in that process, whoever makes it."""
    errors = [out for cell in nb.cells for out in cell.get("outputs", ())]
    errors = [out for out in errors if out.output_type == "error"]
    for out in errors:
        if out.ename == "AcceleratorError" or "CUDA error" in out.evalue:
            return "CUDA failed in the last notebook"
    return None


def _stop_before(cell: Any) -> CellExecutionError:
    """The error of a cell that is not begun, since the notebook was interrupted before it."""
    cell.outputs = []
    return _interrupted(cell, "interrupted before this cell")


def _unanswered(cell: Any) -> CellExecutionError:
    """The error of a cell that was interrupted just before its code, or just after."""
    return _interrupted(cell, "interrupted beside this cell's own code")


def _interrupted(cell: Any, told: str) -> CellExecutionError:
    name = "KeyboardInterrupt"
    lines = [f"{name}: {told}"]
    cell.outputs.append(nbformat.v4.new_output("error", ename=name, evalue=told, traceback=lines))
    return CellExecutionError("\n".join(lines), ename=name, evalue=told)


def _as_output(error: Exception, index: int, client: WarmClient) -> Any:
    """A dead kernel or a timeout as Papermill and the pages show an exception in a cell."""
    told: dict[type[Exception], str] = {
        DeadKernelError: "the kernel died in this cell: it was killed, ran out of memory, or exited"
    }
    evalue = told.get(type(error)) or str(error).partition("\n")[0]
    name = type(error).__name__
    lines = [f"{name}: {evalue}", f"In cell {index + 1}; the kernel has been ended."]
    return nbformat.v4.new_output("error", ename=name, evalue=evalue, traceback=lines)


_warm = _Warm()
atexit.register(lambda: _warm.at_exit())  # whichever there is then


def _forget() -> None:
    """After a fork: the kernel and the thread are the parent's."""
    global _warm
    _warm = _Warm()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
