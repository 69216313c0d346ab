"""Whether an answer has what the SDK's types promise; asked before anybody trusts it. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, cast

import openai
import pydantic_core

from llmkit.errors import InvalidResponse
from llmkit.streaming.facts import Fields, plain, values_of

_MODELS = "openai.types."
_PLAIN_DATA = (str, list, int, float)
_OF_ANSWERS = frozenset({"id", "object", "created", "created_at", "choices", "output", "data", "usage"})
_OF_ERRORS = frozenset({"error", "errors", "code", "detail", "message", "msg", "status", "success"})


def is_checked(operation: str, cast_to: Any) -> bool:
    """Whether the answer is one of those known here, as a model of the SDK's."""
    return operation in _CHECKS and getattr(cast_to, "__module__", "").startswith(_MODELS)


def missing_in(answer: object, *, operation: str, body: Mapping[str, Any], strictly: bool) -> str | None:
    """What the answer to a checked operation lacks, "choices[0].message"; None when nothing.

    An object that is neither an answer nor an error, as test doubles send, passes unless `strictly`.
    """
    if answer.__class__ is dict or answer.__class__.__module__.startswith(_MODELS):
        missing = _CHECKS[operation](values_of(answer), body)
        return None if missing is not None and not strictly and _is_foreign(answer) else missing
    # Of what is no JSON object the SDK makes plain data, of a page its text; the rest are classes of the caller's.
    return "a JSON object" if answer is None or isinstance(answer, _PLAIN_DATA) else None


def read_json(content: bytes) -> Any:
    """What a JSON body says, read fast; `json.JSONDecodeError` or `UnicodeDecodeError` when it says nothing."""
    try:
        return pydantic_core.from_json(content)
    except ValueError:
        return json.loads(content)


def unreadable(error: Exception) -> str | None:
    """What could not be read, when `error` is the SDK's or the parser's complaint of a body."""
    if isinstance(error, json.JSONDecodeError):
        return f"JSON at byte {len(error.doc[: error.pos].encode(errors='replace'))}" if error.doc else "JSON"
    if isinstance(error, UnicodeDecodeError):
        return f"JSON at byte {error.start}"
    if isinstance(error, openai.APIResponseValidationError):
        errors = getattr(error.__cause__, "errors", None)
        found: list[Any] = errors(include_input=False, include_url=False, include_context=False) if errors else []
        return ".".join(str(part) for part in found[0]["loc"]) if found else "JSON"
    return None


def is_no_stream(response: Any) -> bool:
    """Whether the headers of an answer that is to be streamed say that it is a web page."""
    return _content_type(response) == "text/html"


def has_no_events(response: Any) -> bool:
    """Whether a stream that had no event was, by its headers, none in the first place."""
    return _content_type(response) in ("text/html", "application/json")


def invalid_response(missing: str, response: Any, *, operation: str, answer: object = None) -> InvalidResponse:
    """The error that names what is missing and where the answer came from, without a word of its text."""
    content_type, request_id = _content_type(response), response.headers.get("x-request-id")
    reported = values_of(values_of(answer).get("error"))
    codes = [str(code) for code in (reported.get("code"), reported.get("type")) if plain(str(code)) and code]
    known = [
        f"HTTP {response.status_code}",
        f"content-type {plain(content_type) or 'unknown'}",
        *([f"request id {request_id}"] if plain(request_id) else []),
        *([f"error reported in it: {', '.join(codes)}"] if codes else []),
    ]
    return InvalidResponse(
        f"the answer to {operation} is malformed: {missing} is missing or wrong ({'; '.join(known)})",
        operation=operation,
        missing=missing,
        status_code=response.status_code,
        content_type=content_type,
        request_id=request_id,
        response=response,
    )


def _is_foreign(answer: Any) -> bool:
    given = {*answer} if answer.__class__ is dict else {*answer.model_fields_set, *(answer.model_extra or ())}
    return bool(given) and given.isdisjoint(_OF_ANSWERS | _OF_ERRORS)


def _content_type(response: Any) -> str:
    given: str = response.headers.get("content-type", "")
    return given.partition(";")[0].strip().lower()


def _chat(fields: Fields, _body: Mapping[str, Any]) -> str | None:
    choices = fields.get("choices")
    if choices.__class__ is not list:
        return "choices"
    for index, choice in enumerate(cast("list[object]", choices)):
        message = values_of(choice).get("message")
        if message is None or isinstance(message, _PLAIN_DATA):
            return f"choices[{index}].message"
    return None


def _response(fields: Fields, _body: Mapping[str, Any]) -> str | None:
    return None if fields.get("output").__class__ is list else "output"


def _embeddings(fields: Fields, body: Mapping[str, Any]) -> str | None:
    data = fields.get("data")
    if data.__class__ is not list:
        return "data"
    items, asked = cast("list[object]", data), _inputs(body.get("input"))
    if asked is not None and len(items) != asked:
        return f"data ({len(items)} of {asked} embeddings)"
    for index, item in enumerate(items):
        if not values_of(item).get("embedding"):
            return f"data[{index}].embedding"
    return None


def _inputs(given: Any) -> int | None:
    """How many texts were sent; a list of token ids is one."""
    if isinstance(given, str):
        return 1
    if not isinstance(given, list) or not given:
        return None
    texts = cast("list[object]", given)
    return 1 if isinstance(texts[0], int) else len(texts)


_CHECKS: dict[str, Callable[[Fields, Mapping[str, Any]], str | None]] = {
    "chat.completions": _chat,
    "responses": _response,
    "embeddings": _embeddings,
}
