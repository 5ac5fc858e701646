"""How steps of decoding are run: each as it is, or as a captured CUDA graph started by one call.

A step is a thousand small kernels; on a GPU it takes longer to start them than to run them. What is
captured is what a CPU runs as it is. No CUDA machine has run the captured way yet.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

Step: TypeAlias = Callable[[], object]


class Direct:
    """Steps as they are. `state` is all that a step changes, but for a cache.

    A cache is written at positions that the step itself fills again.
    """

    def __init__(self, state: Sequence[Tensor], told: Callable[[str], object]) -> None:
        self._state, self.told = state, told

    def rows(self, count: int, most: int) -> int:
        """How many rows to step, of which `count` are wanted."""
        return count

    def get(self, key: Hashable, step: Step) -> Step:
        """What runs `step`; steps of one key differ in nothing but the values in their tensors."""
        return step

    def forget(self) -> None:
        """The tensors that steps read have moved."""


class Captured(Direct):
    """A graph for each key, captured when it is first asked for; all share one pool of memory."""

    def __init__(self, state: Sequence[Tensor], told: Callable[[str], object]) -> None:
        super().__init__(state, told)
        self._device = state[0].device
        self._graphs: dict[Hashable, torch.cuda.CUDAGraph] = {}
        self._pool = torch.cuda.graph_pool_handle()
        self._works = True

    def rows(self, count: int, most: int) -> int:
        """A power of two, so that there are few graphs."""
        return min(most, 1 << (count - 1).bit_length())

    def get(self, key: Hashable, step: Step) -> Step:
        if self._works and key not in self._graphs:
            self._try(key, step)
        return self._graphs[key].replay if self._works else step

    def forget(self) -> None:
        self._graphs.clear()

    def _try(self, key: Hashable, step: Step) -> None:
        before = [tensor.clone() for tensor in self._state]
        try:
            self._graphs[key] = self._capture(step)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            self._works = False
            reason = str(error).splitlines()[0]
            self.told(f"CUDA graphs cannot be captured here ({reason}): went on without, slower")
        finally:
            for tensor, old in zip(self._state, before, strict=True):
                tensor.copy_(old)

    def _capture(self, step: Step) -> torch.cuda.CUDAGraph:
        """A warm-up on a stream of its own, as PyTorch asks for, then the capture."""
        with torch.cuda.device(self._device):
            stream = torch.cuda.Stream()
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
    """`block`: steps between two looks at the tokens, which wait for the device. `span`: how finely
    the length that is attended to follows the rows'; `room`: by how much the cache grows.
    `keeps`: the rows of one call, idle and with their cache, for the next.
    """

    block: int
    span: int
    room: int
    runs: type[Direct]
    keeps: bool = False


def pace_of(device: torch.device) -> Pace:
    """On CUDA few graphs, and a cache that seldom moves, for that captures all of them anew."""
    if device.type == "cuda":
        return Pace(block=8, span=256, room=768, runs=Captured, keeps=True)
    return Pace(block=1, span=32, room=128, runs=Direct)
