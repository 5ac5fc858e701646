"""Runs one notebook after the other in one kernel, which is made like a fresh one in between.

Models and libraries stay loaded; names, settings and folders do not.

    papermill in.ipynb out.ipynb --engine chatter-warm

If something cannot be undone, the next notebook gets a fresh kernel; `status` returns the reason.
A process runs one notebook at a time. A kernel that dies and a cell that takes too long become an
error in the cell, so that Papermill raises it; Papermill's own engine does not write them into the
notebook.
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

from .kernel import KernelThread, ResetError, WarmKernel

if TYPE_CHECKING:
    from jupyter_client.kernelspec import KernelSpec

    from .client import WarmClient

logger = logging.getLogger("papermill")
_EXIT_MOST_S = 8.0  # for ending the kernel when the process ends
_ABANDON_MOST_S = 20.0
_SHUT_DOWN = "the last one was shut down"


@dataclass(frozen=True)
class Status:
    """The warm kernel of this process."""

    pid: int | None  # of the kernel; None if there is no kernel
    started: int  # kernels that were started until now
    reason: str  # why the last kernel was started


class _Runner:
    """The warm kernel of the process, and the lock that gives it to one notebook at a time."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin without a kernel. A forked process does: kernel and thread are its parent's."""
        self._lock = threading.Lock()
        self._thread: KernelThread | None = None
        self._kernel: WarmKernel | None = None
        self._running = self._abandoned = self._interrupted = False
        self._started, self._reason = 0, ""
        self._next_reason = "the first notebook"

    def is_nested(self) -> bool:
        """Whether the caller is a hook of a running notebook, which cannot wait for itself."""
        return self._thread is not None and self._thread.is_current()

    def status(self) -> Status:
        return Status(self._kernel.pid if self._kernel else None, self._started, self._reason)

    def interrupt(self) -> None:
        """Interrupt the running notebook, or the next if none runs: no further cell is begun.

        The running cell is interrupted as by the stop button. May be called from another thread,
        or from a signal handler while `execute_notebook` waits.
        """
        self._interrupted = True  # it counts also while a kernel starts
        if self._running and self._kernel is not None:
            self._kernel.signal(signal.SIGINT)

    def clear_interrupt(self) -> None:
        """Forget an interrupt that no notebook has noticed, before a new batch."""
        self._interrupted = False

    def shutdown(self) -> None:
        """End the kernel, which frees its models. The next notebook starts another kernel."""
        with self._lock:
            if self._kernel is not None and self._thread is not None:
                stop = partial(self._retire, _SHUT_DOWN)
                self._thread.submit(stop).result(timeout=_EXIT_MOST_S)

    def at_exit(self) -> None:
        """End the kernel when the process ends; kill it if that takes more than 8 s."""
        kernel, thread = self._kernel, self._thread
        if kernel is None or thread is None:
            return
        stop = thread.submit(partial(self._retire, "the process ends"))
        if not concurrent.futures.wait([stop], 0 if self._running else _EXIT_MOST_S).done:
            kernel.kill()

    def execute(self, client: WarmClient, spec: KernelSpec) -> Any:
        """Run a client's notebook in the warm kernel; returns the notebook."""
        with self._lock:
            self._abandoned = False
            self._thread = self._thread or KernelThread()
            job = self._thread.submit(partial(self._run, client, spec))
            try:
                return job.result()
            except BaseException:
                if not job.done():  # an exception of the caller, such as KeyboardInterrupt
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
        """The kernel, made ready for this notebook; None if another kernel must be started."""
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
        self._kernel = kernel  # already here, so that `execute` can kill it
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
        """Like `papermill_execute_cells`; returns why the kernel must be ended, or None.

        Errors of cells, dead kernels and timeouts are written into the notebook.
        """
        fault = partial(_cuda_fault, client.nb)
        for index, cell in enumerate(client.nb.cells):
            try:
                client.nb_man.cell_start(cell, index)
                if self._interrupted and cell.cell_type == "code":  # between two cells
                    cell.outputs = []
                    raise _interrupted(cell, "interrupted before this cell")
                self._run_cell(client, cell, index, start)
            except CellExecutionError as error:
                client.nb_man.cell_exception(
                    client.nb.cells[index], cell_index=index, exception=error
                )
                # An interrupted import may have left half a library.
                broken_off = self._interrupted or client.unanswered
                return "the last notebook was interrupted" if broken_off else fault()
            except (DeadKernelError, CellTimeoutError) as error:
                if self._abandoned:
                    raise
                cell.outputs.append(_output_of(error, index))
                client.nb_man.cell_exception(cell, cell_index=index, exception=error)
                return f"{type(error).__name__} in the last notebook"
            finally:
                client.nb_man.cell_complete(client.nb.cells[index], cell_index=index)
        return fault()

    def _run_cell(
        self, client: WarmClient, cell: Any, index: int, start: Callable[[], WarmKernel]
    ) -> None:
        assert self._kernel is not None
        try:
            self._wait(client.async_execute_cell(cell, index))
        except DeadKernelError:
            if client.unanswered:
                raise _interrupted(cell, "interrupted beside this cell's own code") from None
            first = client.code_cells_executed == 1
            if self._abandoned or not first or not self._kernel.reused:
                raise
            # The notebook before this one may be the cause.
            self._retire("it died at the first cell", now=True)
            client.code_cells_executed = 0
            self._lend(client, start())
            self._wait(client.async_execute_cell(cell, index))

    def _clean(self) -> None:
        """Reset the kernel after a notebook, which frees the notebook's objects at once."""
        if self._kernel is None:
            return
        try:
            self._wait(self._kernel.finish())
        except Exception as error:  # this kernel must not be used again
            self._retire(str(error) or type(error).__name__)

    def _retire(self, reason: str, now: bool = False) -> None:
        """End the kernel; `reason` is reported when the next kernel is started."""
        kernel, self._kernel, self._next_reason = self._kernel, None, reason
        if kernel is not None:
            self._wait(kernel.stop(now=now or self._abandoned))


