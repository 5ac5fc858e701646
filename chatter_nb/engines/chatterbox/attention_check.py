"""Checks the multilingual model's progress through the text, for many rows at once.

The rules are those of upstream 0.1.7's `AlignmentStreamAnalyzer`: it watches three attention heads
that follow the text, forbids the end before the text has been said, and forces the end when the
speech goes back, stays, or stutters. Here the state is running sums on the device, for each row.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

# Layer and head; upstream's LLAMA_ALIGNED_HEADS.
HEADS = {12: 15, 13: 11, 9: 2}
NEVER = -(2.0**15)
SURELY = 2.0**15
_LAST = 3  # text tokens that count as the end of the text
_BACK = 5  # text tokens from the end before which attention means going back
_TOO_MUCH = 5.0  # of attention after the text is complete: 200 ms


class Alignment:
    """State of `rows` chunks; `text_start` is where the text begins in their sequences."""

    def __init__(
        self, rows: int, text_start: int, stop_token: int, vocabulary: int, device: torch.device
    ) -> None:
        self._text_start, self._stop = text_start, stop_token
        self._is_end = [torch.arange(vocabulary, device=device) == stop_token]  # no row's state

        def zeros(*shape: int, dtype: torch.dtype = torch.long) -> Tensor:
            return torch.zeros(rows, *shape, device=device, dtype=dtype)

        self.text_length = zeros()  # start and stop included
        self.at = zeros()  # in the text
        self.complete = zeros(dtype=torch.bool)
        self._lingering = zeros(_LAST, dtype=torch.float32)
        self._going_back = zeros(dtype=torch.float32)
        self._last = zeros(2)  # the two latest tokens
        self._count = zeros()  # of tokens so far
        self.stuttered = zeros(dtype=torch.bool)
        self._over = zeros(dtype=torch.bool)  # what comes after the end changes nothing
        self._attention: dict[int, Tensor] = {}

    def state(self) -> list[Tensor]:
        """The tensors that hold the state of rows; their first dimension is the row."""
        return [value for value in vars(self).values() if isinstance(value, Tensor)]

    def begin(self, row: int, text_length: int) -> None:
        for value in self.state():
            value[row : row + 1] = 0
        self.text_length[row : row + 1] = text_length

    def watch(self, layer: int, weights: Callable[[int], Tensor]) -> None:
        """Store the attention of one step: `weights(head)`, shape (rows, the longest length)."""
        if layer in HEADS:
            self._attention[layer] = weights(HEADS[layer])

    def forget(self) -> None:
        """Drop the attention, which may lie in the memory of a captured graph."""
        self._attention = {}

    def checked(self, logits: Tensor, rows: slice, *, first: bool = False) -> Tensor:
        """The logits (rows, vocabulary), with the end forbidden or forced by the rules.

        `first`: before the first token, when nothing has been watched.
        """
        length, count = self.text_length[rows], self._count[rows]
        if first:
            now = torch.zeros_like(length)
            behind = torch.zeros_like(length, dtype=torch.bool)
        else:
            now, behind = self._progress(rows, length, count)
        stuttered = (count >= 2) & (self._last[rows, 0] == self._last[rows, 1])
        self._keep(self.stuttered, rows, stuttered)
        early = (now < length - _LAST) & (length > 5)
        (end,) = self._is_end
        forced = (behind | stuttered)[:, None]
        logits = logits.masked_fill(end & early[:, None], NEVER).masked_fill(forced, NEVER)
        return logits.masked_fill(end & forced, SURELY)

    def record_drawn(self, tokens: Tensor, rows: slice) -> None:
        """Take the tokens that were drawn, shape (rows,)."""
        self._last[rows] = torch.stack([tokens, self._last[rows, 0]], dim=1)
        self._count[rows] += 1
        self._over[rows] |= tokens == self._stop

    def _progress(self, rows: slice, length: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
        """The step's place in the text; whether the speech stays at the end or has gone back."""
        text = self._text_attention(length, count)
        now = text.argmax(dim=-1)
        step = now - self.at[rows]
        self._keep(self.at, rows, torch.where((step > -4) & (step < 7), now, self.at[rows]))
        was_complete = self.complete[rows].clone()
        self._keep(self.complete, rows, was_complete | (self.at[rows] >= length - _LAST))
        self._sum_up(rows, text.clamp(min=0), length, was_complete)
        lingers = self._lingering[rows].amax(dim=-1) >= _TOO_MUCH
        return now, self.complete[rows] & (lingers | (self._going_back[rows] > _TOO_MUCH))

    def _text_attention(self, length: Tensor, count: Tensor) -> Tensor:
        """Attention to each text token; 0 where upstream blanks it, -1 beyond the text."""
        total = torch.stack([self._attention[layer] for layer in HEADS]).mean(dim=0)
        text = total[:, self._text_start :]
        number = torch.arange(text.shape[1], device=text.device)
        text = text.masked_fill(number > count[:, None], 0)
        return text.masked_fill(number >= length[:, None], -1)

    def _sum_up(self, rows: slice, text: Tensor, length: Tensor, counts: Tensor) -> None:
        number = torch.arange(text.shape[1], device=text.device)
        last = (length[:, None] - torch.arange(_LAST, 0, -1, device=text.device)).clamp(min=0)
        self._lingering[rows] += text.gather(1, last) * counts[:, None]
        before = text.masked_fill(number >= (length - _BACK)[:, None], 0).amax(dim=-1)
        self._going_back[rows] += before * counts

    def _keep(self, state: Tensor, rows: slice, new: Tensor) -> None:
        state[rows] = torch.where(self._over[rows], state[rows], new)

    def cut_short(self, row: int) -> bool:
        """Whether a repeated token forced the end before the text was complete."""
        return bool(self.stuttered[row]) and not bool(self.complete[row])

    def share(self, row: int) -> float:
        """The share of its text that a row has said, 0 to 1."""
        return float(self.at[row]) / max(1, int(self.text_length[row]))
