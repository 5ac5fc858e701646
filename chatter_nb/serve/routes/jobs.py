"""The routes of jobs: runs of long texts that nobody waits for."""

from __future__ import annotations

from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Depends, Query, Request, Response

from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.speech import load_speech
from chatter_nb.serve.bodies import UPLOADED, read_body
from chatter_nb.serve.errors import Problem
from chatter_nb.serve.jobs import JobAnswer, Jobs
from chatter_nb.serve.responses import file_of
from chatter_nb.serve.routes.speech import Served, audio_responses, body_of
from chatter_nb.serve.settings import Limits


async def jobs_of(request: Request) -> Jobs:
    """The jobs of the application that handles this request."""
    jobs: Jobs = request.app.state.jobs
    return jobs


AllJobs = Annotated[Jobs, Depends(jobs_of)]


def routes(limits: Limits) -> APIRouter:
    """The routes under /api/v1/jobs, documented with these limits."""
    router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])
    body = body_of(SpeakParams, limits.job_text_chars)
    router.post("", status_code=202, openapi_extra=body)(add)
    router.get("")(listed)
    router.get("/{job}")(show)
    router.delete("/{job}")(cancel)
    router.get("/{job}/audio", responses=audio_responses(), response_class=Response)(audio)
    return router


async def add(request: Request, service: Served, jobs: AllJobs) -> JobAnswer:
    """Take a text as a job, or in a form a document. It is finished, also after a restart."""
    body = await read_body(request, SpeakParams)
    limiter = service.readers if UPLOADED.keys() & body.uploads.keys() else None
    return await to_thread.run_sync(jobs.add, body.values, body.uploads, limiter=limiter)


def listed(jobs: AllJobs) -> dict[str, list[JobAnswer]]:
    """All jobs, the newest first."""
    return {"jobs": jobs.all()}


def show(job: str, jobs: AllJobs) -> JobAnswer:
    """How a job stands."""
    return jobs.find(job)


def cancel(job: str, jobs: AllJobs) -> JobAnswer:
    """Stop a job after its chunk; a job that has ended is deleted with its files."""
    return jobs.cancel(job)


def audio(
    job: str,
    jobs: AllJobs,
    format: Annotated[str, Query(description="one of the job's formats; empty: its first")] = "",
) -> Response:
    """The audio of a finished job."""
    state = jobs.find(job)
    if state.status != "done":
        raise Problem(409, f"the job is {state.status}: {state.done} of {state.total} chunks")
    speech = load_speech(jobs.folder(job).path)
    names = [file.name for file in speech.record.handed_over()]
    matches = [name for name in names if name.endswith(f".{format}")] if format else names
    if not matches:
        raise Problem(404, f"the job has no {format[:20]!r}; it has: {', '.join(names)}")
    return file_of(speech, matches[0])
