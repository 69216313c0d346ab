"""A project of a user that has the plugin on, and an API to record."""

from __future__ import annotations

import importlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# These stay imported: pytester would import them again, and twice is once too often for them.
importlib.import_module("vcr.config")
importlib.import_module("httpcore2")

CANARY = "sk-proj-c4n4ryc4n4ryc4n4ry"
TEXT = "Grüezi, 世界 🌍!"
SSE = "".join(
    f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n"
    for chunk in (
        {
            "id": "1",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "m",
            "choices": [{"index": 0, "delta": {"content": letter}, "finish_reason": None}],
        }
        for letter in TEXT
    )
).encode() + b"data: [DONE]\n\n"  # fmt: skip


class Api(BaseHTTPRequestHandler):
    """An API that sets a cookie, names the organization, and gives its key away when asked for it."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        answer = json.dumps({"echo": CANARY if b"leak" in body else "hello"}).encode()
        streamed = b'"stream"' in body
        self.send_response(200)
        self.send_header("content-type", "text/event-stream" if streamed else "application/json")
        self.send_header("set-cookie", "session=private")
        self.send_header("openai-organization", "acme")
        answer = SSE if streamed else answer
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:
        """Stay quiet."""


@pytest.fixture
def api() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Api) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()
        thread.join()


POST = """
@pytest.mark.vcr
def test_post(recording_base_url, recording_api_key):
    headers = {"authorization": f"Bearer {recording_api_key}", "x-stainless-os": "Plan9", "x-kept": "yes"}
    reply = httpx2.post(recording_base_url + "/chat?n=1", headers=headers, json={"model": "m", "ask": "PROMPT"})
    assert reply.json() == {"echo": "hello"}
"""


class Project:
    """A user's project with the plugin enabled, and one test module in it."""

    POST = POST
    SSE = SSE
    CANARY = CANARY

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        pytester.makeconftest('pytest_plugins = ["llmkit.testing.cassettes"]')

    def write(self, body: str) -> Project:
        self.pytester.makepyfile(test_it="import json, os, anyio, httpx2, openai, pytest\n" + body)
        return self

    def run(self, *arguments: str) -> pytest.RunResult:
        return self.pytester.runpytest_inprocess("-p", "no:cacheprovider", *arguments)

    def cassette(self, test: str, folder: str = "test_it") -> Path:
        return self.pytester.path / "cassettes" / folder / f"{test}.yaml"

    @property
    def folder(self) -> Path:
        return self.pytester.path / "cassettes" / "test_it"


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Project:
    for name in ("CI", "OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "AZURE_OPENAI_API_KEY", "AZURE_OPENAI_AD_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("LLMKIT_RECORD_BASE_URL", raising=False)
    return Project(pytester)
