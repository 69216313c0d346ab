"""One answer in its two forms, whole and as server-sent events, and each made from the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from llmkit.cache.replay_chat import chat_chunks, completion_chunks, completion_of
from llmkit.streaming.event_json import event_json
from llmkit.streaming.facts import Fields, values_of
from llmkit.streaming.gather_chat import ChatGatherer
from llmkit.streaming.gather_responses import ResponseGatherer
from llmkit.streaming.response_events import response_events
from llmkit.streaming.sse import BlockSplitter, data_of, event_bytes
from llmkit.structure import read_json

_DONE: Final = b"data: [DONE]\n\n"


def answer_of(operation: str, events: bytes) -> bytes | None:
    """The JSON that the same request gives without `stream`; None when the stream is not whole or cannot be read."""
    try:
        return _gathered(operation, events)
    except Exception:  # noqa: BLE001 - servers send what they like, and only what is understood is kept
        return None


def events_of(operation: str, body: bytes) -> bytes:
    """The stream that the API would send for a JSON answer: all its fields, in as few events as readers expect."""
    answer = values_of(read_json(body))
    if operation == "responses":
        return b"".join(map(event_bytes, response_events(answer)))
    chunks = chat_chunks(answer) if operation == "chat.completions" else completion_chunks(answer)
    return b"".join(map(event_bytes, chunks)) + _DONE


def replayed(operation: str, events: bytes) -> bytes:
    """A whole stream as it is sent again: without comments and keep-alives, and with an end that says so."""
    blocks = list(_blocks(events))
    ended = operation == "responses" or any(data.startswith(b"[DONE]") for _, data in blocks[-1:])
    return b"".join(block for block, _ in blocks) + (b"" if ended else _DONE)


def _gathered(operation: str, events: bytes) -> bytes | None:
    found: list[Fields] = []
    done = False
    for block, data in _blocks(events):
        if done := data.startswith(b"[DONE]"):
            break
        event = values_of(read_json(data))
        if not block or not event or event.get("error") or event.get("type") == "error":
            return None
        found.append(event)
    if operation == "responses":
        return _response(found)
    done = done or found[-1].get("usage") is not None
    return _GATHERERS[operation](found) if done else None


def _chat(chunks: list[Fields]) -> bytes | None:
    gatherer = ChatGatherer()
    for chunk in chunks:
        gatherer.add(chunk)
    return event_json(gatherer.completion).encode() if gatherer.finished else None


def _completion(chunks: list[Fields]) -> bytes | None:
    answer = completion_of(chunks)
    finished = answer["choices"] and all(choice["finish_reason"] for choice in answer["choices"])
    return event_json(answer).encode() if finished else None


def _response(events: list[Fields]) -> bytes | None:
    gatherer = ResponseGatherer()
    for event in events:
        gatherer.add(event)
    response = gatherer.response
    return event_json(response).encode() if gatherer.finished and response.status == "completed" else None


_GATHERERS: Final = {"chat.completions": _chat, "completions": _completion}


def _blocks(events: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Each event with its data, up to `[DONE]`; one that is cut at the end has no block."""
    splitter = BlockSplitter()
    for block in splitter.feed(events):
        if data := data_of(block):
            yield block, data
            if data.startswith(b"[DONE]"):
                return
    if rest := data_of(splitter.flush()):
        yield _DONE if rest.startswith(b"[DONE]") else b"", rest
