"""The self-test's page: one file without scripts; first what does not hold, then the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, get_args

from chatter_nb.base.wording import minutes
from chatter_nb.bench.harness import as_text
from chatter_nb.bench.selftest.result import Outcome
from chatter_nb.pages.players import asset
from chatter_nb.pages.template import render as render_page

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)


def headline(report: Mapping[str, Any]) -> str:
    """ "1 fails, 10 hold, 4 not run", of the checks so far."""
    numbers = Counter(check["outcome"] for check in report["checks"])
    failed, held, skipped = (numbers[outcome] for outcome in OUTCOMES)
    verdict = f"{failed} fail{'s' if failed == 1 else ''}," if failed else "Nothing fails:"
    return f"{verdict} {held} hold{'s' if held == 1 else ''}, {skipped} not run"


def render(report: Mapping[str, Any]) -> str:
    """The page as HTML, light or dark as the reader's system is."""
    checks: dict[str, list[Any]] = {outcome: [] for outcome in OUTCOMES}
    for check in report["checks"]:
        checks[check["outcome"]].append(check)
    return render_page(
        "selftest.html",
        report=report,
        headline=headline(report),
        checks=checks,
        style=asset("page.css") + asset("selftest.css"),
        as_text=as_text,
        minutes=minutes,
    )
