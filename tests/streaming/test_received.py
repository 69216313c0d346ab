from __future__ import annotations

import gzip

import httpx2
import pytest

from llmkit.streaming.received import Received


def opened(**headers: str) -> httpx2.Response:
    return httpx2.Response(200, headers=headers, stream=httpx2.ByteStream(b""))


def test_the_body_of_an_answer_in_memory_is_there() -> None:
    received = Received("answer", httpx2.Response(200, content=b"{}", headers={"x-request-id": "req_1"}))
    assert received.is_read
    assert received.content() == b"{}"
    assert received.request_id == "req_1"
    received.feed(b"more")
    assert received.content() == b"{}"


def test_an_open_answer_is_copied_as_it_is_read() -> None:
    received = Received("stream", opened())
    assert not received.is_read
    received.feed(b"before")
    received.keep(100)
    received.feed(b"one ")
    received.feed(b"two")
    assert received.content() == b"one two"
    assert not received.is_read
    assert received.request_id is None


def test_a_copy_is_decoded() -> None:
    received = Received("stream", opened(**{"content-encoding": "gzip"}))
    received.keep(100)
    received.feed(gzip.compress(b"hello"))
    assert received.content() == b"hello"


@pytest.mark.parametrize("fed", [b"\x1f\x8b nonsense", b""])
def test_what_does_not_decode_and_what_is_empty_is_no_content(fed: bytes) -> None:
    received = Received("stream", opened(**{"content-encoding": "gzip"}))
    received.keep(100)
    received.feed(fed)
    assert received.content() is None


def test_more_than_is_wanted_is_not_kept() -> None:
    received = Received("stream", opened())
    received.keep(5)
    received.feed(b"12345")
    assert received.content() == b"12345"
    received.feed(b"6")
    received.feed(b"7")
    assert received.content() is None


def test_an_answer_that_has_not_been_read_has_no_content() -> None:
    assert Received("stream", opened()).content() is None
