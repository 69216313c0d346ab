from __future__ import annotations

import base64
import importlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx2
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.testing._cassette_bodies import json_body, scrub_request, scrub_response
from llmkit.testing._cassette_replay import cut, recut
from llmkit.testing._cassette_secrets import find_secrets

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

importlib.import_module("vcr.config")  # stays imported: pytester would import yaml's C extension again

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


class Project:
    """A user's project with the plugin enabled, and one test module in it."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        pytester.makeconftest('pytest_plugins = ["llmkit.testing.cassettes"]')

    def write(self, body: str) -> Project:
        self.pytester.makepyfile(test_it="import json, os, anyio, httpx2, openai, pytest\n" + body)
        return self

    def run(self, *arguments: str) -> pytest.RunResult:
        return self.pytester.runpytest_inprocess("-p", "no:cacheprovider", *arguments)

    @property
    def folder(self) -> Path:
        return self.pytester.path / "cassettes" / "test_it"


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Project:
    for name in ("CI", "OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "AZURE_OPENAI_API_KEY", "AZURE_OPENAI_AD_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("LLMKIT_RECORD_BASE_URL", raising=False)
    return Project(pytester)


POST = """
@pytest.mark.vcr
def test_post(recording_base_url, recording_api_key):
    headers = {"authorization": f"Bearer {recording_api_key}", "x-stainless-os": "Plan9", "x-kept": "yes"}
    reply = httpx2.post(recording_base_url + "/chat?n=1", headers=headers, json={"model": "m", "ask": "PROMPT"})
    assert reply.json() == {"echo": "hello"}
"""


# Recording


def test_a_recording_is_scrubbed_and_replays_for_another_host(
    project: Project, api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMKIT_RECORD_BASE_URL", api)
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    project.write(POST).run("--record-mode=rewrite").assert_outcomes(passed=1)
    text = (project.folder / "test_post.yaml").read_text()
    assert "Bearer sk-redacted" in text
    assert "x-kept" in text
    for private in (CANARY, "Plan9", "session=private", "acme", "user-agent"):
        assert private not in text
    project.run().assert_outcomes(passed=1)


def test_a_recording_with_a_credential_fails_and_leaves_nothing_on_disk(
    project: Project, api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMKIT_RECORD_BASE_URL", api)
    asks = '    httpx2.post(recording_base_url + "/chat", json={"ask": "leak"})\n'
    project.write(f"@pytest.mark.vcr\ndef test_leak(recording_base_url):\n{asks}\ndef test_next(): pass\n")
    result = project.run("--record-mode=rewrite")
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*cassettes/test_it/test_leak.yaml:*: OpenAI API key", "Nothing was written."])
    assert CANARY not in result.stdout.str()
    assert not project.folder.exists()
    assert "network_like" not in repr(httpx2.HTTPTransport.handle_request)


def test_ci_refuses_to_record(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.write("def test_nothing(): pass")
    monkeypatch.setenv("CI", "true")
    result = project.run("--record-mode=once")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--record-mode is refused while CI is set*"])
    project.run().assert_outcomes(passed=1)
    monkeypatch.setenv("CI", "false")
    project.run("--record-mode=once").assert_outcomes(passed=1)


def test_a_mark_cannot_turn_recording_on(project: Project) -> None:
    result = project.write("@pytest.mark.vcr(record_mode='once')\ndef test_it(): pass").run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["record with --record-mode: *"])


def test_without_pytest_recording_the_extra_is_named(project: Project) -> None:
    result = project.write("def test_nothing(): pass").run("-p", "no:recording")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*pip install 'llmkit?testing?'*"])


def test_offline_the_client_is_pointed_at_the_real_api_with_a_key_that_opens_nothing(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMKIT_RECORD_BASE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    fixtures = "recording_base_url, recording_api_key"
    pair = '("https://api.openai.com/v1", "sk-fake")'
    project.write(f"def test_offline({fixtures}):\n    assert ({fixtures}) == {pair}")
    project.run().assert_outcomes(passed=1)
    monkeypatch.delenv("LLMKIT_RECORD_BASE_URL")
    monkeypatch.delenv("OPENAI_API_KEY")
    project.run("--record-mode=once").assert_outcomes(passed=1)


# Replay


def test_an_unrecorded_prompt_fails_and_names_the_request(
    project: Project, api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMKIT_RECORD_BASE_URL", api)
    project.write(POST).run("--record-mode=rewrite").assert_outcomes(passed=1)
    result = project.write(POST.replace("PROMPT", "another prompt")).run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "POST /v1/chat was not replayed: it differs from the closest recorded request in json_body: ask",
            "*cassette: */cassettes/test_it/test_post.yaml",
            "*pytest 'test_it.py::test_post' --record-mode=rewrite",
        ]
    )
    assert "another prompt" not in result.stdout.str()


@pytest.mark.parametrize(
    ("requests", "reason"),
    [
        ('post("/chat?n=1"); post("/chat?n=1")', "it is in the cassette, but was played already"),
        ('post("/chat?key=private")', "it differs from the closest recorded request in query"),
        (
            'post("/other?n=1")',
            "it differs from the closest recorded request in path: /v1/other != /v1/chat",
        ),
        ('httpx2.get("https://api.openai.com/")', "no recorded request resembles it"),
    ],
)
def test_the_reason_for_a_failed_replay_is_told(
    project: Project, api: str, monkeypatch: pytest.MonkeyPatch, requests: str, reason: str
) -> None:
    monkeypatch.setenv("LLMKIT_RECORD_BASE_URL", api)
    project.write(POST).run("--record-mode=rewrite").assert_outcomes(passed=1)
    post = "    post = lambda path: httpx2.post(url + path, json={'model': 'm', 'ask': 'PROMPT'})\n"
    replays = (
        f"@pytest.mark.vcr\ndef test_post(recording_base_url):\n    url = recording_base_url\n{post}    {requests}"
    )
    result = project.write(replays).run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"*was not replayed: {reason}"])
    assert "private" not in result.stdout.str()


def test_a_missing_cassette_stops_code_that_retries_every_exception(project: Project) -> None:
    result = project.write("""
