"""A client of `ls3d serve`: uploads a video, shows progress, and saves the result.

python examples/client.py http://127.0.0.1:7860 IN.mp4 OUT.mp4 factor=2 scale=2

The server's token, if it has one, is taken from the environment variable LS3D_TOKEN. Needs httpx.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import httpx


class JobError(Exception):
    """The server has refused the job, or it has failed; the message is the server's sentence."""


def answer_of(response: httpx.Response) -> dict[str, Any]:
    """The server's answer.

    Raises:
        JobError: it is an error.
    """
    answer: dict[str, Any] = response.json()
    if response.is_error:
        raise JobError(answer["error"])
    return answer


def wait_for(client: httpx.Client, id: str) -> dict[str, Any]:
    """Ask for a job until it is finished.

    Raises:
        JobError: it has failed.
    """
    while True:
        job = answer_of(client.get(f"/jobs/{id}"))
        if job["state"] == "failed":
            raise JobError(job["error"])
        if job["state"] == "finished":
            return job
        progress = job["progress"]
        print(f"{progress['done']} of {progress['total']}" if progress else f"{job['state']}, {job['ahead']} before it")
        time.sleep(1)


def enhance(client: httpx.Client, source: Path, target: Path, options: dict[str, str]) -> dict[str, Any]:
    """Enhance a video on the server, which then deletes it.

    Raises:
        JobError: the server has refused the job, or it has failed.
    """
    with source.open("rb") as file:
        id = answer_of(client.post("/jobs", files={"file": file}, data=options))["id"]
    try:
        job = wait_for(client, id)
        with client.stream("GET", f"/jobs/{id}/result") as response, target.open("wb") as output:
            response.raise_for_status()
            for chunk in response.iter_bytes():
                output.write(chunk)
        return job
    finally:
        client.delete(f"/jobs/{id}")


def main(address: str, source: Path, target: Path, options: dict[str, str]) -> None:
    """Enhance a file and say what has been done."""
    token = os.environ.get("LS3D_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with httpx.Client(base_url=address, headers=headers, timeout=60) as client:
        job = enhance(client, source, target, options)
    report = job["report"]
    print(f"{report['frames_in']} frames became {report['frames_out']}")


if __name__ == "__main__":
    try:
        main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), dict(word.split("=", 1) for word in sys.argv[4:]))
    except (JobError, httpx.HTTPError, OSError) as error:
        sys.exit(str(error))
