"""Hostile requests to a whole server: each is answered or cut off, and leaves no file, traceback or dead worker."""

from __future__ import annotations

import http.client
import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.bombs import large_picture
from helpers.videos import Clip
from helpers.web_server import Server

BOUNDARY = "limit"
FORM = f"multipart/form-data; boundary={BOUNDARY}"


def form(content: bytes, name: str = "a.mp4", **fields: str) -> bytes:
    """A multipart body."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
        for key, value in {"factor": "2", **fields}.items()
    ]
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
    return b"".join([*parts, head.encode("utf-8", "surrogateescape"), content, f"\r\n--{BOUNDARY}--\r\n".encode()])


def request(
    server: Server, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
) -> tuple[int, bytes]:
    """Send a request as it is, with no check of the path; status and body of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    try:
        connection.putrequest(method, path, skip_host="Host" in (headers or {}), skip_accept_encoding=True)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def raw(server: Server, data: bytes) -> bytes:
    """Send bytes, wait a little for an answer, and close the connection."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=2) as connection:
        try:
            connection.sendall(data)
            return connection.recv(65536)
        except OSError:
            return b""


NAMES = [
    "../../../../tmp/evil",
    "/etc/passwd",
    "a\\..\\b",
    "%2e%2e%2fx",
    "x" * 3000,
    "a;b.mp4",
    "\udcff\udcfe",
    "CON",
    "",
    "|id",
]
PATHS = [
    *(
        "/../../etc/passwd",
        "/jobs/../../etc/passwd",
        "/jobs/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/jobs/..%5c..%5cwin.ini/result",
    ),
    *(
        "/static/../../../etc/passwd",
        "/assets/%2e%2e/%2e%2e/config.py",
        "/assets//etc/passwd",
        "/static/%2fetc%2fpasswd",
    ),
    *(
        "/gradio_api/file=/etc/passwd",
        "/file=/etc/passwd",
        "/gradio_api/file/etc/passwd",
        "/gradio_api/proxy=http://x/",
    ),
    *("/gradio_api/upload", "/gradio_api/queue/join", "/gradio_api/run/predict", "/monitoring", "/login", "/svelte/x"),
    *(
        "/gradio_api/heartbeat/../file=/etc/passwd",
        "/custom_component/x/client/component/../../x",
        "/jobs/" + "a" * 4000,
    ),
    *("/jobs/%00/result", "/jobs/x/result?token=%ff", "//jobs", "/gradio_api/stream/x/1/1/playlist.m3u8", "/docs"),
]
HEADERS: list[dict[str, str]] = [
    {"Cookie": "x=" + "y" * 8000},
    {"X-Long": "z" * 8000},
    {"Host": "evil.example"},
    {"Host": "[abc]"},
    {"Host": "[::1"},
    {"Origin": "http://["},
    {"Origin": "http://evil.example"},
    {"Authorization": "Bearer wrong"},
    {"Range": "bytes=" + ",".join(f"{n}-" for n in range(1500))},
    {"Range": "bytes=9999999999-"},
    {"Cookie": "ls3d_token=\x7f;;;=;"},
    {"X-Forwarded-For": "1.2.3.4", "X-Forwarded-Host": "evil.example"},
]
BODIES: list[tuple[str, bytes]] = [
    ("application/json", b'{"factor": 2}'),
    ("text/html", b"<html>"),
    ("multipart/form-data", b"no boundary"),
    ("multipart/form-data; boundary=", b"--\r\n"),
    (f"multipart/form-data; boundary={'b' * 5000}", b"--b\r\n"),
    (FORM, b""),
    (FORM, b"\xff" * 5000),
    (FORM, form(b"x")[:-12]),
    (FORM, form(b"x", kind="../../bin/sh")),
    (FORM, form(b"x", source="../../../etc/passwd")),
    (FORM, form(b"x", quality="__import__('os')")),
    (FORM, form(b"x", **{f"field{n}": "" for n in range(1200)})),
    (FORM, form(b"0" * 3_000_000)),
    ("application/x-www-form-urlencoded", b"source=/etc/passwd&factor=2"),
]
RAW = [
    b"GET / HTTP/1.1\r\n" + b"A: " + b"b" * 100_000 + b"\r\n\r\n",
    b"POST /jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2147483648\r\n\r\n",
    b"POST /jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -5\r\n\r\n",
    b"POST /jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    b"POST /jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET /\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    b"TRACE /jobs HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: x\r\nHost: 127.0.0.1\r\n\r\n",
]


def wait_for(server: Server, id: str) -> dict[str, Any]:
    for _ in range(2400):
        status, body = request(server, "GET", f"/jobs/{id}")
        job: dict[str, Any] = json.loads(body)
        if status != 200 or job["state"] in ("finished", "failed"):
            return job
        time.sleep(0.05)
    raise AssertionError(job)


def check(status: int, body: bytes) -> None:
    """An answer is a short sentence, or the page."""
    assert status < 500 or status == 503, (status, body[:300])
    assert b"Traceback" not in body
    assert b"root:" not in body
    assert status < 400 or len(body) < 500, body


def test_hostile_requests(server: Server, tmp_path: Path) -> None:
    before = server.files()
    ids = []
    for name in NAMES:
        status, body = request(server, "POST", "/jobs", form(b"no video", name), {"Content-Type": FORM})
        check(status, body)
        if status == 202:
            check(*request(server, "DELETE", f"/jobs/{json.loads(body)['id']}"))
    for content in (b"<html><script>alert(1)</script></html>", large_picture()):
        status, body = request(server, "POST", "/jobs", form(content), {"Content-Type": FORM})
        assert status == 202
        ids.append(json.loads(body)["id"])
    for path in PATHS:
        status, body = request(server, "GET", path)
        check(status, body)
        assert status in (400, 403, 404, 405), path
        check(*request(server, "POST", path, b"x"))
    for headers in HEADERS:
        check(*request(server, "GET", f"/jobs/{ids[0]}/result", headers=headers))
    for content_type, body in BODIES:
        status, answer = request(server, "POST", "/jobs", body, {"Content-Type": content_type})
        check(status, answer)
        assert status in (400, 404, 413, 422), body[:100]
    for data in RAW:
        assert b"Traceback" not in raw(server, data)
    half = f"POST /jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {FORM}\r\nContent-Length: 1000000\r\n\r\n"
    for _ in range(10):  # canceled half way
        raw(server, half.encode() + form(b"0" * 400_000))
    count = len(NAMES) + len(ids) + 2 * len(PATHS) + len(HEADERS) + len(BODIES) + len(RAW) + 10
    assert count >= 100
    for id in ids:
        job = wait_for(server, id)
        assert job["state"] == "failed", job
        assert str(server.temporary) not in json.dumps(job)
        assert request(server, "DELETE", f"/jobs/{id}")[0] == 204
    wait_until(lambda: server.files() == before)
    assert "Traceback" not in "".join(server.log)
    works(server, tmp_path)


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(1200):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError


def works(server: Server, folder: Path) -> None:
    """An honest job is done."""
    video = Clip(2).write(folder / "honest.mp4").read_bytes()
    _, body = request(server, "POST", "/jobs", form(video), {"Content-Type": FORM})
    id = json.loads(body)["id"]
    assert wait_for(server, id)["state"] == "finished"
    request(server, "DELETE", f"/jobs/{id}")


@pytest.mark.slow
def test_memory_is_bounded_with_twenty_uploads_at_once(server: Server, tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    video = form(Clip(4).write(tmp_path / "a.mp4").read_bytes() + bytes(1_900_000))

    def resident() -> int:
        pages = Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    before = resident()
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: request(server, "POST", "/jobs", video, {"Content-Type": FORM}), range(20)))
    assert {status for status, _ in answers} == {202}
    assert resident() - before < 100 << 20
    for _, body in answers:
        assert wait_for(server, json.loads(body)["id"])["state"] == "finished"
        request(server, "DELETE", f"/jobs/{json.loads(body)['id']}")
