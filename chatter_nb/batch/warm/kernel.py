"""A kernel that is used for many notebooks: its process, its channels and their thread.

`reset`, which runs in the kernel, makes the kernel like a fresh one. `runner` decides when, and
which notebook gets the kernel.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import contextvars
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from string import Template
from time import monotonic
from typing import Any, TypeVar

from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import DeadKernelError

from .folder import KernelFolder

T = TypeVar("T")

_RESET_MOST_S, _REPLY_MOST_S = 60.0, 10.0
_LOOK_S = 0.5  # between two checks whether a kernel that does not answer is alive
# The modules that run in the kernel; each imports only modules before it.
_SOURCES = (
    "reset_notes",
    "reset_tables",
    "reset_libraries",
    "reset_imports",
    "reset_shell",
    "reset",
)
# No history database: two runners would share it, and its end writes into the next notebook.
_ARGUMENTS = ("--HistoryManager.enabled=False",)


# PR_SET_PDEATHSIG stays in force after exec. With another parent, the runner has ended already.
_DIE_WITH_PARENT = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
if os.getppid() == int(sys.argv[1]):
    os.execvp(sys.argv[2], sys.argv[2:])
"""


class ResetError(Exception):
    """Raised when a kernel cannot be made like a fresh one; the message gives the reason."""


class _Manager(AsyncKernelManager):
    """On Linux, starts a kernel that the system ends together with its runner.

    ipykernel itself checks once a second whether its parent has the process id 1, and cannot check
    during a long call into C.
    """

    def format_kernel_cmd(self, extra_arguments: list[str] | None = None) -> list[str]:
        command = super().format_kernel_cmd(extra_arguments)
        if sys.platform != "linux":
            return command
        return [sys.executable, "-ISc", _DIE_WITH_PARENT, str(os.getpid()), *command]


class KernelThread:
    """A thread with an event loop, in which all work with the kernel's sockets is done.

    Sockets belong to an event loop. With a thread of their own they work from a script, from a
    test, and in a notebook, where the loop of the main thread is busy with the calling cell.
    """

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._jobs: queue.SimpleQueue[tuple[Future[Any], contextvars.Context, Any]]
        self._jobs = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="warm kernel", daemon=True)
        self._thread.start()

    def submit(self, function: Callable[[], T]) -> Future[T]:
        """Call a function on the thread, in the caller's context: ipykernel 7 finds by the context
        the cell of an output."""
        future: Future[T] = Future()
        self._jobs.put((future, contextvars.copy_context(), function))
        return future

    def wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine and return its result; to be called on the thread."""
        return self.loop.run_until_complete(coroutine)

    def is_current(self) -> bool:
        return threading.current_thread() is self._thread

    def _work(self) -> None:
        asyncio.set_event_loop(self.loop)
        while True:
            future, context, function = self._jobs.get()
            try:
                future.set_result(context.run(function))
            except BaseException as error:  # the caller raises it
                future.set_exception(error)
            del future, context, function  # they hold the notebook


class WarmKernel:
    """A kernel process with its client. `reused` is True after its first notebook.

    The coroutines are to be run on the `KernelThread`; `signal` and `kill` on any thread.
    """

    def __init__(self, name: str, spec: KernelSpec, extra_arguments: Sequence[str]) -> None:
        self.name, self.extra_arguments, self._spec = name, tuple(extra_arguments), spec
        self.environ = launch_environ(spec)
        self.reused = False
        self._unknown = ""  # the reason why its state could not be noted
        self.language_info: dict[str, Any] = {}
        self._folder = KernelFolder()
        self.manager = _Manager(
            kernel_name=name,
            transport=self._folder.transport,
            connection_file=str(self._folder.path / "k.json"),
        )
        self.client: AsyncKernelClient | None = None

    @property
    def pid(self) -> int | None:
        """The id of the process while it runs, else None."""
        process = getattr(self.manager.provisioner, "process", None)
        return process.pid if process is not None and process.poll() is None else None

    async def start(self, cwd: str, timeout_s: float) -> None:
        """Start the kernel and note its fresh state. Raises what the default engine raises."""
        arguments = [*_ARGUMENTS, *self.extra_arguments]
        await self.manager.start_kernel(extra_arguments=arguments, cwd=cwd)
        self.client = self.manager.client()
        self.client.context.RCVHWM = 0  # else output that comes too fast is dropped
        self.client.start_channels(hb=False, stdin=False)  # no heartbeat: the process is checked
        await self.client.wait_for_ready(timeout=timeout_s)
        self.client.allow_stdin = False
        info = await self.client.kernel_info(reply=True, timeout=timeout_s)
        self.language_info = info["content"]["language_info"]
        try:
            await self.ask(_bootstrap(self.environ))
        except ResetError as error:  # an unknown version of IPython: good for one notebook
            self._unknown = str(error)

    async def begin(self, cwd: str) -> None:
        """Make the kernel like one that is started now, in this folder. Raises `ResetError`."""
        if not await self.manager.is_alive():
            raise ResetError("it died between two notebooks")
        environ = launch_environ(self._spec)
        changed = [name for name in {*environ, *self.environ} if name.startswith(READ_ONCE)]
        changed = [name for name in changed if environ.get(name) != self.environ.get(name)]
        if changed:
            raise ResetError(f"{sorted(changed)[0]} has changed, which is read at the start only")
        await self.ask(f"{_CALL}.begin({environ!a}, {cwd!a})")

    async def finish(self) -> None:
        """Undo what a notebook changed. Raises `ResetError` if something cannot be undone."""
        self.reused = True
        if self._unknown:
            raise ResetError(self._unknown)
        reasons = await self.ask(f"{_CALL}.finish()", f"{_CALL}.reasons")
        if reasons:
            raise ResetError(f"the last notebook {'; '.join(reasons)}")

    async def ask(self, code: str, expression: str = "None") -> Any:
        """Run code silently, and return the value of an expression (a Python literal).

        Returns after the last message of the request, so that none reaches the next notebook.
        Raises `ResetError` if the code fails.
        """
        assert self.client is not None
        message_id = self.client.execute(
            code, silent=True, store_history=False, user_expressions={"answer": expression}
        )
        idle = False
        while not idle:  # before the reply: an interrupted kernel becomes idle and does not reply
            message = await self._next(
                self.client.get_iopub_msg, message_id, "status", _RESET_MOST_S
            )
            idle = message["execution_state"] == "idle"
        reply = await self._next(
            self.client.get_shell_msg, message_id, "execute_reply", _REPLY_MOST_S
        )
        answer = reply.get("user_expressions", {}).get("answer", {"status": "error"})
        if reply["status"] != "ok" or answer["status"] != "ok":
            failed = reply if reply["status"] != "ok" else answer
            raise ResetError(f"the reset failed: {failed.get('ename')}: {failed.get('evalue')}")
        try:
            return ast.literal_eval(answer["data"]["text/plain"])
        except (KeyError, ValueError, SyntaxError) as error:  # the notebook has set a formatter
            raise ResetError("the reset's answer cannot be read") from error

    async def _next(self, get: Any, message_id: str, kind: str, most_s: float) -> dict[str, Any]:
        """The content of the next message of a kind that answers a request.

        Raises `ResetError` after `most_s`, and `DeadKernelError` if the kernel has ended.
        """
        end_s = monotonic() + most_s
        while monotonic() < end_s:
            try:
                message = await get(timeout=_LOOK_S)
            except queue.Empty:
                if not await self.manager.is_alive():
                    raise DeadKernelError("Kernel died") from None
                continue
            if message["parent_header"].get("msg_id") == message_id and message["msg_type"] == kind:
                content: dict[str, Any] = message["content"]
                return content
        raise ResetError(f"the reset took more than {most_s:.0f} s")

    def signal(self, number: int) -> None:
        """Send a signal to the kernel and to the processes that it started, like Jupyter."""
        pid = self.pid
        with contextlib.suppress(OSError):
            if pid is not None and sys.platform != "win32":
                os.killpg(pid, number)
            elif pid is not None and number == signal.SIGINT:
                from jupyter_client.win_interrupt import send_interrupt

                provisioner: Any = self.manager.provisioner
                send_interrupt(provisioner.process.win32_interrupt_event)
            elif pid is not None:
                os.kill(pid, number)

    def kill(self) -> None:
        self.signal(getattr(signal, "SIGKILL", signal.SIGTERM))

    async def stop(self, *, now: bool) -> None:
        """End the kernel and free its resources: at once if `now`, else as Jupyter does, which
        waits for the kernel's threads and its `atexit` functions."""
        with contextlib.suppress(Exception):  # a dead kernel must not keep the rest from being done
            if await self.manager.is_alive():
                await self.manager.shutdown_kernel(now=now)
        with contextlib.suppress(Exception):
            await self.manager.cleanup_resources()
        if self.client is not None:
            self.client.stop_channels()
            self.client.context.destroy(linger=0)
        self._folder.remove()


