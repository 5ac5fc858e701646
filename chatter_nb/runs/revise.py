"""Revising a finished run: a line made again alone and at once, and all edits applied to its files.

Both speak as the run did: its engine, voice, parameters and drawn seed. A line that was heard is in
the store, and is not made twice. Also the lists of lines to look at, for other programs.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from chatter_nb.audio.join import louder, trim_edges
from chatter_nb.audio.reading import Signal
from chatter_nb.base.disk import is_there
from chatter_nb.base.errors import InputError, shorten
from chatter_nb.base.formats import OUTPUT_FORMATS
from chatter_nb.base.project import find_path, resolve_path
from chatter_nb.base.speakers import NARRATOR
from chatter_nb.engines.registry import entry
from chatter_nb.engines.watermark import marked
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.book_plan import PlannedOutput
from chatter_nb.runs.edits import (
    EDITS,
    Edit,
    edit_chunks,
    edit_of,
    edits_of_run,
    load_edits,
    match_edits,
    merge_edits,
    save_edits,
)
from chatter_nb.runs.folder import RECORD
from chatter_nb.runs.keys import identities, occurrences
from chatter_nb.runs.lifecycle import OnProgress
from chatter_nb.runs.places import PlacedChunk, placed_chunks
from chatter_nb.runs.plan import Planner, check_texts
from chatter_nb.runs.record import RunRecord
from chatter_nb.runs.resume import carry_mark
from chatter_nb.runs.roles import params_of, role_key, roles_of
from chatter_nb.runs.saying import sayings_of
from chatter_nb.runs.speak import plan_speech, render_speech
from chatter_nb.runs.speak_plan import SpeechPlan
from chatter_nb.runs.speak_run import SpeechRun
from chatter_nb.runs.speak_texts import clean_words
from chatter_nb.runs.speech import Speech, doubtful_chunks, load_speech, reasons_of
from chatter_nb.runs.store import ChunkStore
from chatter_nb.runs.unspeakable import leave_out
from chatter_nb.text.chunking import Chunk
from chatter_nb.verify.findings import Finding, Judgement

REVIEWS = "review*.json"  # as a browser names the reviews that a page offers


@dataclass(frozen=True)
class Line:
    """A chunk that was made alone: its samples, mono float32, as the files will have them.

    `take` and `key` name it in the store. `verdict` is None if the run is not checked.
    """

    audio: Signal
    rate_hz: int
    take: int
    key: str
    verdict: Judgement | None = None
    findings: tuple[Finding, ...] = ()


def make_line(speech: Speech, edit: Edit, *, cancelled: Callable[[], bool] | None = None) -> Line:
    """Make the chunk at an edit's place alone, with its words and take; stored ones come at once.

    Nothing of the run changes. `apply_edits` uses the same samples once the edit is saved. If the
    run is checked, the line is, too. Raises `InputError` if the place is no chunk of the run, or if
    the words cannot be spoken, and `EngineError` if the engine fails.
    """
    plan = _plan_line(speech, edit)
    run = SpeechRun(plan, None, cancelled or (lambda: False), None)
    take, audio = run.make_alone()
    rate = plan.engine.sample_rate
    audio = trim_edges(audio, sample_rate=rate)
    audio = louder(audio, _gain_db(speech.record, take.planned.chunk))
    verdict = take.verdict
    return Line(
        audio=marked(audio, plan.engine),
        rate_hz=rate,
        take=take.planned.take,
        key=take.planned.key,
        verdict=verdict.verdict if verdict else None,
        findings=verdict.findings if verdict else (),
    )


def apply_edits(
    speech: Speech,
    on_progress: OnProgress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Speech:
    """Render a run again into its folder with its edits.json; only chunks that changed are made.

    Raises what `generate_tts` raises; the run's files stay as they are until all is made. For an
    engine without a watermark, wav and flac keep their samples outside the edited chunks and their
    crossfades; those after a chunk of another length are shifted. A watermark is laid on blocks of
    up to a minute which end with a chunk: of the block with an edited chunk, and of all after it if
    the length has changed, the mark changes, by samples that cannot be heard.
    """
    plan = plan_speech(revised_params(speech))
    gains_db = {(who.name, who.mood): who.gain_db for who in speech.record.speakers}
    if gains_db.keys() >= plan.roles.keys():
        plan = replace(plan, gains_db=gains_db)
    revised = render_speech(plan, on_progress, cancelled)
    carry_mark(speech.folder, speech.record, revised.record)
    return revised


def revise(
    folder: str | Path,
    review: str | Path,
    on_progress: OnProgress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Speech:
    """Add the edits of a review to a run's edits.json, and apply them."""
    speech = load_revisable(folder)
    save_edits(speech.folder, load_edits(find_path(review)).edits)
    return apply_edits(speech, on_progress, cancelled)


