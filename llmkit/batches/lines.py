"""One request as a line of a batch file. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

import openai

from llmkit import _sdk

FIELDS: Final = {"/v1/chat/completions": "messages", "/v1/responses": "input", "/v1/embeddings": "input"}
"""The endpoints, and what a request must have beside its model."""
_NOTHING: Final[Mapping[str, Any]] = {}
_NOT_IN_A_BATCH: Final = ("extra_headers", "extra_query", "timeout")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line and what counts against the limits of a file."""

    index: int
    """Of its request."""
    model: str
    content: bytes
    inputs: int
    """Texts to embed; 0 for other endpoints."""


def line_of(index: int, request: object, *, endpoint: str) -> Line:
    """The line for `requests[index]`; a TypeError or ValueError says what a batch cannot do with it."""
    if not isinstance(request, Mapping):
        raise TypeError(f"requests[{index}] is a {type(request).__name__}; give the arguments of one call as a dict")
    body = _body(index, cast("Mapping[str, Any]", request))
    for name in ("model", FIELDS[endpoint]):
        if body.get(name) is None:
            raise ValueError(f"requests[{index}] has no {name!r}, which {endpoint} needs")
    line = {"custom_id": custom_id(index), "method": "POST", "url": endpoint, "body": body}
    try:
        content = _sdk.dumps(line) + b"\n"
    except (TypeError, ValueError) as error:
        raise TypeError(f"requests[{index}] cannot be written as JSON: {error}") from None
    return Line(
        index=index, model=str(body["model"]), content=content, inputs=_inputs(body) if "embed" in endpoint else 0
    )


def custom_id(index: int) -> str:
    """How the API calls the request."""
    return f"request-{index}"


def index_of(given: object) -> int | None:
    """The index behind a `custom_id`."""
    number = given.removeprefix("request-") if isinstance(given, str) else ""
    return int(number) if number.isdecimal() else None


def _body(index: int, request: Mapping[str, Any]) -> dict[str, Any]:
    for name in _NOT_IN_A_BATCH:
        if request.get(name) is not None:
            raise ValueError(f"requests[{index}] has {name!r}, which a line of a batch cannot carry; leave it out")
    extra: Mapping[str, Any] = request.get("extra_body") or _NOTHING
    body = {**request, **extra}
    if body.get("stream"):
        raise ValueError(f"requests[{index}] asks for a stream, which a batch cannot give; leave out 'stream'")
    apart = {*_NOT_IN_A_BATCH, "extra_body", "stream"}
    return {
        name: value
        for name, value in body.items()
        if name not in apart and not isinstance(value, openai.NotGiven | openai.Omit)
    }


def _inputs(body: Mapping[str, Any]) -> int:
    """Texts, or lists of token ids."""
    given: Any = body["input"]
    is_many = type(given) in (list, tuple) and bool(given) and not isinstance(given[0], int)
    return len(given) if is_many else 1
