"""Voices over HTTP: listed, added by upload, deleted. By name; no path leaves the voices folder."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, File, Form, Query, Request, UploadFile
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from chatter_nb.audio.curves import duration_s
from chatter_nb.engines.voices import Library
from chatter_nb.serve.errors import RESPONSES, Problem
from chatter_nb.serve.routes.speech import Served, known_query
from chatter_nb.serve.uploads import add_voice, remove_voice

router = APIRouter(
    prefix="/api/v1/voices",
    tags=["voices"],
    responses=RESPONSES,
    dependencies=[Depends(known_query)],
)


class RecordingAnswer(BaseModel):
    """A recording in the voices folder."""

    name: str
    duration_s: float | None


class VoicesAnswer(BaseModel):
    """The voices of an engine, and the recordings that there are to clone or to convert."""

    engine: str
    voices: list[str]
    recordings: list[RecordingAnswer]


class AddedAnswer(BaseModel):
    """A new voice; `notes` tell what is doubtful about its recording."""

    success: bool
    name: str
    notes: list[str]


class DeletedAnswer(BaseModel):
    """A voice that is no more."""

    success: bool
    name: str


@router.get("")
async def voices(
    service: Served, engine: Annotated[str, Query(description="whose; empty: the default")] = ""
) -> VoicesAnswer:
    """What `voice`, `source` and `target` may name."""
    catalog = service.catalog
    name = engine or catalog.choice().name
    if name not in catalog.engines():
        known = ", ".join(catalog.engines())
        raise Problem(404, f"no engine {name[:80]!r} speaks here; there is: {known}")

    def found() -> VoicesAnswer:
        return VoicesAnswer(
            engine=name,
            voices=catalog.voices(name),
            recordings=[
                RecordingAnswer(name=one, duration_s=_duration_s(catalog.library, one))
                for one in catalog.recordings()
            ],
        )

    return await run_in_threadpool(found)


@router.post("", status_code=201)
async def add(
    request: Request,
    service: Served,
    name: Annotated[str, Form(json_schema_extra={"pattern": r"^[A-Za-z0-9_-]{1,64}$"})],
    file: Annotated[UploadFile, File(description="6 to 15 s of one person speaking")],
) -> AddedAnswer:
    """Keep a recording as a voice."""
    if unknown := sorted(set(await request.form()) - {"name", "file"}):
        raise Problem(422, f"unknown field {unknown[0][:80]!r}; known: name, file")
    longest_s, library = service.settings.limits.voice_s, service.catalog.library
    notes = await run_in_threadpool(add_voice, name, file.file, library, longest_s=longest_s)
    return AddedAnswer(success=True, name=name, notes=notes)


@router.delete("/{name}")
async def remove(name: str, service: Served) -> DeletedAnswer:
    """Delete a recording. What was made with it stays."""
    await run_in_threadpool(remove_voice, name, service.catalog.library)
    return DeletedAnswer(success=True, name=name)


def _duration_s(library: Library, name: str) -> float | None:
    """By its header, if that can be believed; None where the name is another's too, or it cannot
    be read."""
    try:
        return duration_s(library.find(name))
    except Exception:  # one odd file must not hide the others
        return None
