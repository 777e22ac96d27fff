"""The REST interface in process: answers, errors of one sentence, and what ``Guard`` refuses."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from ls3d.errors import InputError
from ls3d.web import guard
from ls3d.web.api import create_api
from ls3d.web.jobs import JobQueue
from ls3d.web.options import Limits, ServeOptions

ADDRESS = "http://127.0.0.1"
Open = Callable[..., TestClient]


@pytest.fixture
def open_client(tmp_path: Path, fake_process: Any) -> Iterator[Open]:
    """Make a client of the interface with these options; the page is left out."""
    queues = []

    def make(**options: Any) -> TestClient:
        given = ServeOptions(**options)
        queues.append(JobQueue(tmp_path, given))
        return TestClient(guard.Guard(create_api(queues[0]), given, queues[0]), ADDRESS)

    yield make
    for queue in queues:
        queue.close()
    assert not list(tmp_path.iterdir())


def post(client: TestClient, content: bytes = b"video", name: str = "a.mp4", **fields: str) -> Any:
    return client.post("/jobs", files={"file": (name, content)}, data={"factor": "2", **fields})


def wait_for(client: TestClient, id: str) -> dict[str, Any]:
    while True:
        job: dict[str, Any] = client.get(f"/jobs/{id}").json()
        if job["state"] in ("finished", "failed"):
            return job


def test_a_job_from_upload_to_deletion(open_client: Open, tmp_path: Path) -> None:
    client = open_client()
    answer = post(client, name="../../../etc/passwd")
    assert answer.status_code == 202
    id = answer.json()["id"]
    job = wait_for(client, id)
    assert (job["state"], job["size"], job["kind"]) == ("finished", 10, "enhance")
    assert [path.name for path in tmp_path.iterdir()] == [id]
    assert (tmp_path / id / "upload").read_bytes() == b"video"
    result = client.get(f"/jobs/{id}/result")
    assert (result.content, result.headers["content-type"]) == (b"0123456789", "video/mp4")
    assert client.delete(f"/jobs/{id}").status_code == 204
    for method, path in (("GET", ""), ("GET", "/result"), ("DELETE", "")):
        gone = client.request(method, f"/jobs/{id}{path}")
        assert (gone.status_code, gone.json()) == (404, {"error": "there is no such job; it may have been deleted"})


def test_parts_of_a_result(open_client: Open) -> None:
    client = open_client()
    id = post(client).json()["id"]
    wait_for(client, id)

    def part(value: str) -> Any:
        return client.get(f"/jobs/{id}/result", headers={"Range": value})

    assert (part("bytes=2-4").status_code, part("bytes=2-4").content) == (206, b"234")
    assert part("bytes=-3").content == b"789"
    assert part("bytes=20-").status_code == 416
    assert part("bytes=5-2").status_code in (400, 416)
    assert client.head(f"/jobs/{id}/result").headers["content-length"] == "10"


def test_a_job_that_uses_the_upload_of_another(open_client: Open, tmp_path: Path) -> None:
    client = open_client()
    first = post(client).json()["id"]
    second = client.post("/jobs", data={"source": first, "kind": "classify"}).json()
    assert second["kind"] == "classify"
    assert client.delete(f"/jobs/{first}").status_code == 204
    assert (tmp_path / second["id"] / "upload").read_bytes() == b"video"


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({}, "nothing to do: expected sigma, scale, factor or fps"),
        ({"factor": "x"}, "factor: "),
        ({"factor": "nan"}, "factor: "),
        ({"scale": "9"}, "scale: Input should be less than or equal to 8"),
        ({"fps": "inf"}, "fps: "),
        ({"fps": "30", "factor": "2"}, "fps 30: can't be combined with a factor or slow motion"),
        ({"kind": "shell"}, "kind: "),
        ({"scale": "2", "format": "../x"}, "format: "),
        ({"kind": "sampling", "x": "2"}, "x: "),
        ({"kind": "classify", "source": "x"}, "expected either a file or the source of another job"),
    ],
)
def test_wrong_fields(open_client: Open, tmp_path: Path, fields: dict[str, str], sentence: str) -> None:
    answer = open_client().post("/jobs", files={"file": ("a", b"x")}, data=fields)
    assert answer.status_code == 422
    assert answer.json()["error"].startswith(sentence)
    assert not list(tmp_path.iterdir())


def test_an_unfinished_job_has_no_result(open_client: Open, fake_process: Any) -> None:
    fake_process.may_end.clear()
    client = open_client()
    id = post(client).json()["id"]
    assert client.get(f"/jobs/{id}/result").status_code == 409
    assert client.delete(f"/jobs/{id}").status_code == 204


def test_twenty_uploads_at_once(open_client: Open, fake_process: Any) -> None:
    """All are answered, twelve of them with a job, and the jobs run in the order in which they were accepted."""
    fake_process.may_end.clear()
    client = open_client(queue=12)
    started = threading.Barrier(20)

    def upload(_: int) -> Any:
        started.wait()
        return post(client, b"0" * 100_000)

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(upload, range(20)))
    accepted = [answer.json() for answer in answers if answer.status_code == 202]
    refused = [answer for answer in answers if answer.status_code != 202]
    assert len(accepted) == 12
    assert {(answer.status_code, answer.headers["retry-after"]) for answer in refused} == {(503, "30")}
    waiting = {client.get(f"/jobs/{job['id']}").json()["ahead"]: job["id"] for job in accepted}
    order = [id for _, id in sorted(waiting.items())]
    fake_process.may_end.set()
    for job in accepted:
        assert wait_for(client, job["id"])["state"] == "finished"
    assert [id for id in fake_process.started if id in order] == order


def test_large_uploads(open_client: Open, tmp_path: Path) -> None:
    client = open_client(limits=Limits(max_size=1000))
    sentence = {"error": "the upload is too large; this server accepts at most 1,000 bytes"}
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    huge = client.post("/jobs", headers={"Content-Length": str(2 << 30), **form})
    assert (huge.status_code, huge.json()) == (413, sentence)

    def chunks() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        for _ in range(30):
            yield b"0" * 100_000

    streamed = client.post("/jobs", content=chunks(), headers=form)
    assert (streamed.status_code, streamed.json()) == (413, sentence)
    assert not list(tmp_path.iterdir())
    assert post(client).status_code == 202


def test_a_stalled_upload_gives_its_place_back(open_client: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "_STALLED", 0.1)
    client = open_client(queue=1)
    sent: list[Any] = []

    async def stalled() -> None:
        first = [{"type": "http.request", "body": b"--x\r\n", "more_body": True}]

        async def receive() -> Any:
            return first.pop() if first else await asyncio.sleep(60)

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [(b"host", b"127.0.0.1"), (b"content-type", b"multipart/form-data; boundary=x")]
        scope = {"type": "http", "method": "POST", "path": "/jobs", "raw_path": b"/jobs", "query_string": b""}
        await client.app({**scope, "headers": headers, "scheme": "http", "root_path": ""}, receive, send)

    asyncio.run(stalled())
    assert sent[0]["status"] == 408
    assert post(client).status_code == 202


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/jobs/x", {"Host": "evil.example"}, 403),
        ("/jobs/x", {"Host": "["}, 403),
        ("/jobs/x", {"Origin": "https://evil.example"}, 403),
        ("/jobs/x", {"Origin": "null"}, 403),
        ("/jobs/x", {"Origin": ADDRESS}, 404),
        ("/jobs/x", {"Host": "video.example"}, 404),
        ("/jobs/x", {"Host": "VIDEO.example:80"}, 404),
        ("/jobs/x", {"Host": "LocalHost"}, 404),
        ("/gradio_api/file=/etc/passwd", {}, 404),
        ("/gradio_api/upload", {}, 404),
        ("/docs", {}, 404),
        ("/assets/../../etc/passwd", {}, 404),
        ("/assets/%2e%2e/%2e%2e/etc/passwd", {}, 404),
    ],
)
def test_what_is_refused(open_client: Open, path: str, headers: dict[str, str], status: int) -> None:
    answer = open_client(host="Localhost", allowed_hosts=("Video.Example",)).get(path, headers=headers)
    assert answer.status_code == status
    assert list(answer.json()) == ["error"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


def test_the_token(open_client: Open) -> None:
    client = open_client(token="s3cret")
    assert client.get("/jobs/x").status_code == 401
    assert post(client).status_code == 401
    for given in ("Bearer wrong", "Bearer s3cret2", "Bearer ", "Basic s3cret", "Bearer é"):
        assert client.get("/jobs/x", headers=[(b"authorization", given.encode())]).status_code == 401
    assert client.get("/jobs/x", headers={"Authorization": "Bearer s3cret"}).status_code == 404
    assert client.get("/?token=wrong").status_code == 401
    login = client.get("/?token=s3cret", follow_redirects=False)
    assert (login.status_code, login.headers["location"]) == (303, ".")
    assert {"HttpOnly", "SameSite=strict"} <= set(login.headers["set-cookie"].split("; "))
    assert client.get("/jobs/x").status_code == 404  # by the cookie


@pytest.mark.parametrize(
    ("cookies", "status"),
    [
        ("ls3d_token=s3cret", 404),
        ('a={"x":1}; ls3d_token=s3cret', 404),
        ("b; c=d,e f; =; ls3d_token=s3cret; @=[]", 404),
        ('ls3d_token="s3cret"', 404),
        ("ls3d_token=wrong; a=s3cret", 401),
        ("ls3d_token", 401),
    ],
)
def test_the_token_among_other_cookies(open_client: Open, cookies: str, status: int) -> None:
    assert open_client(token="s3cret").get("/jobs/x", headers={"Cookie": cookies}).status_code == status


@pytest.mark.parametrize("token", ["a b", 'a"b', "a;b,c", "a\\b", "a=b"])
def test_any_token_survives_as_a_cookie(open_client: Open, token: str) -> None:
    client = open_client(token=token)
    assert client.get("/", params={"token": token}, follow_redirects=False).status_code == 303
    assert client.get("/jobs/x").status_code == 404


@pytest.mark.parametrize("number", [0, -1, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["max_size", "max_length", "max_pixels", "max_run", "preview", "keep"])
def test_limits_that_are_none(name: str, number: float) -> None:
    with pytest.raises(InputError, match=f"{name} {number:g}: expected a finite number above 0"):
        ServeOptions(keep=number) if name == "keep" else Limits(**{name: number})  # type: ignore[arg-type]


def test_openapi(open_client: Open) -> None:
    paths = open_client().get("/openapi.json").json()["paths"]
    assert {path: set(methods) for path, methods in paths.items()} == {
        "/jobs": {"post"},
        "/jobs/{id}": {"get", "delete"},
        "/jobs/{id}/result": {"get"},
    }
    body = paths["/jobs"]["post"]["requestBody"]["content"]
    assert "multipart/form-data" in body
