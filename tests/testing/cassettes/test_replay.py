"""Replay: clear failures, and chunks like a network's."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import httpx2
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.testing.cassettes.replay import cut, recut

if TYPE_CHECKING:
    from testing.cassettes.conftest import Project

TEXT = "Grüezi, 世界 🌍!"


def test_an_unrecorded_prompt_fails_and_names_the_request(
    project: Project, api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMKIT_RECORD_BASE_URL", api)
    project.write(project.POST).run("--record-mode=rewrite").assert_outcomes(passed=1)
    result = project.write(project.POST.replace("PROMPT", "another prompt")).run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "POST /v1/chat was not replayed: it differs from the closest recorded request in json_body: ask",
            "*cassette: */cassettes/test_it/test_post.yaml",
            "*pytest 'test_it.py::test_post' --record-mode=rewrite",
            "*recording_api_key and recording_base_url read OPENAI_API_KEY and LLMKIT_RECORD_BASE_URL*",
        ]
    )
    assert "another prompt" not in result.stdout.str()
    assert "make record" not in result.stdout.str()


ASKS = """
@pytest.mark.vcr
def test_ask(recording_base_url):
    for body in BODIES:
        httpx2.post(recording_base_url + "/chat", json=body)
"""


@pytest.mark.parametrize(
    ("recorded", "replayed", "named"),
    [
        # the fewest keys, wherever in the cassette
        ([{"a": 1, "b": 1, "c": 1}, {"a": 2, "b": 2, "c": 2}], [{"a": 2, "b": 2, "c": 3}], "json_body: c"),
        ([{"a": n} for n in range(9)] + [{"x": 1, "y": 1}], [{"x": 1, "y": 2}], "json_body: y"),
        # more differences than are shown
        (
            [dict.fromkeys("abcdefghi", 1), dict.fromkeys("abcdefgh", 1)],
            [dict.fromkeys("abcdefgh", 2)],
            "a, b, c, d, e, …",
        ),
        # of two as near as each other, the one not yet played
        ([{"a": 1, "b": 1}, {"a": 2, "b": 2}], [{"a": 1, "b": 1}, {"a": 1, "b": 2}], "json_body: a"),
        # a played one that is nearer
        ([{"a": 1, "b": 1}, {"a": 2, "b": 2}], [{"a": 1, "b": 1}, {"a": 1, "b": 1, "c": 1}], "c (not in the cassette)"),
    ],
)
def test_the_closest_recorded_request_has_the_fewest_differences(
    project: Project, api: str, monkeypatch: pytest.MonkeyPatch, recorded: object, replayed: object, named: str
) -> None:
    monkeypatch.setenv("LLMKIT_RECORD_BASE_URL", api)
    project.write(ASKS.replace("BODIES", repr(recorded))).run("--record-mode=rewrite").assert_outcomes(passed=1)
    result = project.write(ASKS.replace("BODIES", repr(replayed))).run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [f"*differs from the closest recorded request in json_body: {named.removeprefix('json_body: ')}"]
    )


def test_a_query_that_differs_counts_as_one(project: Project, api: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMKIT_RECORD_BASE_URL", api)
    asks = ASKS.replace("BODIES", "[{'a': 1}, {'a': 2, 'b': 2}]")
    project.write(asks).run("--record-mode=rewrite").assert_outcomes(passed=1)
    result = project.write(asks.replace("/chat", "/chat?n=1").replace("'b': 2", "'b': 3")).run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*differs from the closest recorded request in query"])


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
    project.write(project.POST).run("--record-mode=rewrite").assert_outcomes(passed=1)
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


@pytest.mark.parametrize(("sizes", "size"), [("None", 0), ("[100]", 100)])
def test_the_sizes_of_chunks_can_be_chosen(
    project: Project, api: str, monkeypatch: pytest.MonkeyPatch, sizes: str, size: int
) -> None:
    monkeypatch.setenv("LLMKIT_RECORD_BASE_URL", api)
    fixture = f"@pytest.fixture\ndef recut_sizes():\n    return {sizes}\n"
    project.write(fixture + STREAMED).run("--record-mode=rewrite").assert_outcomes(passed=2)
    expected = -(-len(project.SSE) // size) if size else 1
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
    chunks = ({"choices": [{"index": 0, "delta": {"content": letter}}]} for letter in TEXT)
    body = "".join(f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n" for chunk in chunks).encode()

    def serve(request: httpx2.Request) -> httpx2.Response:
        headers = {"content-type": "text/event-stream; charset=utf-8"}
        return recut(httpx2.Response(200, headers=headers, stream=httpx2.ByteStream(body)), sizes)

    http = httpx2.Client(transport=httpx2.MockTransport(serve))
    with openai.OpenAI(api_key="sk-fake", base_url="http://test", http_client=http) as client:
        stream = client.chat.completions.create(model="m", messages=[], stream=True)
        assert [chunk.choices[0].delta.content for chunk in stream] == list(TEXT)


def test_an_ordinary_body_is_not_cut() -> None:
    response = httpx2.Response(200, json={"a": 1})
    assert recut(response, [1]).json() == {"a": 1}
    assert isinstance(response.stream, httpx2.ByteStream)