@pytest.mark.vcr
def test_it(recording_base_url, recording_api_key):
    waits = []
    async def ask():
        async with openai.AsyncOpenAI(base_url=recording_base_url, api_key=recording_api_key) as client:
            for attempt in range(3):
                try:
                    await client.models.list()
                except Exception:
                    waits.append(attempt)
    try:
        anyio.run(ask)
    finally:
        assert waits == []
""").run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["GET /v1/models was not replayed: there is no cassette"])


def test_the_network_is_blocked_and_loopback_is_not(project: Project, api: str) -> None:
    project.write(f"""
import socket
def test_blocked():
    with socket.socket() as far, pytest.raises(RuntimeError, match="Network is disabled"):
        far.connect(("192.0.2.1", 443))

@pytest.mark.block_network(allowed_hosts=["192.0.2.7"])
def test_loopback():
    assert httpx2.post("{api}/chat", json={{}}).json() == {{"echo": "hello"}}
""").run().assert_outcomes(passed=2)


# Chunks

STREAMED = """
def counted(chunks):
    assert b"".join(chunks).endswith(b"data: [DONE]\\n\\n")
    print("chunks:", len(chunks))

@pytest.mark.vcr
def test_sync(recording_base_url):
    with httpx2.stream("POST", recording_base_url + "/chat", json={"stream": True}) as reply:
        counted(list(reply.iter_raw()))

@pytest.mark.vcr
def test_async(recording_base_url):
    async def ask():
        async with httpx2.AsyncClient() as client:
            async with client.stream("POST", recording_base_url + "/chat", json={"stream": True}) as reply:
                counted([chunk async for chunk in reply.aiter_raw()])
    anyio.run(ask)
