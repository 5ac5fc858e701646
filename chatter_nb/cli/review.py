"""`review`: a run as a page to hear, mark and edit its lines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chatter_nb.base.screen import open_in_browser
from chatter_nb.cli.delivery import address


def review(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")],
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Write a run's review.html: hear its lines, mark them, edit their words, without a server."""
    from chatter_nb.base.project import find_path
    from chatter_nb.pages.review import write_review
    from chatter_nb.runs.speech import load_speech

    page = write_review(load_speech(find_path(run))).resolve()
    typer.echo(address(page))
    if open_page:
        open_in_browser(page.as_uri())
