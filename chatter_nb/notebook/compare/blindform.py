"""The blind test under a person's hands: a pair, three buttons, and at the end who was who.

Works on ipywidgets 7.7 and 8. In a headless run it is a sentence.
"""

from __future__ import annotations

import html
from time import monotonic
from typing import Any

from chatter_nb.base.errors import ChatterError
from chatter_nb.base.wording import count
from chatter_nb.notebook.compare.compared import Comparison
from chatter_nb.notebook.compare.pages import flac
from chatter_nb.notebook.compare.params import CompareParams
from chatter_nb.notebook.compare.preferences import Preferences, Trial, matched
from chatter_nb.notebook.players import audio_player, data_url

_NOTHING = "no chunk of the same text sounds different in two of these runs"
LISTEN_S = 1.0  # sooner after a pair has come, nobody has heard it; less for shorter pairs
_STORM_S = 0.3  # a second click, or a key that repeats, within this long is the same click


def blind_test(comparison: Comparison, params: CompareParams) -> Any:
    """The form if `blind` is set and a person is there, else a line that says what is known."""
    from IPython.display import HTML

    try:
        preferences = Preferences(comparison, params)
    except ChatterError as error:
        return HTML(f"<p>{html.escape(str(error))}</p>")
    if params.blind and params.interactive:
        return BlindForm(preferences).box
    pairs = count(len(preferences.trials), "pair")
    told = [
        f"Set blind = True, and run this notebook by hand, to hear {pairs} without knowing which "
        "run is which.",
        *(f"Heard so far: {verdict}." for verdict in preferences.verdicts()),
    ]
    return HTML("".join(f"<p>{html.escape(line)}</p>" for line in told))


class BlindForm:
    """Asks for one pair after the other and records each answer at once. `box` is the widget."""

    def __init__(self, preferences: Preferences) -> None:
        import ipywidgets as widgets

        self._preferences = preferences
        self._trial: Trial | None = None
        self._clicked_s = self._asked_s = -_STORM_S
        self._progress, self._page, self._notice = (widgets.HTML() for _ in range(3))
        layout = widgets.Layout(width="auto", min_width="8em")
        self.buttons = tuple(
            widgets.Button(description=text, tooltip=tip, layout=layout)
            for text, tip in (
                ("First", "the first one sounds better"),
                ("Second", "the second one sounds better"),
                ("No difference", "neither sounds better"),
            )
        )
        for number, button in enumerate(self.buttons):
            button.on_click(lambda _, number=number: self._clicked(number))
        self._row = widgets.HBox(self.buttons, layout=widgets.Layout(flex_flow="row wrap"))
        self.box = widgets.VBox([self._progress, self._page, self._row, self._notice])
        self._ask()

    @property
    def told(self) -> str:
        """All that the form says, as HTML."""
        return "\n".join(part.value for part in (self._progress, self._page, self._notice))

    def _ask(self) -> None:
        """Show the next pair, or the result."""
        waiting = self._preferences.waiting
        if not waiting:
            return self._reveal()
        total = len(self._preferences.trials)
        self._progress.value = (
            f"<b>Pair {total - len(waiting) + 1} of {total}</b>: which one sounds better? "
            "<small>Both are equally loud here: the louder one is lowered.</small>"
        )
        try:
            self._page.value = _players(waiting[0])
        except (ChatterError, OSError, RuntimeError) as error:  # its audio is gone, or damaged
            self._stop(f"this pair cannot be played: {error}; run the comparison again")
            return None
        self._trial, self._asked_s = waiting[0], monotonic()
        return None

    def _clicked(self, number: int) -> None:
        """Answer, unless nobody can have heard the pair that this click is taken for."""
        now_s = monotonic()
        storm = now_s - self._clicked_s < _STORM_S
        self._clicked_s = now_s
        if self._trial is None or storm:
            return
        if now_s - self._asked_s < _shortest_s(self._trial):
            self._notice.value = "<p>Not counted: listen to this pair first.</p>"
            return
        self._answer(self._trial, number)

    def _answer(self, trial: Trial, number: int) -> None:
        try:
            self._preferences.record(trial, (trial.first, trial.second, None)[number])
        except ChatterError as error:
            self._notice.value = f"<p>Not recorded: {html.escape(str(error))}</p>"
            return
        self._notice.value = ""
        self._ask()

    def _reveal(self) -> None:
        """Who was who: the counts, and what they are worth."""
        verdicts = self._preferences.verdicts()
        told = verdicts or [_NOTHING]
        heard = count(len(self._preferences.answers), "pair")
        self._progress.value = f"<b>{heard} heard</b>"
        self._page.value = "".join(f"<p>{html.escape(line)}.</p>" for line in told)
        self._stop(f"The answers are in {self._preferences.path}" if verdicts else "")

    def _stop(self, told: str) -> None:
        self._trial = None
        for button in self.buttons:
            button.disabled = True
        self._row.layout.display = "none"  # nothing is left to answer
        self._notice.value = f"<small>{html.escape(told)}</small>"


def _shortest_s(trial: Trial) -> float:
    """How long a pair must at least have been there before it can be answered."""
    lengths_s = (side.piece.acoustics.audio_s for side in (trial.first, trial.second))
    return min(LISTEN_S, *lengths_s)


def _players(trial: Trial) -> str:
    """Two plain players, that tell nothing of where the audio comes from.

    Each below its name: one that follows the first player reads as the second one's.
    """
    pages = []
    for name, (signal, rate_hz) in zip(("First", "Second"), matched(trial), strict=True):
        urls = [data_url(flac(signal, rate_hz), "audio/flac")]
        pages.append(f"<b>{name}</b>{audio_player(urls, 'audio/flac', name, told=False)}")
    return "".join(pages)