def _folder(client: WarmClient) -> str:
    folder = client.resources.get("metadata", {}).get("path") or os.getcwd()  # noqa: PTH109
    return os.path.abspath(folder)  # noqa: PTH100 - links are not followed


def _cuda_fault(notebook: Any) -> str | None:
    """Why the kernel must be ended: after a CUDA error every later call in the process fails."""
    for output in (output for cell in notebook.cells for output in cell.get("outputs", ())):
        if output.output_type == "error" and (
            output.ename == "AcceleratorError" or "CUDA error" in output.evalue
        ):
            return "CUDA failed in the last notebook"
    return None


def _interrupted(cell: Any, message: str) -> CellExecutionError:
    """The error of an interrupted cell; it is added to the outputs of the cell."""
    output = _error_output("KeyboardInterrupt", message)
    cell.outputs.append(output)
    return CellExecutionError("\n".join(output.traceback), ename=output.ename, evalue=message)


def _output_of(error: Exception, index: int) -> Any:
    """The output of a cell in which the kernel died or the time was over."""
    message = str(error).partition("\n")[0]
    if isinstance(error, DeadKernelError):
        message = "the kernel died in this cell: it was killed, ran out of memory, or exited"
    place = f"In cell {index + 1}; the kernel has been ended."
    return _error_output(type(error).__name__, message, place)


def _error_output(name: str, message: str, *lines: str) -> Any:
    traceback = [f"{name}: {message}", *lines]
    return nbformat.v4.new_output("error", ename=name, evalue=message, traceback=traceback)


_warm = _Runner()
atexit.register(_warm.at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_warm.forget)

interrupt, clear_interrupt = _warm.interrupt, _warm.clear_interrupt
execute, is_nested = _warm.execute, _warm.is_nested
shutdown, status = _warm.shutdown, _warm.status
