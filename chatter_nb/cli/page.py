"""`page`: a run as one HTML file, to hand to a reviewer."""

from __future__ import annotations

from typing import Annotated

import typer

from chatter_nb.base.project import find_path
from chatter_nb.base.screen import open_in_browser
from chatter_nb.cli.delivery import address


def page(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The folder of a finished run.")],
    open_page: Annotated[bool, typer.Option("--open", help="Open it where a screen is.")] = False,
) -> None:
    """Write RUN/page.html: what the checks found, the audio, its text, what is in doubt."""
    from chatter_nb.pages.run_page import write_page

    path = write_page(find_path(run).resolve())
    typer.echo(address(path))
    if open_page:
        open_in_browser(path.as_uri())
