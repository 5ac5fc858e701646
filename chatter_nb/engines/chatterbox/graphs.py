"""How steps of decoding are run: directly, or as a captured CUDA graph that a single call starts.

A step is a thousand small kernels; a GPU takes longer to start them than to run them. The captured
steps are those that a CPU runs directly. No CUDA machine has run a captured step yet.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

Step: TypeAlias = Callable[[], object]


class Direct:
    """Runs steps directly. `state` holds all tensors that a step changes, except the cache.

    A step writes the cache at positions that it would fill again when repeated.
    """

    def __init__(self, state: Sequence[Tensor], on_note: Callable[[str], object]) -> None:
        self._state, self.on_note = state, on_note

    def rows(self, count: int, most: int) -> int:
        """How many rows to step, at least the `count` that are needed and at most `most`."""
        return count

    def get(self, key: Hashable, step: Step) -> Step:
        """A call that runs `step`; steps of the same key differ only in the values of tensors."""
        return step

    def forget(self) -> None:
        """Call it when the tensors that steps read have moved."""


class Captured(Direct):
    """Captures a graph for each key at its first use; all graphs share a pool of memory."""

    def __init__(self, state: Sequence[Tensor], on_note: Callable[[str], object]) -> None:
        super().__init__(state, on_note)
        self._device = state[0].device
        self._graphs: dict[Hashable, torch.cuda.CUDAGraph] = {}
        self._pool = torch.cuda.graph_pool_handle()
        # A single one: cuBLAS keeps megabytes of workspace for every stream that it has seen.
        self._stream = torch.cuda.Stream(self._device)
        self._works = True

    def rows(self, count: int, most: int) -> int:
        """A power of two, to need few graphs."""
        return min(most, 1 << (count - 1).bit_length())

    def get(self, key: Hashable, step: Step) -> Step:
        if self._works and key not in self._graphs:
            self._try(key, step)
        return self._graphs[key].replay if self._works else step

    def forget(self) -> None:
        self._graphs.clear()
        self._pool = torch.cuda.graph_pool_handle()  # nothing may be captured into a dead pool

    def _try(self, key: Hashable, step: Step) -> None:
        before = [tensor.clone() for tensor in self._state]
        try:
            self._graphs[key] = self._capture(step)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            self._works = False
            reason = str(error).splitlines()[0]
            self.on_note(
                f"CUDA graphs cannot be captured here ({reason}): went on without, slower; if "
                "torch.randn of your own fails on the GPU after this, start the process anew"
            )
        finally:
            for tensor, old in zip(self._state, before, strict=True):
                tensor.copy_(old)

    def _capture(self, step: Step) -> torch.cuda.CUDAGraph:
        """Warm up on a separate stream, as PyTorch asks for, then capture."""
        with torch.cuda.device(self._device):
            stream = self._stream
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                step()
            torch.cuda.current_stream().wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            # thread_local: other threads may allocate meanwhile.
            with torch.cuda.graph(
                graph, pool=self._pool, stream=stream, capture_error_mode="thread_local"
            ):
                step()
        return graph


@dataclass(frozen=True)
class Pace:
    """How steps follow each other on a device.

    `block`: steps until the host waits for the tokens. `span`: the length that is attended to is a
    multiple of it. `room`: a cache grows by a multiple of it. `shared`: rows have a common cache
    and are padded to the same length. `keeps`: the rows of a call are kept for the next call.
    """

    block: int
    span: int
    room: int
    runs: type[Direct]
    shared: bool = True
    keeps: bool = False


def pace_of(device: torch.device) -> Pace:
    """The pace for a device; on CUDA few graphs, and a cache that seldom moves (graphs need it).

    With 1024 positions it has room for a long chunk from the start: growing needs both sizes.
    """
    if device.type == "cuda":
        return Pace(block=8, span=256, room=1024, runs=Captured, keeps=True)
    return Pace(block=1, span=32, room=128, runs=Direct, shared=device.type != "cpu")
