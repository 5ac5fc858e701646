"""What happens with a result on the command line: copied, played, opened, its address printed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from chatter_nb.base.disk import copy_whole
from chatter_nb.base.errors import InputError
from chatter_nb.base.formats import OUTPUT_FORMATS, output_format_of, play_rank
from chatter_nb.base.project import project_root
from chatter_nb.base.screen import open_in_browser

if TYPE_CHECKING:
    from chatter_nb.runs.speech import Speech

# Commands that play a file, the most able first, each with the formats that it knows.
_PLAYERS = {
    "mpv": ("--no-video --really-quiet", "wav flac mp3 opus m4b"),
    "ffplay": ("-nodisp -autoexit -loglevel error", "wav flac mp3 opus m4b"),
    "afplay": ("", "wav flac mp3 m4b"),  # of macOS
    "paplay": ("", "wav flac opus"),
    "aplay": ("-q", "wav"),
}


@dataclass(frozen=True)
class Delivery:
    """Where a result goes besides its folder, and whether it is played and opened.

    `out` is a file, whose suffix sets the format, or a folder for the run's folder.
    """

    out: str = ""
    play: bool = False
    open_page: bool = False

    @property
    def _file(self) -> Path | None:
        """The file that `out` names; None for a folder, and for nothing."""
        is_folder = self.out.endswith(("/", os.sep)) or Path(self.out).is_dir()
        return None if is_folder else Path(self.out)

    def params(self) -> dict[str, str]:
        """The parameters that `out` sets. Raises `InputError` for a file that cannot be made."""
        if not self.out:
            return {}
        if self._file is None:
            is_project = Path.cwd() == project_root()
            return {"outputs_dir": str(Path(self.out) if is_project else Path.cwd() / self.out)}
        row = output_format_of(self.out.lower())
        if row is None:
            known = " ".join(row.suffix for row in OUTPUT_FORMATS.values())
            raise InputError(
                f"--out {self.out} must end in one of {known}, or in / if it is a folder"
            )
        if not self._file.absolute().parent.is_dir():
            raise InputError(f"--out {self.out}: there is no folder {self._file.parent}")
        return {"formats": row.name}

    def check(self, plan: Any) -> None:
        """Raise `InputError` if a plan makes several files and `out` is one."""
        if self._file and len(plan.outputs) > 1:
            raise InputError(
                f"this makes {len(plan.outputs)} files: give --out a folder, with a / at its end"
            )

    def deliver(self, speech: Speech, *, quiet: bool = False) -> None:
        """Copy, play and open the result of a run; unless `quiet`, print its address first."""
        from chatter_nb.pages.review import write_checked_review
        from chatter_nb.pages.run_players import files_of
        from chatter_nb.runs.speech import doubtful_chunks

        # Of each output the file that the most players play.
        paths = [min(files_of(speech, each), key=play_rank) for each in speech.record.outputs]
        if self._file:
            copy_whole(paths[0], self._file)
            paths = [self._file]
        if not quiet:
            typer.echo(f"listen: {address(paths[0] if len(paths) == 1 else speech.folder)}")
        review = write_checked_review(speech)
        if review and not quiet and doubtful_chunks(speech.record):
            typer.echo(f"review: {address(review)}")
        if self.play:
            for path in paths:
                play(path)
        if self.open_page:
            from chatter_nb.pages.run_page import write_page

            page = write_page(speech.folder)
            typer.echo(f"page: {address(page)}", err=quiet)
            open_in_browser(page.absolute().as_uri())


def address(path: Path) -> str:
    """A file's address, which terminals make clickable; as a link with a short name where shown."""
    path = path.absolute()
    if not sys.stdout.isatty():
        return path.as_uri()
    short = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return f"\033]8;;{path.as_uri()}\033\\{short}\033]8;;\033\\"


def play(path: Path) -> None:
    """Play a file with a player of this system, to its end; say so if there is none."""
    if sys.platform == "win32":
        os.startfile(path)
        return
    for name, (options, formats) in _PLAYERS.items():
        if path.suffix[1:].lower() in formats.split() and (command := shutil.which(name)):
            try:
                done = subprocess.run([command, *options.split(), str(path.absolute())])
            except KeyboardInterrupt:  # heard enough: the run itself is done
                return
            if done.returncode:
                typer.echo(f"{name} could not play {path}", err=True)
            return
    typer.echo(f"no player for {path.name} is here ({', '.join(_PLAYERS)})", err=True)