def load_revisable(folder: str | Path) -> Speech:
    """A speech run from its folder. Raises `InputError` if there is none."""
    speech = load_speech(folder)
    if speech.record.kind != "speak":
        raise InputError(f"{folder} holds a conversion: only runs that speak a text are revised")
    return speech


def revised_params(speech: Speech) -> SpeakParams:
    """The parameters that speak a run again with its edits, into its folder.

    They pin its engine and its seed, and hold the formats of all files that it has.
    """
    folder, record = speech.folder, speech.record
    values = dict(record.params)
    outputs_dir = values["outputs_dir"]
    if resolve_path(outputs_dir).resolve() != folder.parent.resolve():  # it was moved
        outputs_dir = str(folder.parent.resolve())
    name = folder.resolve().name
    edits = values.get("edits", "")
    if is_there(folder / EDITS):
        edits = str(Path(outputs_dir, name, EDITS))
    suffixes = {Path(file.name).suffix for file in record.files}
    formats = [name for name, row in OUTPUT_FORMATS.items() if row.suffix in suffixes]
    values |= {
        "engine": record.engine.name,
        "seed": record.seed,
        "formats": list(dict.fromkeys([*values["formats"], *formats])),
        "outputs_dir": outputs_dir,
        "run_name": name,
        "edits": edits,
    }
    return SpeakParams.create(values, where=str(folder / RECORD))


def _gain_db(record: RunRecord, chunk: Chunk) -> float:
    """How much louder the run has made a speaker."""
    return next((s.gain_db for s in record.speakers if (s.name, s.mood) == role_key(chunk)), 0.0)


def _plan_line(speech: Speech, edit: Edit) -> SpeechPlan:
    """The plan of one chunk. Its number among its like comes from the record, without the text."""
    params, record = revised_params(speech), speech.record
    planner = Planner(params, "text")
    planner.voice = params_of(params, NARRATOR)[0].voice
    checks = planner.settle_checks(params)
    engine = planner.load()
    planner.prepare_voice()
    language = params.language or engine.languages[0]
    said = sayings_of(params, planner.entry).said
    chunks = [c for c in placed_chunks(record, language, said) if c.document == edit.document]
    chunks = _as_recorded(chunks, record)
    matched, lost = match_edits(chunks, [edit])
    if lost:
        raise InputError(f"{edit}: the run has no such line; edit a line of its run.json")
    edits = merge_edits(record, edits_of_run(speech.folder, record), [edit]).edits
    edited, _ = edit_chunks(chunks, edits, partial(clean_words, params, language), said)
    [position] = matched
    check = partial(check_texts, engine)
    if params.unspeakable == "note":
        edited, _, _ = leave_out(edited, check)
    check([edited[position].chunk.spoken], edited[position].chunk.language)
    roles = roles_of(params, engine, [edited[position].chunk], planner.problems)
    planner.problems.raise_any()
    whole = identities(roles, engine, planner.settled.precision.name, planner.seed)
    chunk = whole.named(edited[position], occurrences(edited)[position], params.takes)
    output = PlannedOutput(edit.document, edit.document, (chunk,))
    return planner.plan(SpeechPlan, [output], [], identities=whole, checks=checks, roles=roles)


