"""Jobs over HTTP: long texts that nobody waits for."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.speech import load_speech
from chatter_nb.serve.bodies import JSON, check_names, json_of, json_schema
from chatter_nb.serve.errors import RESPONSES, Problem
from chatter_nb.serve.jobs import Job, Jobs
from chatter_nb.serve.responses import check_length, file_of
from chatter_nb.serve.routes.speech import Served, audio_responses, known_query
from chatter_nb.serve.settings import Limits


class JobAnswer(BaseModel):
    """A job as it stands: `done` of `total` chunks are finished, `audio_s` seconds of audio."""

    id: str
    status: str
    created: str
    text_chars: int
    done: int
    total: int
    audio_s: float
    error: str | None
    files: list[str]
    url: str

    @classmethod
    def of(cls, job: Job) -> JobAnswer:
        return cls(**{**vars(job), "files": list(job.files)}, url=f"/api/v1/jobs/{job.id}")


class JobsAnswer(BaseModel):
    """All jobs, the newest first."""

    jobs: list[JobAnswer]


async def jobs_of(request: Request) -> Jobs:
    jobs: Jobs = request.app.state.jobs
    return jobs


Kept = Annotated[Jobs, Depends(jobs_of)]


def routes(limits: Limits) -> APIRouter:
    """The routes under /api/v1/jobs, documented with these limits."""
    router = APIRouter(
        prefix="/api/v1/jobs",
        tags=["jobs"],
        responses=RESPONSES,
        dependencies=[Depends(known_query)],
    )
    schema = json_schema(SpeakParams, longest_text=limits.job_text_chars)
    body = {"requestBody": {"required": True, "content": {JSON: {"schema": schema}}}}
    router.add_api_route("", add, methods=["POST"], status_code=202, openapi_extra=body)
    router.add_api_route("", listed, methods=["GET"])
    router.add_api_route("/{job}", found, methods=["GET"])
    router.add_api_route("/{job}", cancel, methods=["DELETE"])
    router.add_api_route(
        "/{job}/audio",
        audio,
        methods=["GET"],
        responses=audio_responses(),
        response_class=Response,
    )
    return router


async def add(request: Request, service: Served, jobs: Kept) -> JobAnswer:
    """Take a text as a job. What is accepted is finished, also after a restart."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != JSON:
        raise Problem(415, f"Content-Type says {media_type!r}: send {JSON}")
    values = await json_of(request)
    check_names(SpeakParams, values)
    check_length(values, "text", service.settings.limits.job_text_chars)
    return JobAnswer.of(await run_in_threadpool(jobs.add, values))


async def listed(jobs: Kept) -> JobsAnswer:
    """Every job."""
    found = await run_in_threadpool(jobs.all)
    return JobsAnswer(jobs=[JobAnswer.of(job) for job in found])


async def found(job: str, jobs: Kept) -> JobAnswer:
    """How a job stands."""
    return JobAnswer.of(await run_in_threadpool(jobs.find, job))


async def cancel(job: str, jobs: Kept) -> JobAnswer:
    """Stop a job after its chunk; one that has ended is deleted with its files."""
    return JobAnswer.of(await run_in_threadpool(jobs.cancel, job))


async def audio(
    job: str,
    jobs: Kept,
    format: Annotated[str, Query(description="one of the job's formats; empty: its first")] = "",
) -> Response:
    """What a finished job made."""

    def made() -> Response:
        at = jobs.find(job)
        if at.status != "done":
            raise Problem(409, f"the job is {at.status}: {at.done} of {at.total} chunks")
        speech = load_speech(jobs.folder(job).path)
        names = [one.name for one in speech.record.files]
        wanted = [name for name in names if name.endswith(f".{format}")] if format else names
        if not wanted:
            raise Problem(404, f"the job has no {format[:20]!r}; it has: {', '.join(names)}")
        return file_of(speech, wanted[0])

    return await run_in_threadpool(made)
