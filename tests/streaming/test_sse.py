from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.streaming.sse import BlockSplitter, data_of, event_bytes

EVENTS = [b'data: {"a": 1}', b"event: x\ndata: caf\xc3\xa9", b": keep-alive", b"data: one\ndata: two", b"data: [DONE]"]


@given(
    st.lists(st.sampled_from(EVENTS), max_size=6),
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
    st.lists(st.integers(1, 9), min_size=1, max_size=30),
)
def test_what_goes_in_comes_out_whole_wherever_the_network_cuts(
    events: list[bytes], end: bytes, sizes: list[int]
) -> None:
    body = b"".join(event.replace(b"\n", end) + end + end for event in events) + b"data: tail"
    splitter, blocks = BlockSplitter(), list[bytes]()
    position = 0
    for size in sizes:
        blocks += splitter.feed(body[position : position + size])
        position += size
    blocks += splitter.feed(body[position:])
    blocks.append(splitter.flush())
    assert b"".join(blocks) == body
    expected = [data_of(event) for event in [*events, b"data: tail"]]
    assert [data for data in map(data_of, blocks) if data] == [data for data in expected if data]


def test_data_lines_are_joined_and_one_leading_space_is_dropped() -> None:
    assert data_of(b"id: 1\r\ndata:  two spaces\r\ndata:none\r\n\r\n") == b" two spaces\nnone"
    assert data_of(b": comment\n\n") == b""


@pytest.mark.parametrize("payload", [{"text": "né\u2028\x85\r\n\n🙂"}, {"text": "half a pair: \ud83d"}, {}])
def test_an_event_comes_back_whatever_its_text(payload: dict[str, Any]) -> None:
    splitter = BlockSplitter()
    (block,) = splitter.feed(event_bytes(payload))
    assert (splitter.flush(), json.loads(data_of(block))) == (b"", payload)


def test_an_event_is_named_by_its_type() -> None:
    assert event_bytes({"type": "error", "code": 1}) == b'event: error\ndata: {"type":"error","code":1}\n\n'
    assert event_bytes({"code": 1}) == b'data: {"code":1}\n\n'