def _as_recorded(chunks: list[PlacedChunk], record: RunRecord) -> list[PlacedChunk]:
    """The chunks of a book as the run has said them: what the book says of its words is in it."""
    if not str(record.params.get("text_file", "")).lower().endswith(".epub"):
        return chunks
    spoken = {(c.document, c.start): c.spoken for c in record.chunks if c.source_text is None}
    said = []
    for placed in chunks:
        own = spoken.get((placed.document, placed.start))
        if own is not None and own != placed.chunk.spoken:
            chunk = replace(placed.chunk, said=own, changes=())
            placed = replace(placed, source=chunk, chunk=chunk)
        said.append(placed)
    return said


def keys_of_edits(folder: Path, record: RunRecord) -> set[str]:
    """The keys of the stored takes of each line whose words or take a run's edits name.

    The edits are those of its edits.json and of each review*.json in its folder: of takes that a
    person heard, and may still apply. Raises `InputError` for such a file that cannot be read.
    """
    reviews = [load_edits(path).edits for path in sorted(folder.glob(REVIEWS))]
    edits = [edit for group in (edits_of_run(folder, record), *reviews) for edit in group]
    edits = [edit for edit in edits if (edit.words, edit.take) != (None, None)]
    if not edits:
        return set()
    params = SpeakParams.create(record.params, where=str(folder / RECORD))
    engine = entry(record.engine.name, record.kind)
    language, said = params.language or engine.languages[0], sayings_of(params, engine).said
    chunks, texts = _as_recorded(placed_chunks(record, language, said), record), set()
    for edit in edits:  # alone: of several at one place, each has takes of its own
        edited, _ = edit_chunks(chunks, [edit], partial(clean_words, params, language), said)
        for position in match_edits(chunks, [edit])[0]:
            texts |= {edited[position].chunk.spoken, chunks[position].chunk.spoken}
    return ChunkStore(folder.parent).keys_of(texts)


def pickups(speech: Speech) -> list[dict[str, Any]]:
    """The lines of a run that are flagged, noted or in doubt; seconds are of their output."""
    record = speech.record
    edits = merge_edits(record, edits_of_run(speech.folder, record), ()).edits
    by_place = {edit.place: edit for edit in edits}
    ends_s = {edit_of(chunk).place: chunk.end_s for chunk in record.chunks}
    doubts = {chunk.index: reasons_of(chunk) for chunk in doubtful_chunks(record)}
    names = [output.name for output in record.outputs for _ in range(output.chunks)]
    lines = []
    for name, chunk in zip(names, record.chunks, strict=True):
        bare = edit_of(chunk)
        edit = by_place.get(bare.place, bare)
        is_first = chunk.split_from in (None, chunk.index)
        if is_first and (edit.flag or edit.note or chunk.index in doubts):
            shown = chunk.text if chunk.source_text is None else chunk.source_text
            times = {"start_s": round(chunk.start_s, 3), "end_s": round(ends_s[bare.place], 3)}
            wishes = {"flag": edit.flag, "note": edit.note, "words": edit.words or ""}
            place = {"document": name, "line": chunk.index, **times}
            doubt = {"doubt": "; ".join(doubts.get(chunk.index, ()))}
            lines.append({**place, **doubt, **wishes, "text": shown.strip()})
    return lines


def pickups_csv(speech: Speech) -> str:
    """The pickups as CSV, a line each, below the names of the columns."""
    table = io.StringIO()
    names = ("document", "line", "start_s", "end_s", "doubt", "flag", "note", "words", "text")
    writer = csv.DictWriter(table, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(pickups(speech))
    return table.getvalue()


def audacity_labels(speech: Speech, document: str = "") -> str:
    """The pickups of an output, by default of all, as a label track: start and end in seconds."""
    labels = []
    for line in pickups(speech):
        if document in ("", line["document"]):
            reason = line["note"] or line["doubt"] or "flagged"
            label = " ".join(f"{reason}: {shorten(line['text'], 60)}".split())  # without tabs
            labels.append(f"{line['start_s']:.3f}\t{line['end_s']:.3f}\t{label}\n")
    return "".join(labels)
