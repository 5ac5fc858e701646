"""`page`: a run as one HTML file, to hand to a reviewer."""

from __future__ import annotations

import webbrowser
from typing import Annotated

import typer

from chatter_nb.base.project import find_path


def page(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The folder of a finished run.")],
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Write RUN/page.html: what the checks found, the audio, its text, what is in doubt."""
    from chatter_nb.pages.run_page import write_page

    address = write_page(find_path(run).resolve()).as_uri()
    typer.echo(address)
    if open_page:
        webbrowser.open(address)