_PACKAGE = "_warm_kernel"  # the modules' package in the kernel, which may have ours as well
_CALL = f"__import__('sys').modules['{_PACKAGE}.reset']"

# Prefixes of variables that a process or a library reads once: only a fresh kernel has a change.
READ_ONCE = (
    *("PYTHON", "LD_", "DYLD_", "MALLOC_", "LANG", "LC_", "JUPYTER", "IPYTHON", "JPY_"),
    *("OMP_", "MKL_", "OPENBLAS_", "KMP_", "GOMP_", "NUMEXPR_", "CUDA_", "NVIDIA_", "HIP_"),
    *("PYTORCH_", "TORCH_", "HF_", "HUGGINGFACE_", "TRANSFORMERS_", "XDG_", "MPLCONFIGDIR"),
)


def launch_environ(spec: KernelSpec) -> dict[str, str]:
    """The environment of a kernel that is started now: the process's, and the specification's.

    Like `KernelProvisionerBase.pre_launch` and `launch_kernel` of `jupyter_client`.
    """
    environ = dict(os.environ)
    environ |= {k: Template(v).safe_substitute(environ) for k, v in spec.env.items()}
    environ.pop("PYTHONEXECUTABLE", None)
    return environ | ({} if sys.platform == "win32" else {"JPY_PARENT_PID": str(os.getpid())})


def _bootstrap(environ: Mapping[str, str]) -> str:
    """Code that makes modules of the sources in the kernel, and takes the snapshot."""
    sources = {name: Path(__file__).with_name(f"{name}.py").read_text() for name in _SOURCES}
    names = {"sources": sources, "environ": dict(environ), "package": _PACKAGE}
    return f"exec({_BOOTSTRAP!r}, {names!a})"


_BOOTSTRAP = """
import sys, types
sys.modules[package] = types.ModuleType(package)
for name, source in sources.items():
    module = sys.modules[f"{package}.{name}"] = types.ModuleType(f"{package}.{name}")
    module.__package__ = package
    setattr(sys.modules[package], name, module)
    # Python leaves frames with this name out of tracebacks.
    place = "<frozen importlib._bootstrap>" if name == "reset_imports" else f"<{name}>"
    exec(compile(source, place, "exec", dont_inherit=True), vars(module))
module.snapshot(environ)
"""
