"""How long the planning of a text may take, and who stops it."""

import pytest

from chatter_nb.base import budget
from chatter_nb.base.errors import Cancelled, InputError
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.outline import outline


def test_a_text_that_takes_too_long_is_refused_with_the_step(monkeypatch):
    """Whatever the step is: here a pattern of the user's own, in a text that is not odd."""
    monkeypatch.setattr(budget, "BASE_S", -1.0)
    params = SpeakParams(text="a b " * 10, regex_replacements={"a": "c"})
    with pytest.raises(InputError, match=r"40 characters took more than .* on the pattern 'a'"):
        outline(params)


def test_time_of_other_threads_and_of_earlier_texts_is_not_counted(monkeypatch):
    monkeypatch.setattr(budget, "BASE_S", -1.0)
    with budget.budget(10):
        monkeypatch.undo()
        with budget.budget(10):
            budget.ask("the text within")
        with pytest.raises(InputError, match="the text itself"):
            budget.ask("the text itself")
    budget.ask("no text at all")


def test_planning_stops_when_it_is_asked_to():
    asked = []
    with budget.stopping(lambda: bool(asked)):
        budget.ask("the first step")
        asked.append(True)
        with pytest.raises(Cancelled, match="while its text was planned"):
            budget.ask("the second")
    budget.ask("another text")
