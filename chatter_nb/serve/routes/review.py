"""The routes of a run's review: its lines, edits of lines, a line made again, and files built anew.

A body is a file of edits as `edits.json`, for the places of this run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, Response

from chatter_nb.base.formats import mime_of
from chatter_nb.pages.review import again, review_data
from chatter_nb.pages.takes import TAKES, write_takes
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.edits import Edit, match_edits, parse_edits, save_edits
from chatter_nb.runs.places import placed_chunks
from chatter_nb.runs.revise import load_revisable, revised_params
from chatter_nb.runs.speech import Speech
from chatter_nb.serve.bodies import DOCUMENT, JSON, LEXICON, media_type_of
from chatter_nb.serve.bridge import result_of
from chatter_nb.serve.errors import Problem
from chatter_nb.serve.outputs import find_run
from chatter_nb.serve.page_html import player_html
from chatter_nb.serve.routes.speech import Served, audio_responses
from chatter_nb.serve.service import Service

router = APIRouter(prefix="/api/v1/runs/{run}/review", tags=["review"])
# Written out: a reference in pydantic's schema would point outside of the document's components.
_SCHEMA = {
    "type": "object",
    "properties": {
        "schema": {"const": 1},
        "edits": {"type": "array", "items": Edit.model_json_schema()},
    },
    "additionalProperties": False,
}
_BODY = {"requestBody": {"required": True, "content": {JSON: {"schema": _SCHEMA}}}}


@router.get("")
def lines(run: str, service: Served) -> dict[str, Any]:
    """The lines of a run with their takes and edits, and the addresses of their audio."""
    return _data(_speech(service, run))


@router.post("/edits", openapi_extra=_BODY)
async def save(run: str, request: Request, service: Served) -> dict[str, Any]:
    """Keep edits. They are on the disk when this answers; the files stay as they are."""
    body = await _json_body(request)

    def answer() -> dict[str, Any]:
        speech = _speech(service, run)
        kept = save_edits(speech.folder, _edits(speech, body))
        return {"success": True, "edits": len(kept.edits)}

    return await run_in_threadpool(answer)


@router.post("/again", openapi_extra=_BODY)
async def make_again(run: str, request: Request, service: Served) -> dict[str, Any]:
    """Make the line of one edit again, alone, with its words and the next take."""
    speech = await run_in_threadpool(_speech, service, run)
    edits = _edits(speech, await _json_body(request))
    if len(edits) != 1:
        raise Problem(422, f"edits: {len(edits)} edits; a line is made again by one")
    params = await run_in_threadpool(_params, speech)
    task = service.call(params, lambda cancelled: again(speech, edits[0], cancelled=cancelled))
    return await result_of(task, request, timeout_s=service.settings.limits.request_timeout_s)


@router.post("/apply")
async def apply(run: str, request: Request, service: Served) -> dict[str, Any]:
    """Build the files of a run again with its edits; only edited lines are made."""
    await request.body()  # it has none
    speech = await run_in_threadpool(_speech, service, run)
    params = await run_in_threadpool(_params, speech)
    task = service.submit(params, job=run.startswith("job") or bool(params.text_file))
    timeout_s = service.settings.limits.request_timeout_s
    speech = await result_of(task, request, timeout_s=timeout_s)
    return await run_in_threadpool(lambda: {**_data(speech), "player": player_html(speech)})


@router.get("/{file}", responses=audio_responses(), response_class=Response)
def take(run: str, file: str, service: Served) -> Response:
    """The audio of a take that is not in the run's files."""
    folder = _speech(service, run).folder / TAKES
    path = next((path for path in folder.glob("*.opus") if path.name == file), None)
    if path is None:
        raise Problem(404, f"run {run} has no take {file[:80]!r}")
    return FileResponse(path, media_type=mime_of(path))


def _speech(service: Service, run: str) -> Speech:
    """A finished run that has lines. Raises `Problem` 404."""
    return load_revisable(find_run(service.settings.outputs, run).path)


def _data(speech: Speech) -> dict[str, Any]:
    write_takes(speech)

    def address(path: Path) -> str:
        return f"/api/v1/runs/{speech.record.run_name}/{path.relative_to(speech.folder).as_posix()}"

    return review_data(speech, address) | {"command": ""}  # it names a folder of this machine


def _params(speech: Speech) -> SpeakParams:
    """The parameters that speak a run again. Raises `Problem` 409 where an upload is gone."""
    for name, noun in (("voice", "voice"), (DOCUMENT, "document"), (LEXICON, "lexicon")):
        value = speech.record.params.get(name) or ""
        path = Path(value if isinstance(value, str) else value[0])
        if path.is_absolute() and not path.is_file():
            raise Problem(409, f"its {noun} was an upload, which is not kept: speak the text again")
    return revised_params(speech)


async def _json_body(request: Request) -> bytes:
    if (media_type := media_type_of(request)) != JSON:
        raise Problem(415, f"Content-Type says {media_type!r}: send {JSON}")
    return await request.body()


def _edits(speech: Speech, body: bytes) -> tuple[Edit, ...]:
    """The edits in a body. Raises `Problem` 422 for a place that the run does not have."""
    edits = parse_edits(body, where="the body").edits
    _, lost = match_edits(placed_chunks(speech.record), edits)
    if lost:
        raise Problem(422, f"{lost[0]}: the run has no such line")
    return edits
