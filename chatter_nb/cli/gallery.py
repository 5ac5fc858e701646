"""`gallery`: a page over all runs of a folder, to listen, to mark, to compare."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from chatter_nb.base.project import find_path
from chatter_nb.base.screen import open_in_browser
from chatter_nb.cli.delivery import address


def gallery(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="A folder of runs.")] = "outputs",
    open_page: Annotated[
        bool, typer.Option("--open", help="Open it, and write what is chosen to choices.json.")
    ] = False,
    embed: Annotated[
        bool, typer.Option("--embed", help="One file to send, with the audio inside.")
    ] = False,
) -> None:
    """Write DIR/index.html over all runs of a folder, and the page of each finished run.

    With --open it is served on this machine alone until Ctrl-C; stars, notes, "keep" and "compare"
    go into DIR/choices.json, which 05_compare reads.
    """
    from chatter_nb.pages.gallery.page import write_gallery
    from chatter_nb.pages.run_page import write_pages

    path = find_path(folder).resolve()
    if not embed and path.is_dir():
        write_pages(path, lambda problem: typer.echo(f"note: {problem}", err=True))
    page = write_gallery(path, embed=embed)
    size = f" ({page.stat().st_size / 1e6:.1f} MB, to send)" if embed else ""
    typer.echo(f"{address(page)}{size}")
    if open_page and embed:
        open_in_browser(page.as_uri())
    elif open_page:
        _serve(path)


def _serve(folder: Path) -> None:
    from chatter_nb.pages.gallery.server import GalleryServer

    with GalleryServer(folder) as server:
        typer.echo(f"{server.url} until Ctrl-C; choices go into {folder / 'choices.json'}")
        # In a thread: a browser of the terminal returns when it is left, and asks the server first.
        threading.Thread(target=open_in_browser, args=[server.url], daemon=True).start()
        with suppress(KeyboardInterrupt):
            server.serve_forever()
