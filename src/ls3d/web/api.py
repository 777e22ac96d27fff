"""The REST interface: ``POST /jobs``, ``GET /jobs/{id}``, ``GET /jobs/{id}/result``, ``DELETE /jobs/{id}``."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import FastAPI, File, Form, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, JSONResponse, Response

from ls3d._version import __version__
from ls3d.enhance.options import Quality
from ls3d.errors import InputError
from ls3d.web.jobs import JobQueue, JobStatus, NoSuchJobError, Place
from ls3d.web.requests import ClassifyRequest, EnhanceRequest, Format, JobRequest, SamplingRequest

_ERRORS: dict[int | str, dict[str, Any]] = {
    404: {"description": "There is no such job, or it has been deleted."},
    401: {"description": "The token is wrong or missing."},
}
_UPLOAD_ERRORS: dict[int | str, dict[str, Any]] = {
    **_ERRORS,
    413: {"description": "The upload is too large."},
    503: {"description": "The queue is full; try again later."},
}


def create_api(jobs: JobQueue) -> FastAPI:
    """Make the application that answers requests about jobs; errors are ``{"error": "one sentence"}``.

    Args:
        jobs: the queue.
    """
    # Swagger's pages would load scripts from another server.
    app = FastAPI(title="ls3d", version=__version__, docs_url=None, redoc_url=None)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(InputError, lambda _, error: _error(422, str(error)))
    app.add_exception_handler(NoSuchJobError, lambda *_: _error(404, "there is no such job; it may have been deleted"))
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(Exception, lambda *_: _error(500, "internal error"))
    _add_submission(app, jobs)
    _add_jobs(app, jobs)
    return app


def _add_submission(app: FastAPI, jobs: JobQueue) -> None:
    @app.post("/jobs", status_code=202, responses=_UPLOAD_ERRORS)
    async def submit(
        request: Request,
        file: Annotated[UploadFile | None, File(description="The video.")] = None,
        source: Annotated[str | None, Form(description="Instead of a file: the job whose upload is used.")] = None,
        kind: Annotated[Literal["enhance", "classify", "sampling"], Form(description="What to do.")] = "enhance",
        sigma: Annotated[Literal["auto"] | float | None, Form(description="Denoise: 0 to 255, or auto.")] = None,
        scale: Annotated[float | None, Form(gt=0, le=8, description="Enlarge this many times.")] = None,
        factor: Annotated[float | None, Form(ge=1, le=16, description="How many times more frames.")] = None,
        fps: Annotated[float | None, Form(gt=0, le=240, description="Frames per second.")] = None,
        slow_motion: Annotated[bool, Form(description="Keep the frame rate.")] = False,
        quality: Annotated[Quality, Form(description="Of new frames.")] = "fast",
        preview: Annotated[bool, Form(description="Process the first seconds only.")] = False,
        time: Annotated[float, Form(ge=0, le=1e6, description="Sampling: time of the first frame, in seconds.")] = 0,
        x: Annotated[float, Form(ge=0, le=1, description="Sampling: column of the pixel, 0 to 1.")] = 0.5,
        y: Annotated[float, Form(ge=0, le=1, description="Sampling: row of the pixel, 0 to 1.")] = 0.5,
        format: Annotated[Format, Form(description="mkv keeps every stream; mp4 plays in browsers.")] = "mp4",
    ) -> JobStatus:
        """Upload a video and add a job. The arguments are those of ``ls3d.enhance.enhance``."""
        wanted: JobRequest = ClassifyRequest()
        if kind == "enhance":
            wanted = EnhanceRequest(sigma, scale, factor, fps, slow_motion, quality, preview, format)
        elif kind == "sampling":
            wanted = SamplingRequest(time, x, y, quality)
        place: Place = request.state.place
        if (file is None) == (source is None):
            raise InputError("expected either a file or the source of another job")
        if file is not None:
            await run_in_threadpool(_copy, file, place.source)
        elif source is not None:
            await run_in_threadpool(_link, jobs, source, place.source)
        return jobs.submit(place, wanted)


def _add_jobs(app: FastAPI, jobs: JobQueue) -> None:
    @app.get("/jobs/{id}", responses=_ERRORS)
    def status(id: str) -> JobStatus:
        """Return the state of a job. A job that nobody asks for is deleted."""
        return jobs.status(id)

    @app.get(
        "/jobs/{id}/result",
        response_class=FileResponse,
        responses={**_ERRORS, 409: {"description": "The job isn't finished."}},
    )
    @app.head("/jobs/{id}/result", include_in_schema=False)
    def result(id: str) -> Response:
        """Return the result of a finished job: a video, or JSON. Parts can be asked for (``Range``)."""
        found = jobs.result(id)
        if found is None:
            return _error(409, "the job isn't finished")
        path, media_type = found
        return FileResponse(path, media_type=media_type)

    @app.delete("/jobs/{id}", status_code=204, responses=_ERRORS)
    def delete(id: str) -> None:
        """Cancel a job and delete all of its files."""
        jobs.delete(id)


def _copy(upload: UploadFile, target: Path) -> None:
    with target.open("xb") as file:
        shutil.copyfileobj(upload.file, file, 1 << 20)


def _link(jobs: JobQueue, id: str, target: Path) -> None:
    try:
        os.link(jobs.source(id), target)
    except FileNotFoundError as error:  # it is being deleted
        raise NoSuchJobError(id) from error


def _invalid(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    return _error(422, f"{first['loc'][-1]}: {first['msg']}")


def _refused(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return _error(error.status_code, error.detail.lower())


def _error(status: int, sentence: str) -> JSONResponse:
    return JSONResponse({"error": sentence}, status)
