"""Captured CUDA graphs: a step of a thousand small kernels, started by one call.

Not run where there is no CUDA; the steps that are captured are the ones a CPU runs as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import torch
from torch import Tensor


class Graphs:
    """Graphs by what differs between them. `state` is all that a step changes but the cache.

    A cache is written at positions that the step itself fills again.
    """

    def __init__(self, state: Sequence[Tensor]) -> None:
        self._state = state
        self._captured: dict[Hashable, torch.cuda.CUDAGraph] = {}

    def get(self, key: Hashable, step: Callable[[], object]) -> Callable[[], None]:
        """What runs `step`, captured when its key is first asked for."""
        if key not in self._captured:
            self._captured[key] = self._capture(step)
        return self._captured[key].replay

    def forget(self) -> None:
        """The tensors that the graphs read have moved."""
        self._captured.clear()

    def _capture(self, step: Callable[[], object]) -> torch.cuda.CUDAGraph:
        """A warm-up on a stream of its own, as PyTorch asks for, then the capture."""
        before = [tensor.clone() for tensor in self._state]
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            step()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            step()
        for tensor, old in zip(self._state, before, strict=True):
            tensor.copy_(old)
        return graph