"""


def chunks(result: pytest.RunResult) -> list[int]:
    return [int(count) for count in re.findall(r"chunks: (\d+)", result.stdout.str())]


def test_a_replayed_stream_is_cut_the_same_way_in_every_run(
    project: Project, api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMKIT_RECORD_BASE_URL", api)
    project.write(STREAMED).run("--record-mode=rewrite").assert_outcomes(passed=2)
    first, second = chunks(project.run("-s")), chunks(project.run("-s"))
    assert first == second
    assert first[0] != first[1]  # each test has its own cuts
    assert min(first) > 20


@pytest.mark.parametrize(("sizes", "expected"), [("None", 1), ("[100]", -(-len(SSE) // 100))])
def test_the_sizes_of_chunks_can_be_chosen(
    project: Project, api: str, monkeypatch: pytest.MonkeyPatch, sizes: str, expected: int
) -> None:
    monkeypatch.setenv("LLMKIT_RECORD_BASE_URL", api)
    fixture = f"@pytest.fixture\ndef recut_sizes():\n    return {sizes}\n"
    project.write(fixture + STREAMED).run("--record-mode=rewrite").assert_outcomes(passed=2)
    assert chunks(project.run("-s")) == [expected, expected]


@given(body=st.binary(max_size=300), sizes=st.lists(st.integers(1, 50), min_size=1, max_size=5))
def test_cutting_loses_nothing_and_keeps_to_the_sizes(body: bytes, sizes: list[int]) -> None:
    pieces = list(cut(body, sizes))
    assert b"".join(pieces) == body
    assert all(0 < len(piece) <= sizes[index % len(sizes)] for index, piece in enumerate(pieces))
    assert [len(piece) for piece in pieces[:-1]] == [sizes[i % len(sizes)] for i in range(len(pieces) - 1)]


@pytest.mark.parametrize("sizes", [[], [3, 0]])
def test_a_size_that_would_never_end_is_refused(sizes: list[int]) -> None:
    with pytest.raises(ValueError, match="recut_sizes"):
        list(cut(b"body", sizes))


@given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=6))
def test_the_events_do_not_depend_on_the_cuts(sizes: list[int]) -> None:
    def serve(request: httpx2.Request) -> httpx2.Response:
        headers = {"content-type": "text/event-stream; charset=utf-8"}
        return recut(httpx2.Response(200, headers=headers, stream=httpx2.ByteStream(SSE)), sizes)

    http = httpx2.Client(transport=httpx2.MockTransport(serve))
    with openai.OpenAI(api_key="sk-fake", base_url="http://test", http_client=http) as client:
        stream = client.chat.completions.create(model="m", messages=[], stream=True)
        assert [chunk.choices[0].delta.content for chunk in stream] == list(TEXT)


def test_an_ordinary_body_is_not_cut() -> None:
    response = httpx2.Response(200, json={"a": 1})
    assert recut(response, [1]).json() == {"a": 1}
    assert isinstance(response.stream, httpx2.ByteStream)


# Credentials

CASSETTE = """\
interactions:
- request:
    body: 'BODY'
    headers:
      HEADER:
      - VALUE
    method: GET
    uri: https://api.openai.com/v1/models
  response:
    body: {string: '{}'}
    headers: {}
    status: {code: 200, message: OK}
