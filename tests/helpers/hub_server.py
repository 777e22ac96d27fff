"""The Hugging Face Hub without a network: answers the requests of ``huggingface_hub`` from memory."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from urllib.parse import unquote

import httpx2


@dataclass
class HubServer:
    """One repository; ``handle`` is the handler of an ``httpx2.MockTransport``.

    Attributes:
        repository: ``"owner/name"``, the only repository that exists, once it is created.
        files: its files on the branch main, by path.
        requests: method and path of every request.
        refuses: status with which uploads are refused; 0 for none.
    """

    repository: str
    files: dict[str, bytes] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    refuses: int = 0

    @property
    def commit(self) -> str:
        """A commit hash that depends on the files."""
        digest = hashlib.sha1(usedforsecurity=False)
        for path, content in sorted(self.files.items()):
            digest.update(path.encode() + content)
        return digest.hexdigest()

    def handle(self, request: httpx2.Request) -> httpx2.Response:
        """Answer a request."""
        path = unquote(request.url.path)
        self.requests.append((request.method, path))
        if request.method == "POST":
            return self._post(path, request)
        prefix = f"/{self.repository}/resolve/"
        if path.startswith(prefix):
            return self._resolve(path.removeprefix(prefix).partition("/")[2], request)
        if path.startswith(f"/api/models/{self.repository}"):
            return httpx2.Response(200, json={"id": self.repository, "sha": self.commit, "siblings": []})
        return _refusal(404, "RepoNotFound", "Repository not found")

    def _post(self, path: str, request: httpx2.Request) -> httpx2.Response:
        body = request.read()
        url = f"https://huggingface.co/{self.repository}"
        if self.refuses:
            return _refusal(self.refuses, "GatedRepo", "You don't have the rights")
        if path == "/api/repos/create":
            return httpx2.Response(200, json={"url": url, "id": self.repository})
        if path == "/api/validate-yaml":
            return httpx2.Response(200, json={"errors": [], "warnings": []})
        if "/preupload/" in path:
            files = [{"path": each["path"], "uploadMode": "regular"} for each in json.loads(body)["files"]]
            return httpx2.Response(200, json={"files": [{**each, "shouldIgnore": False} for each in files]})
        assert "/commit/" in path, path
        for line in body.splitlines():
            entry = json.loads(line)
            if entry["key"] == "file":
                self.files[entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
        return httpx2.Response(200, json={"commitUrl": f"{url}/commit/{self.commit}", "commitOid": self.commit})

    def _resolve(self, name: str, request: httpx2.Request) -> httpx2.Response:
        headers = {"X-Repo-Commit": self.commit}
        if name not in self.files:
            return _refusal(404, "EntryNotFound", "Entry not found", headers)
        content = self.files[name]
        headers |= {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "Content-Length": str(len(content))}
        return httpx2.Response(200, headers=headers, content=b"" if request.method == "HEAD" else content)


def _refusal(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> httpx2.Response:
    all_headers = {"X-Error-Code": code, "X-Error-Message": message, **(headers or {})}
    return httpx2.Response(status, headers=all_headers, json={"error": message})
