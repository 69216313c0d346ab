"""What the fake API passes between its parts: requests, planned replies, answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

import httpx2

from llmkit.streaming.sse import event_bytes

CREATED = 1_700_000_000
"""The `created` of every answer, in seconds since the epoch, so that answers are reproducible."""

JSONObject: TypeAlias = dict[str, Any]  # decoded JSON, which users index freely


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeRequest:
    """A request as the fake API received it.

    `path` has no query and no host, `body` is the decoded JSON object and `{}` when there was none.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: httpx2.Headers
    body: JSONObject
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A tool call the model makes; `arguments` is JSON text, valid or not."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A planned reply; without text, tool calls and refusal the default rule writes it."""

    text: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    refusal: str | None = None
    finish_reason: str | None = None
    usage: Mapping[str, object] = field(default_factory=dict[str, object])
    drop_after: int | None = None
    drop_error: Exception | None = None

    @property
    def is_blank(self) -> bool:
        """True when nothing says what to answer."""
        return self.text is None and self.refusal is None and not self.tool_calls

    @property
    def generated_text(self) -> str:
        """Everything the model wrote, as output tokens are counted on it."""
        calls = "".join(call.name + call.arguments for call in self.tool_calls)
        return (self.text or "") + (self.refusal or "") + calls


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """All that one answer is made from."""

    number: int
    body: JSONObject
    model: str
    reply: Reply
    prompt_tokens: int
    stream_chars: int

    def pieces(self, text: str) -> Iterator[str]:
        """`text` in streamed fragments."""
        for start in range(0, len(text), self.stream_chars):
            yield text[start : start + self.stream_chars]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An HTTP answer: `parts` are the body, one server-sent event each; `error` breaks it off after them."""

    status: int = 200
    headers: httpx2.Headers
    parts: tuple[bytes, ...]
    error: Exception | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiError:
    """An error in OpenAI's shape."""

    status: int
    message: str
    type: str = "invalid_request_error"
    param: str | None = None
    code: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])

    def answer(self, number: int) -> Answer:
        """The HTTP answer to request `number`."""
        error = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        headers = httpx2.Headers({"content-type": "application/json", "x-request-id": f"req_fake_{number}"})
        headers.update(self.headers)
        return Answer(status=self.status, headers=headers, parts=(json_bytes({"error": error}),))


Outcome: TypeAlias = Callable[[FakeRequest, int], Answer]
"""A planned answer that is no reply: an error, an exception, a response of the user's own."""


def json_text(value: object) -> str:
    """Compact JSON, as the API sends it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def json_bytes(value: object) -> bytes:
    """Compact JSON as UTF-8; half of a surrogate pair is escaped, because UTF-8 cannot hold it."""
    return json_text(value).encode("utf-8", "backslashreplace")


def as_object(value: object) -> JSONObject:
    """`value` when it is a JSON object, else an empty one."""
    return cast("JSONObject", value) if isinstance(value, dict) else {}


def as_list(value: object) -> list[Any]:
    """`value` when it is a JSON array, else an empty one."""
    return cast("list[object]", value) if isinstance(value, list) else []


def merged(base: JSONObject, changes: Mapping[str, object]) -> JSONObject:
    """`base` with `changes` laid over it, objects inside objects too."""
    result = dict(base)
    for key, value in changes.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], cast("Mapping[str, object]", value)) if both else value
    return result


def choice_count(body: JSONObject) -> int:
    """How many choices `body` asks for with `n`."""
    return body.get("n") or 1


def usage_chunks(turn: Turn, chunks: Iterable[JSONObject], usage: JSONObject) -> Iterator[bytes]:
    """`chunks` as server-sent events, with the extra usage chunk when `stream_options` asks for it."""
    wanted = as_object(turn.body.get("stream_options")).get("include_usage")
    last: JSONObject = {}
    for chunk in chunks:
        last = chunk
        yield event_bytes(chunk | {"usage": None} if wanted else chunk)
    if wanted:
        yield event_bytes(last | {"choices": [], "usage": usage})
    yield b"data: [DONE]\n\n"