version: 1
"""


def cassette(body: str = "", header: str = "accept", value: str = "'*/*'") -> str:
    return CASSETTE.replace("BODY", body).replace("HEADER", header).replace("VALUE", value)


@pytest.mark.parametrize("planted", ["test_get.yaml", "extra.yaml"])
def test_a_credential_in_a_cassette_fails_the_run_without_being_printed(project: Project, planted: str) -> None:
    project.write("@pytest.mark.vcr('extra.yaml')\ndef test_get():\n    httpx2.get('https://api.openai.com/v1/models')")
    project.folder.mkdir(parents=True)
    for name in ("test_get.yaml", "extra.yaml"):
        (project.folder / name).write_text(cassette(f"key {CANARY}" if name == planted else ""))
    result = project.run("--showlocals")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*cassettes/test_it/{planted}:3: OpenAI API key"])
    assert CANARY not in result.stdout.str()
    (project.folder / planted).write_text(cassette("key sk-fake"))
    project.run("--showlocals").assert_outcomes(passed=1)


def test_a_cassette_outside_the_project_is_named_in_full(
    project: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "extra.yaml"
    elsewhere.write_text(cassette(CANARY))
    result = project.write(f"@pytest.mark.vcr({str(elsewhere)!r})\ndef test_get(): pass").run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*{elsewhere}:3: OpenAI API key"])


@pytest.mark.parametrize(
    ("text", "kind", "line"),
    [
        (cassette("sk-abcdefgh12345678"), "OpenAI API key", 3),
        (cassette(r"key:\n" + CANARY), "OpenAI API key", 3),
        (cassette(r"\u00e9" + CANARY), "OpenAI API key", 3),
        (cassette(r"\xE9" + CANARY), "OpenAI API key", 3),
        (cassette("q=a%20" + CANARY), "OpenAI API key", 3),
        (cassette("use Bearer eyJhbGciOi.J9 now"), "bearer token", 3),
        (cassette(r"\nbearer\n eyJhbGciOi.J9 now".replace(r"\n e", "\n e")), "bearer token", 3),
        (cassette(header="authorization", value="Bearer abc"), "credential header", 5),
        (cassette(header="api-key", value="0123456789abcdef0123456789abcdef"), "credential header", 5),
        (cassette(header="set-cookie", value="session=1"), "credential header", 5),
        (cassette(header="openai-organization", value="org-AbCdEf123456"), "organization id", 6),
        (cassette(header="openai-project", value="proj_AbCdEf123456"), "project id", 6),
        (
            f"a: 1\nbody: !!binary |\n  {base64.b64encode(b'PNG ' + CANARY.encode()).decode()}\n  headers:\n",
            "OpenAI API key",
            2,
        ),
    ],
)
def test_each_kind_of_credential_is_found_on_its_line(text: str, kind: str, line: int) -> None:
    assert (kind, line) in [(finding.kind, finding.line) for finding in find_secrets(text)]


@pytest.mark.parametrize(
    "text",
    [
        cassette(header="authorization", value="Bearer sk-redacted"),
        cassette(header="authorization", value="Bearer sk-fake"),
        cassette("task-management, sk-fake, sk-redacted, Bearer authentication, org-chart-drawing, disk-encryption"),
        "body: !!binary |\n  abc\n",
    ],
)
def test_placeholders_and_prose_are_not_credentials(text: str) -> None:
    assert find_secrets(text) == []


def test_the_value_of_a_key_variable_is_a_credential_whatever_its_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "hunter2hunter2")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-fake")
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "short")
    found = find_secrets("first\nsk-fake short hunter2hunter2")
    assert [(finding.line, finding.kind) for finding in found] == [(2, "value of AZURE_OPENAI_API_KEY")]
    assert "hunter2" not in repr(found)


# Bodies


def request(body: object, content_type: str = "application/json") -> Any:
    sent = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    return SimpleNamespace(headers={"content-type": content_type}, body_bytes=sent)


@pytest.mark.parametrize(
    ("sent", "recorded", "named"),
    [
        ({"a": 1, "seed": 2}, {"a": 1}, "seed (not in the cassette)"),
        ({"a": 1}, {"a": 1, "seed": 2}, "seed (only in the cassette)"),
        ({"m": [{"content": "x"}]}, {"m": [{"content": "y"}]}, "m[0].content"),
        ({"m": [1, 2]}, {"m": [1]}, "m[1] (not in the cassette)"),
        ({"strict": True}, {"strict": 1}, "strict"),
        ({"m": {"0": 1}}, {"m": [1]}, "m"),
        ({"m": {}}, {"m": []}, "m"),
        ([1], [], "the whole body"),
        (b"{", b"}", "the whole body"),
        (b"{", {}, "the whole body"),
        ({str(n): 1 for n in range(7)}, {str(n): 2 for n in range(7)}, "0, 1, 2, 3, 4, …"),
    ],
)
def test_a_difference_is_named_by_its_keys(sent: object, recorded: object, named: str) -> None:
    with pytest.raises(AssertionError) as caught:
        json_body(request(sent), request(recorded))
    assert str(caught.value) == named


def test_equal_meaning_matches() -> None:
    json_body(request(b'{"a":1,"b":[null]}'), request(b'{ "b": [null], "a": 1 }'))
    json_body(request(None, ""), request(b"", "text/plain"))
    json_body(
        request(b"--xyz\r\nfile\r\n--xyz--", "multipart/form-data; boundary=xyz"),
        request(b"--0123\r\nfile\r\n--0123--", 'multipart/form-data; boundary="0123"'),
    )
    with pytest.raises(AssertionError, match="the whole body"):
        json_body(request(b"--x--a", "multipart/form-data; boundary=x"), request(b"--y--b", "m; boundary=y"))


def test_only_harmless_headers_are_kept() -> None:
    sent = {"accept": "*/*", "authorization": "Bearer x", "api-key": "x", "X-Goog-Api-Key": "x", "Cookie": "x"}
    scrubbed = scrub_request(SimpleNamespace(headers=sent, body_bytes=b""))  # type: ignore[arg-type]
    assert scrubbed.headers == {"accept": "*/*", "authorization": "Bearer sk-redacted"}
    assert scrub_request(request({})).headers == {"content-type": "application/json"}
    answered = {"headers": {"Set-Cookie": ["x"], "CF-Ray": ["x"], "Date": ["x"], "retry-after": ["1"]}, "body": {}}
    assert scrub_response(answered) == {"headers": {"retry-after": ["1"]}, "body": {}}
