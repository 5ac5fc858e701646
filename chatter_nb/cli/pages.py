"""The pages of finished runs: `review`, `page` and `gallery`; `revise` takes a review back."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from chatter_nb.base.disk import write_whole
from chatter_nb.base.errors import InputError
from chatter_nb.base.project import find_path
from chatter_nb.base.screen import open_in_browser
from chatter_nb.base.wording import count
from chatter_nb.cli.delivery import address
from chatter_nb.cli.options import JsonOption, bar_of

if TYPE_CHECKING:
    from chatter_nb.runs.speech import Speech

RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a finished run.")]
OpenOption = Annotated[bool, typer.Option("--open", help="Open it where a screen is.")]


def review(run: RunArgument, open_page: OpenOption = False) -> None:
    """Write a run's review.html: hear its lines, mark them, edit their words, without a server."""
    from chatter_nb.pages.review import write_review
    from chatter_nb.runs.speech import load_speech

    _show(write_review(load_speech(find_path(run))).resolve(), open_page)


def page(run: RunArgument, open_page: OpenOption = False) -> None:
    """Write RUN/page.html: what the checks found, the audio, its text, what is in doubt."""
    from chatter_nb.pages.run_page import write_page

    _show(write_page(find_path(run).resolve()), open_page)


def _show(page: Path, open_page: bool) -> None:
    typer.echo(address(page))
    if open_page:
        open_in_browser(page.as_uri())


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
    from chatter_nb.runs.folder import RECORD

    path = find_path(folder).resolve()
    if (path / RECORD).is_file():
        cure = f"its page: chatter-nb page {quote(folder)}; a gallery is made of the folder above"
        raise InputError(f"{folder} is one run; {cure}")
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


def revise(
    run: RunArgument,
    review: Annotated[
        Path | None, typer.Argument(metavar="[REVIEW]", help="A review.json, or an edits.json.")
    ] = None,
    pickups: Annotated[
        Path | None, typer.Option(help="Write the lines to look at as CSV, for a spreadsheet.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Write them as labels for Audacity; one file an output.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Apply a review to a run: only lines with other words, or another take, are made anew.

    The edits are added to edits.json in the folder of the run, and its files are rebuilt.
    """
    from chatter_nb.runs.revise import load_revisable, pickups_csv
    from chatter_nb.runs.revise import pickups as lines_of

    if review is None and pickups is None and labels is None:
        raise InputError(f"give a review, such as: chatter-nb revise {run} review.json")
    speech = load_revisable(find_path(run))
    if review is not None:
        speech = _revised(speech, review, as_json=as_json)
    if pickups is not None:  # with the mark by which a spreadsheet knows UTF-8
        write_whole(pickups, pickups_csv(speech).encode("utf-8-sig"))
        typer.echo(f"{pickups}: {count(len(lines_of(speech)), 'line')} to look at", err=True)
    if labels is not None:
        _write_labels(speech, labels)
    if as_json:
        typer.echo(speech.record.model_dump_json(by_alias=True))


def _revised(speech: Speech, review: Path, *, as_json: bool) -> Speech:
    from chatter_nb.pages.review import write_checked_review
    from chatter_nb.runs.revise import revise

    speech = revise(speech.folder, review, bar_of(len(speech.record.chunks), as_json=as_json))
    for warning in speech.record.warnings:
        typer.echo(f"note: {warning}", err=True)
    if not as_json:
        typer.echo(str(speech))
    write_checked_review(speech)
    return speech


def _write_labels(speech: Speech, path: Path) -> None:
    from chatter_nb.runs.revise import audacity_labels

    outputs = [output.name for output in speech.record.outputs]
    for name in outputs:  # times start with each output
        own = path if len(outputs) == 1 else path.with_name(f"{path.stem}-{name}{path.suffix}")
        write_whole(own, audacity_labels(speech, name).encode())
