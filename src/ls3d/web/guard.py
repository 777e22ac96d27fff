"""``Guard``: sees every request before anything else does, and refuses what isn't for this server.

It checks the host that the client names (DNS rebinding), the page that sends the request (cross-site requests), the
token, and the path; it limits bodies while they arrive, and adds security headers. Gradio's own routes for uploads and
files are not reachable.
"""

from __future__ import annotations

import asyncio
import secrets
from urllib.parse import SplitResult, parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ls3d.web.jobs import JobQueue, QueueFullError
from ls3d.web.options import LOOPBACK, ServeOptions

#: What Gradio's page needs; its other routes, such as those for files, stay closed.
_PAGE = ("/", "/config", "/theme.css", "/manifest.json", "/favicon.ico", "/openapi.json")
_PAGE_FOLDERS = ("/assets/", "/static/", "/gradio_api/heartbeat/")

_FORM = 1_000_000  # bytes of a body beside the upload
_STALLED = 30.0  # seconds without a byte of the body
_COOKIE = "ls3d_token"

_HEADERS = {
    # Gradio's page has inline scripts and styles. Nothing is loaded from, or sent to, another server.
    "Content-Security-Policy": "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' blob:; font-src 'self' data:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}

_LOGIN = """<!doctype html><html lang="en"><meta name="viewport" content="width=device-width"><title>ls3d</title>
<style>:root{color-scheme:light dark;font:16px system-ui}body{max-width:22rem;margin:20vh auto;padding:1rem}
input,button{font:inherit;padding:.5rem;width:100%;box-sizing:border-box;margin-top:.5rem}</style>
<form><label>This server needs a token.<input type="password" name="token" autofocus required
autocomplete="current-password"></label><button>Continue</button></form></html>"""


class Guard:
    """ASGI middleware; see the module.

    Args:
        app: what gets the requests that are not refused.
        options: of the server.
        jobs: the queue, in which an upload gets a place before its body is read.
    """

    def __init__(self, app: ASGIApp, options: ServeOptions, jobs: JobQueue) -> None:
        self._app = app
        self._options = options
        self._jobs = jobs
        self._hosts = {*LOOPBACK, *(name.lower() for name in options.allowed_hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return  # no web sockets
        send = _with_headers(send)
        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        is_upload = scope["method"] == "POST"
        limit = self._options.limits.max_size + _FORM if is_upload else _FORM
        if _announced(scope) > limit:
            await self._too_large()(scope, receive, send)
            return
        if not is_upload:
            await self._pass(scope, receive, send, limit)
            return
        try:
            with self._jobs.reserve() as place:
                scope.setdefault("state", {})["place"] = place
                await self._pass(scope, receive, send, limit)
        except QueueFullError as error:
            await _error(503, str(error), {"Retry-After": "30"})(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        """The answer to a request that is not accepted."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self._options.is_local and _name(host) not in self._hosts:
            return _error(403, "this host name is not the server's; ls3d serve --allow-host makes it one")
        origin = headers.get("origin")
        if origin is not None and _split(origin).netloc != host:
            return _error(403, "requests from other sites are not accepted")
        path = scope["path"]
        if not _is_known(path):
            return _error(404, "not found")
        if scope["method"] not in (("GET", "HEAD") if _is_page(path) else ("GET", "HEAD", "POST", "DELETE")):
            return _error(405, "method not allowed")
        if scope["method"] == "POST" and path != "/jobs":
            return _error(405, "method not allowed")
        return None if self._options.token is None else self._login(scope, headers, self._options.token)

    def _login(self, scope: Scope, headers: Headers, token: str) -> Response | None:
        """Check the token: a bearer token, a cookie, or a part of the page's address that becomes a cookie."""
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        if (scheme.lower() == "bearer" and _same(bearer, token)) or _same(_cookie(headers), token):
            return None
        if scope["path"] == "/":
            given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
            if _same(given, token):
                response = RedirectResponse(".", 303)
                response.set_cookie(_COOKIE, token, httponly=True, samesite="strict", secure=scope["scheme"] == "https")
                return response
            return HTMLResponse(_LOGIN, 401)
        return _error(401, "expected the server's token", {"WWW-Authenticate": "Bearer"})

    async def _pass(self, scope: Scope, receive: Receive, send: Send, limit: int) -> None:
        """Pass a request on. If its body gets too long or stalls before there is an answer, that is replaced."""
        received = 0
        complete = False
        answered = False
        refusal: Response | None = None

        async def limited() -> Message:
            nonlocal received, complete, refusal
            if complete or refusal is not None:
                return await receive() if refusal is None else {"type": "http.disconnect"}
            try:
                message = await asyncio.wait_for(receive(), _STALLED)
            except TimeoutError:
                refusal = _error(408, f"nothing was received for {_STALLED:.0f} seconds")
                return {"type": "http.disconnect"}
            received += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if received > limit:
                refusal = self._too_large()
                return {"type": "http.disconnect"}
            return message

        async def replaced(message: Message) -> None:
            nonlocal answered
            if refusal is None or answered:
                answered = True
                await send(message)

        await self._app(scope, limited, replaced)
        if refusal is not None and not answered:
            await refusal(scope, receive, send)

    def _too_large(self) -> Response:
        return _error(
            413, f"the upload is too large; this server accepts at most {self._options.limits.max_size:,} bytes"
        )


def _with_headers(send: Send) -> Send:
    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.update(_HEADERS)
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return wrapped


def _is_page(path: str) -> bool:
    return path in _PAGE or path.startswith(_PAGE_FOLDERS)


def _is_known(path: str) -> bool:
    parts = path.split("/")
    return (_is_page(path) or path == "/jobs" or path.startswith("/jobs/")) and not {".", ".."} & set(parts)


def _announced(scope: Scope) -> int:
    """Length of the body as announced; 0 if it isn't."""
    text = Headers(scope=scope).get("content-length", "0")
    return int(text) if text.isdecimal() and len(text) < 20 else 0


def _name(host: str) -> str:
    """The name in ``name:port`` in lower case, without the brackets of an IPv6 address."""
    return _split(f"//{host}").hostname or ""


def _split(address: str) -> SplitResult:
    """The parts of an address, which are empty where it is none, as ``//[``."""
    try:
        return urlsplit(address)
    except ValueError:
        return SplitResult("", "", "", "", "")


def _cookie(headers: Headers) -> str:
    # Not SimpleCookie, which drops all cookies of the host if one of them is not as it expects.
    return cookie_parser(headers.get("cookie", "")).get(_COOKIE, "")


def _same(given: str, token: str) -> bool:
    return secrets.compare_digest(given.encode("utf-8", "replace"), token.encode())


def _error(status: int, sentence: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": sentence}, status, headers)
