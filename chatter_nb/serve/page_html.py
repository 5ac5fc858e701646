"""What the web page shows of a run as HTML: progress, an error, a player, the runs before."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from itertools import islice
from pathlib import Path

from chatter_nb.base.errors import shorten
from chatter_nb.base.formats import mime_of, play_rank
from chatter_nb.base.wording import count, minutes
from chatter_nb.base.wording import place as clock
from chatter_nb.pages.gallery.differing import SUBJECTS, in_words, is_default
from chatter_nb.pages.players import audio_player, before_after, waveform_player
from chatter_nb.pages.run_players import SOURCES, picture_of, source_of
from chatter_nb.params.base import NOT_DECIDING, RunKind
from chatter_nb.params.fields import fields_of
from chatter_nb.params.runs import ConvertParams, SpeakParams
from chatter_nb.runs.folder import RunFolder
from chatter_nb.runs.lifecycle import Progress
from chatter_nb.runs.record import FileRecord, RunRecord
from chatter_nb.runs.resume import finished
from chatter_nb.runs.speech import Speech
from chatter_nb.serve.bodies import WITHHELD
from chatter_nb.serve.outputs import is_name

MAX_RUNS = 12  # in the history: each is a record to read
_TITLE_CHARS = 80  # of a text
_SHORT_S = 300.0  # of audio: read within a blink, also twelve times
_SLUG_CHARS = 32  # of a title, in the name of a download
_UPLOAD = re.compile(r"^[0-9a-f]{16}-?")  # what `keep_upload` puts before a file's name
# Parameters that a run's line does not tell: titles, links and figures do, or a server sets them.
_UNTOLD = {*SUBJECTS, *NOT_DECIDING, "target", "engine", "formats", "wav_bits", *WITHHELD}
_PREFIX: dict[RunKind, str] = {"speak": "tts-", "convert": "vc-"}


def sentence(text: str, *, is_error: bool = False) -> str:
    """A sentence about a run as HTML."""
    role = 'class="status wrong" role="alert"' if is_error else 'class="status" role="status"'
    return f"<p {role}>{escape(text)}</p>"


def progress_html(
    steps: Sequence[tuple[float, Progress]], waits_for: str, starts_s: str = ""
) -> str:
    """The progress of a run as HTML, with the time left at the pace so far.

    `steps` are pairs: seconds of a clock, and the progress at that time. `waits_for` is shown until
    there is one. `starts_s` is `Live.starts_s`, for the script that lights the text.
    """
    starts = f'data-starts="{escape(starts_s)}"'
    if not steps:
        return f'<p class="status" role="status" {starts}>{waits_for} …<progress></progress></p>'
    (first_s, first), (last_s, step) = steps[0], steps[-1]
    about = f"{step.done} of {count(step.total, 'chunk')}, {minutes(step.audio_s)} of audio"
    left = "; writing" if step.done == step.total else ""
    if step.done > first.done and not left:
        pace_s = (last_s - first_s) / (step.done - first.done)
        left = f"; {minutes(pace_s * (step.total - step.done))} left"
    bar = f'<progress value="{step.done}" max="{step.total}"></progress>'
    return f'<p class="status" role="status" {starts}>{about}{left}{bar}</p>'


def take_html(speech: Speech) -> str:
    """A finished run as HTML: its title, its figures, its player, its lines."""
    return _article(speech.record, player_html(speech))


def player_html(speech: Speech) -> str:
    """The notes of a run, its player with its chunks (and its source), and its files."""
    record, output = speech.record, speech.record.outputs[0]
    notes = "".join(f"<p>Note: {escape(note)}</p>" for note in record.warnings)
    picture = picture_of(speech, output)
    player = waveform_player(*_sound(record), picture, links=f" {_links(record)}")
    if source := source_of(speech, output):
        address = f"/api/v1/runs/{record.run_name}/{SOURCES}"
        name = f"source: {_file_name(source.name)}"
        player = before_after(player, [address], mime_of(source), name)
    return notes + player


def history_html(outputs: Path, kind: RunKind, *, skip: str = "") -> str:
    """The latest runs of a kind as HTML, newest first, without the run `skip`, shown elsewhere."""
    cards = [
        _article(record, _earlier_player(Speech(outputs / record.run_name, record)))
        for record in _latest(outputs, kind)
        if record.run_name != skip
    ]
    title = f"<h2>{count(len(cards), 'run')} before</h2>" if cards else ""
    return f'{title}<div class="takes" data-together>{"".join(cards)}</div>'


def _earlier_player(speech: Speech) -> str:
    """A plain player; a conversion's has its source, unless its waveform takes long to read."""
    record = speech.record
    if record.kind == "convert" and record.audio_s < _SHORT_S:
        return player_html(speech)
    return f"{audio_player(*_sound(record), labelled=False)}<p>{_links(record)}</p>"


