"""A kernel that is used for many notebooks: its process, its channels, and the thread they belong
to. What makes it like a fresh one is in `reset`, which runs in the kernel; when that is done, and
which notebook gets it, is `warm`'s.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import contextvars
import os
import queue
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from string import Template
from time import monotonic, time
from typing import Any, TypeVar

from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import DeadKernelError

T = TypeVar("T")

_PREFIX, _LOCK = "warm-", "lock"  # of a kernel's folder in TMPDIR, and of the file in it
_YOUNG_S = 60.0  # so long a folder may be without its lock yet

_SOCKET_PATH_MOST = 100  # bytes; the least that a system takes is 104, with our "-ipc-1" in it
_RESET_MOST_S, _REPLY_MOST_S = 60.0, 10.0
_LOOK_S = 0.5  # how often a kernel that does not answer is looked at
_RESET = ("notes", "tables", "imports", "shell")  # each may import those before it
_SOURCES = (*(f"reset_{part}" for part in _RESET), "reset")
# No database: two runners would share it, and leaving a session writes to the next notebook.
_ARGUMENTS = ("--HistoryManager.enabled=False",)


# PR_SET_PDEATHSIG outlives exec. Who became the parent before we asked is not the runner.
_DIE_WITH_PARENT = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
if os.getppid() == int(sys.argv[1]):
    os.execvp(sys.argv[2], sys.argv[2:])
"""


class ResetError(Exception):
    """The kernel could not be made like a fresh one; the message says why."""


class _Manager(AsyncKernelManager):
    """Starts a kernel that ends when its runner does, from its first moment on.

    ipykernel's own poller looks once a second, waits for a parent with the number 1, and does not
    get to it during a long call into C. Only Linux can do better.
    """

    def format_kernel_cmd(self, extra_arguments: list[str] | None = None) -> list[str]:
        command = super().format_kernel_cmd(extra_arguments)
        if sys.platform != "linux":
            return command
        return [sys.executable, "-ISc", _DIE_WITH_PARENT, str(os.getpid()), *command]


class KernelThread:
    """One thread with one event loop, on which everything with the kernel's sockets is done.

    Sockets belong to an event loop. With a thread of their own they work from a script, from a
    test, and in a notebook, whose main thread's loop is busy running the cell that calls.
    """

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._jobs: queue.SimpleQueue[tuple[Future[Any], contextvars.Context, Any]]
        self._jobs = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="warm kernel", daemon=True)
        self._thread.start()

    def submit(self, function: Callable[[], T]) -> Future[T]:
        """Call it on the thread, in the caller's context: ipykernel 7 tells by that which cell
        an output is for."""
        future: Future[T] = Future()
        self._jobs.put((future, contextvars.copy_context(), function))
        return future

    def wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine; to be called on the thread."""
        return self.loop.run_until_complete(coroutine)

    def is_current(self) -> bool:
        return threading.current_thread() is self._thread

    def _work(self) -> None:
        asyncio.set_event_loop(self.loop)
        while True:
            future, context, function = self._jobs.get()
            try:
                future.set_result(context.run(function))
            except BaseException as error:  # whatever it is, the caller gets it
                future.set_exception(error)
            del future, context, function  # they hold the notebook


class WarmKernel:
    """One kernel process with its client. `reused` once it has been through a notebook.

    All coroutines belong on the `KernelThread`; `signal` and `kill` may be called from anywhere.
    """

    def __init__(self, name: str, spec: KernelSpec, extra_arguments: Sequence[str]) -> None:
        self.name, self.extra_arguments, self._spec = name, tuple(extra_arguments), spec
        self.environ = launch_environ(spec)
        self.reused = False
        self._unknown = ""  # why its state could not be noted
        self.language_info: dict[str, Any] = {}
        sweep()
        self._folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self._lock = _locked(self._folder / _LOCK)
        self.manager = _Manager(
            kernel_name=name,
            transport=_transport(self._folder),
            connection_file=str(self._folder / "k.json"),
        )
        self.client: AsyncKernelClient | None = None

    @property
    def pid(self) -> int | None:
        """The process's id while it runs."""
        process = getattr(self.manager.provisioner, "process", None)
        return process.pid if process is not None and process.poll() is None else None

    async def start(self, cwd: str, timeout_s: float) -> None:
        """Start it, and look at it while it is fresh. Raises what the default engine raises."""
        arguments = [*_ARGUMENTS, *self.extra_arguments]
        await self.manager.start_kernel(extra_arguments=arguments, cwd=cwd)
        self.client = self.manager.client()
        self.client.context.RCVHWM = 0  # a cell prints faster than we read: else that is dropped
        self.client.start_channels(hb=False, stdin=False)  # is_alive asks the process
        await self.client.wait_for_ready(timeout=timeout_s)
        self.client.allow_stdin = False
        info = await self.client.kernel_info(reply=True, timeout=timeout_s)
        self.language_info = info["content"]["language_info"]
        sources = {name: Path(__file__).with_name(f"{name}.py").read_text() for name in _SOURCES}
        try:
            await self.ask(_bootstrap(sources, self.environ))
        except ResetError as error:  # a version that we do not know: good for one notebook
            self._unknown = str(error)

    async def begin(self, cwd: str) -> None:
        """Make it what one started now, in this folder, would be. Raises `ResetError`."""
        if not await self.manager.is_alive():
            raise ResetError("it died between two notebooks")
        environ = launch_environ(self._spec)
        changed = [name for name in {*environ, *self.environ} if name.startswith(READ_ONCE)]
        changed = [name for name in changed if environ.get(name) != self.environ.get(name)]
        if changed:
            raise ResetError(f"{sorted(changed)[0]} has changed, which is read at the start only")
        await self.ask(f"{_CALL}.begin({environ!a}, {cwd!a})")

    async def finish(self) -> None:
        """Put back what a notebook changed. Raises `ResetError` if that is not enough."""
        self.reused = True
        if self._unknown:
            raise ResetError(self._unknown)
        reasons = await self.ask(f"{_CALL}.finish()", f"{_CALL}.reasons")
        if reasons:
            raise ResetError(f"the last notebook {'; '.join(reasons)}")

    async def ask(self, code: str, expression: str = "None") -> Any:
        """Run code silently and evaluate an expression, to the last message of it."""
        assert self.client is not None
        message_id = self.client.execute(
            code, silent=True, store_history=False, user_expressions={"answer": expression}
        )
        idle = False
        while not idle:  # first: a kernel that was interrupted gives no reply, and is idle
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
            told = f"{failed.get('ename')}: {failed.get('evalue')}"
            raise ResetError(f"the reset failed: {told}")
        try:
            return ast.literal_eval(answer["data"]["text/plain"])
        except (KeyError, ValueError, SyntaxError) as error:  # a notebook's own formatters
            raise ResetError("the reset's answer cannot be read") from error

    async def _next(self, get: Any, message_id: str, kind: str, most_s: float) -> dict[str, Any]:
        """The content of the next answer of that kind. Raises `ResetError` when none comes."""
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
        """To the kernel and the processes it started, as Jupyter does it."""
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
        """End it and let go of everything: at once, or as Jupyter ends a kernel, which lets
        threads come to an end and runs what was registered for that."""
        with contextlib.suppress(Exception):  # it may be dead; the rest must be done all the same
            if await self.manager.is_alive():
                await self.manager.shutdown_kernel(now=now)
        with contextlib.suppress(Exception):
            await self.manager.cleanup_resources()
        if self.client is not None:
            self.client.stop_channels()
            self.client.context.destroy(linger=0)
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)


