"""The widgets of the blind test: a pair, three buttons, and at the end the counts for each run.

They work on ipywidgets 7.7 and 8. A headless run shows a sentence instead.
"""

from __future__ import annotations

import html
from time import monotonic
from typing import Any

from chatter_nb.base.errors import ChatterError
from chatter_nb.base.wording import count
from chatter_nb.notebook.compare.compared import CompareParams, Comparison
from chatter_nb.notebook.compare.preferences import Preferences, Trial, matched
from chatter_nb.pages.players import audio_player, data_url, encoded, note, page

_NOTHING = "no chunk of the same text sounds different in two of these runs"
LISTEN_S = 1.0  # a click sooner after a pair appears does not count; less for shorter pairs
_STORM_S = 0.3  # clicks within this time, as of a key held down, count once


def blind_test(comparison: Comparison, params: CompareParams) -> Any:
    """Return the form if `blind` and `interactive` are set, else a page with the results so far."""
    try:
        preferences = Preferences(comparison, params)
    except ChatterError as error:
        return note(str(error))
    if params.blind and params.interactive:
        return BlindForm(preferences).box
    pairs = count(len(preferences.trials), "pair")
    lines = [
        f"Set blind = True, and run this notebook by hand, to hear {pairs} without knowing which "
        "run is which.",
        *(f"Heard so far: {verdict}." for verdict in preferences.verdicts()),
    ]
    return page(*(f"<p>{html.escape(line)}</p>" for line in lines))


class BlindForm:
    """Asks about each pair and writes each answer at once. `box` is the widget to show."""

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
    def content(self) -> str:
        """All that the form shows, as HTML."""
        return "\n".join(part.value for part in (self._progress, self._page, self._notice))

    def _ask(self) -> None:
        """Show the next pair, or the result."""
        waiting = self._preferences.waiting
        if not waiting:
            self._reveal()
            return
        total = len(self._preferences.trials)
        self._progress.value = (
            f"<b>Pair {total - len(waiting) + 1} of {total}</b>: which one sounds better? "
            "<small>Both are equally loud here: the louder one is lowered.</small>"
        )
        try:
            self._page.value = _players(waiting[0])
        except (ChatterError, OSError, RuntimeError) as error:  # the audio is gone or damaged
            self._stop(f"this pair cannot be played: {error}; run the comparison again")
            return
        self._trial, self._asked_s = waiting[0], monotonic()

    def _clicked(self, number: int) -> None:
        """Record an answer, unless the click came before the pair can have been heard."""
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
        """Show which run was preferred, and how often."""
        verdicts = self._preferences.verdicts()
        heard = count(len(self._preferences.answers), "pair")
        self._progress.value = f"<b>{heard} heard</b>"
        self._page.value = "".join(
            f"<p>{html.escape(line)}.</p>" for line in verdicts or [_NOTHING]
        )
        self._stop(f"The answers are in {self._preferences.path}" if verdicts else "")

    def _stop(self, message: str) -> None:
        self._trial = None
        for button in self.buttons:
            button.disabled = True
        self._row.layout.display = "none"  # nothing is left to answer
        self._notice.value = f"<small>{html.escape(message)}</small>"


def _shortest_s(trial: Trial) -> float:
    """Return how long (s) a pair must be shown before an answer to it counts."""
    lengths_s = (side.piece.acoustics.audio_s for side in (trial.first, trial.second))
    return min(LISTEN_S, *lengths_s)


def _players(trial: Trial) -> str:
    """Return two plain players that do not show which run their audio comes from.

    Each name stands above its player: a name between two players could belong to either.
    """
    players = []
    for name, (signal, rate_hz) in zip(("First", "Second"), matched(trial), strict=True):
        urls = [data_url(encoded(signal, rate_hz, "FLAC"), "audio/flac")]
        players.append(f"<b>{name}</b>{audio_player(urls, 'audio/flac', name, labelled=False)}")
    return "".join(players)