def _latest(outputs: Path, kind: RunKind) -> list[RunRecord]:
    """The latest runs that ended well, the newest first: their names begin with their time."""
    folders = outputs.glob(f"{_PREFIX[kind]}*")
    names = sorted((path.name for path in folders if is_name(path.name)), reverse=True)
    records = (finished(RunFolder(outputs / name)) for name in names)
    return list(islice((record for record in records if record and record.files), MAX_RUNS))


def _article(record: RunRecord, player: str) -> str:
    """A run's title, what it was made with as far as that is not usual, `player`, and its lines."""
    fields = fields_of(SpeakParams if record.kind == "speak" else ConvertParams)
    set_values = [
        f"{fields[name].label} "
        + shorten(_file_name(value) if name == "voice" else in_words(value), _TITLE_CHARS)
        for name, value in record.params.items()
        if name in fields and name not in _UNTOLD and not is_default(record, name)
    ]
    made = f"{clock(record.audio_s)}, made in {record.wall_s:.1f} s"
    about = ", ".join([record.engine.name, *set_values, made])
    run = escape(record.run_name)
    lines = (
        f"<details><summary>Edit, or make a line again</summary>"
        f'<chatter-review src="/api/v1/runs/{run}/review"></chatter-review></details>'
    )
    return (
        f'<article class="take" data-run="{run}"><h3>{escape(title_of(record))}</h3>'
        f'<p class="dim">{escape(about)}</p><div class="player">{player}</div>'
        '<button type="button" class="use-run">Use these settings</button>'
        f"{lines if record.chunks else ''}</article>"
    )


def title_of(record: RunRecord) -> str:
    """What a person knows a run by: its text, or its recordings' names."""
    if record.kind == "speak":
        text = " ".join(str(record.params["text"]).split())
        return shorten(text or Path(record.params["text_file"]).stem, _TITLE_CHARS)
    source, target = (_file_name(str(record.params[name])) for name in ("source", "target"))
    return f"{source} in the voice {target}" if target else source


def _file_name(recording: str) -> str:
    """The name of a recording, or that of its file where a person uploaded it."""
    return _UPLOAD.sub("", Path(recording).stem) or ("a recording" if recording else "")


def _sound(record: RunRecord) -> tuple[list[str], str, str]:
    """The addresses, the type and the name of the sound that a browser plays."""
    file = min(record.files, key=lambda file: play_rank(file.name))
    return [_url(record, file)], mime_of(Path(file.name)), _download_name(record)


def _links(record: RunRecord) -> str:
    """A link to each file, under a name that says what it is."""
    run, several = _download_name(record), len(record.outputs) > 1
    links = [
        f'<a href="{escape(_url(record, file))}" download="{escape(run + end)}">'
        f"{escape(end[1:])}, {file.bytes / 1e6:.2f} MB</a>"
        for file in record.handed_over()
        if (end := f"-{file.name}" if several else Path(file.name).suffix)
    ]
    return " ".join(links)


def _download_name(record: RunRecord) -> str:
    """The words of a run's title, and the end of its name, which tells equal titles apart."""
    words = "-".join(re.findall(r"\w+", title_of(record).lower()))
    return f"{words[:_SLUG_CHARS].strip('-')}-{record.run_name[-4:]}"


def _url(record: RunRecord, file: FileRecord) -> str:
    return f"/api/v1/runs/{record.run_name}/{file.name}"