def sweep() -> None:
    """Remove the folders of runners that were killed; each held a lock while it lived."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # another's, or another sweeps it
            lock = _locked(folder / _LOCK) if time() - folder.stat().st_mtime > _YOUNG_S else None
            if lock is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(lock)


def _locked(path: Path) -> int | None:
    """A descriptor that holds a lock on a file; None if another process holds it, or on Windows."""
    if sys.platform == "win32":
        return None
    import fcntl

    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


_PACKAGE = "_chatter_nb"  # in the kernel, where the real one may be as well
_CALL = f"__import__('sys').modules['{_PACKAGE}.reset']"

# Variables that a process or a library reads once: after a change only a fresh kernel has it.
READ_ONCE = (
    *("PYTHON", "LD_", "DYLD_", "MALLOC_", "LANG", "LC_", "JUPYTER", "IPYTHON", "JPY_"),
    *("OMP_", "MKL_", "OPENBLAS_", "KMP_", "GOMP_", "NUMEXPR_", "CUDA_", "NVIDIA_", "HIP_"),
    *("PYTORCH_", "TORCH_", "HF_", "HUGGINGFACE_", "TRANSFORMERS_", "XDG_", "MPLCONFIGDIR"),
)


def launch_environ(spec: KernelSpec) -> dict[str, str]:
    """What a kernel started now gets: the process's environment, and the kernel's own settings.

    As `jupyter_client` does it, in `KernelProvisionerBase.pre_launch` and `launch_kernel`.
    """
    environ = dict(os.environ)
    environ |= {k: Template(v).safe_substitute(environ) for k, v in spec.env.items()}
    environ.pop("PYTHONEXECUTABLE", None)
    return environ | ({} if sys.platform == "win32" else {"JPY_PARENT_PID": str(os.getpid())})


def _transport(folder: Path) -> str:
    """Sockets in a folder of our own, which nobody else's runner can meet; ports elsewhere."""
    too_long = len(os.fsencode(folder / "k-ipc-1")) > _SOCKET_PATH_MOST
    return "tcp" if sys.platform == "win32" or too_long else "ipc"


def _bootstrap(sources: Mapping[str, str], environ: Mapping[str, str]) -> str:
    """Code that makes modules of the sources, and lets them look at the kernel."""
    own = {
        n: s.replace("from chatter_nb.batch.warm", f"from {_PACKAGE}") for n, s in sources.items()
    }
    return f"""exec({_BOOTSTRAP!r}, {{
        "sources": {own!a}, "environ": {dict(environ)!a}, "package": {_PACKAGE!r}}})"""


_BOOTSTRAP = """
import sys, types
sys.modules[package] = types.ModuleType(package)
for name, source in sources.items():
    module = sys.modules[f"{package}.{name}"] = types.ModuleType(f"{package}.{name}")
    setattr(sys.modules[package], name, module)
    # Python leaves importlib's frames out of tracebacks, and so those of who looks at imports.
    place = "<frozen importlib._bootstrap>" if name == "reset_imports" else f"<{name}>"
    exec(compile(source, place, "exec", dont_inherit=True), vars(module))
module.snapshot(environ)
"""
