"""What `speak` and `convert` are given without a name: a text, a file, standard input."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from chatter_nb.base.disk import is_folder, is_there
from chatter_nb.base.errors import InputError, shorten, shown
from chatter_nb.base.formats import RECORDING_SUFFIXES
from chatter_nb.base.project import project_root

STDIN = "-"
_PARAMETER_SUFFIXES = (".yaml", ".yml", ".json")


def text_source(words: Sequence[str]) -> dict[str, str]:
    """The parameters that name the text of `speak WORDS`: `text` or `text_file`, the other empty.

    `-` is standard input; the name of a file or folder is that; else the words are the text. What
    looks like a file that is not there is refused, never read aloud: what ends in a suffix that
    files have, or is a path (see `looks_like_a_file`: "and/or" alone is refused, in a sentence it
    is text). Raises `InputError` with the cure.
    """
    if len(words) > 1:
        example = shorten(" ".join(words), 60)
        raise InputError(f'put the text in quotes: chatter-nb speak "{example}"')
    if not words:
        return {}
    (text,) = words
    if text == STDIN:
        return {"text": _standard_input(), "text_file": ""}
    if is_there(Path(text)) or is_there(project_root() / text):
        if text.lower().endswith(_PARAMETER_SUFFIXES):
            raise InputError(f"{text} holds parameters, not a text: chatter-nb speak -f {text}")
        if text.lower().endswith(RECORDING_SUFFIXES):
            raise InputError(f"{shown(text)} is a recording, not a text: see chatter-nb convert")
        return {"text_file": from_here(text), "text": ""}
    if looks_like_a_file(text):
        raise InputError(
            f"there is no file {shown(text)}; to speak these letters themselves: "
            'chatter-nb speak -p text="…"'
        )
    return {"text": text, "text_file": ""}


def recording_source(words: Sequence[str]) -> dict[str, str]:
    """The parameter that names the recording of `convert WORDS`. Raises `InputError`."""
    if len(words) > 1:
        raise InputError(
            f"{len(words)} recordings are given: give one, or a folder of them; a path with spaces "
            "needs quotes"
        )
    return {"source": from_here(words[0])} if words else {}


def from_here(path: str) -> str:
    """A path of the command line as parameters take it: relative paths there start at the project.

    What is not in the working directory stays as it is, and so does a voice's name.
    """
    here = Path.cwd()
    is_here = bool(path) and is_there(here / path)
    return str(here / path) if is_here and here != project_root() else path


def voice_source(voice: str) -> str:
    """A voice as parameters take it: the path of a recording that is here, or the name."""
    return from_here(voice) if Path(voice).is_file() else voice


def looks_like_a_file(text: str) -> bool:
    """Whether words of the command line name a file: by a suffix, or as a path.

    Of words with spaces and a separator ("his/her turn") only those whose folder is there.
    """
    from chatter_nb.text.files import OTHER_SUFFIXES, SUFFIXES

    suffixes = (*SUFFIXES, *OTHER_SUFFIXES, *RECORDING_SUFFIXES, *_PARAMETER_SUFFIXES)
    folder, separator, _ = text.replace(os.sep, "/").rpartition("/")
    is_path = separator and (len(text.split()) == 1 or not folder or is_folder(Path(folder)))
    return bool(is_path) or text.lower().endswith(suffixes)


def _standard_input() -> str:
    try:
        text = sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"standard input is not UTF-8 text (byte {error.start})") from error
    if not text.strip():
        raise InputError("standard input holds no text: there is nothing to speak")
    return text
