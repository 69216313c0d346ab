"""The only file that knows the SDK's private names; tests/test_sdk_contract.py pins each of them."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import httpx2
import openai
import pydantic
from openai import _base_client  # pyright: ignore[reportPrivateUsage]
from openai._httpx2 import http_response_types
from openai._legacy_response import HttpxBinaryResponseContent, LegacyAPIResponse
from openai._models import FinalRequestOptions
from openai._response import BaseAPIResponse

if TYPE_CHECKING:
    from openai._data_residency import DataResidency as DataResidency
    from openai._provider import _Provider  # pyright: ignore[reportPrivateUsage]

    Provider: TypeAlias = _Provider

Options: TypeAlias = FinalRequestOptions
DEFAULT_MAX_RETRIES = openai.DEFAULT_MAX_RETRIES

_WORD = re.compile(r"[a-z]+(?:_[a-z]+)*")
"""A fixed part of a path; ids have digits, capitals or dashes."""


def random() -> float:
    """The SDK's source of jitter, looked up at each call: a test that pins the SDK's pins llmkit's."""
    return _base_client.random()  # type: ignore[attr-defined]  # pyright: ignore[reportPrivateImportUsage]


def operation(options: Options, base_url: str) -> str:
    """The name of the endpoint: "/chat/completions" is "chat.completions", GET /models/gpt-4o "models.get"."""
    return _operation(options.url.removeprefix(base_url), options.method.lower())


@functools.lru_cache(256)
def _operation(url: str, method: str) -> str:
    path = httpx2.URL(url).path
    words = [word for word in path.replace("/models/", "/models/-", 1).split("/") if _WORD.fullmatch(word)]
    return ".".join(words if method == "post" else [*words, method])


def merged_body(options: Options) -> dict[str, Any]:
    """The JSON body as it will be sent: `extra_body` wins over the typed parameters; {} when it is no object."""
    typed, extra = _parts(options)
    return {key: value for key, value in {**typed, **extra}.items() if not isinstance(value, openai.Omit)}


def with_body(options: Options, body: Mapping[str, Any]) -> bool:
    """Send `body` as JSON, each key where it came from; False when the request's body is no JSON object.

    What `extra_body` hides in the typed parameters stays there: Azure takes its deployment from that `model`.
    """
    if options.content is not None or not isinstance(options.json_data or {}, Mapping):
        return False
    typed, extra = _parts(options)
    options.json_data = {
        key: typed[key] if key in extra and key in typed and extra[key] is value else value
        for key, value in body.items()
        if key in typed or key not in extra
    }
    options.extra_json = {key: body.get(key, openai.omit) for key in extra} or None
    return True


def _parts(options: Options) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    typed: Any = options.json_data
    if not isinstance(typed or {}, Mapping):
        return {}, {}
    return typed or {}, options.extra_json or {}


def max_retries(client: Any, options: Options) -> int | None:
    """The per-call `max_retries`, None when the caller gave none; the SDK's own error when it is no number."""
    given = options.max_retries
    if isinstance(given, openai.NotGiven):
        return None
    client._validate_max_retries(given)
    return given


def log_retry(wait: float, *, taken: int, limit: int) -> None:
    """Log a retry where and how the SDK would."""
    _base_client.log.info("Retrying request in %f seconds (retry %i of %s)", wait, taken, limit)


class Replay:
    """Whether and how a request can be sent again: uploaded files are put back to where they stood."""

    def __init__(self, options: Options) -> None:
        self._replay = _base_client._RequestBodyReplay(options)  # pyright: ignore[reportPrivateUsage]

    def rewind(self) -> bool:
        """False when the body was a one-shot stream."""
        return self._replay.rewind()


def idempotency_key(client: Any, options: Options) -> str | None:
    """One key for all attempts of a call, made as the SDK would."""
    key: str | None = options.idempotency_key
    return client._idempotency_key() if key is None and options.method.lower() != "get" else key


def count_retries_taken(result: Any, retries_taken: int) -> None:
    """Make `.retries_taken` of a raw or streaming response include llmkit's attempts."""
    if isinstance(result, LegacyAPIResponse | BaseAPIResponse):
        result.retries_taken += retries_taken


def response_of(result: Any) -> Any:
    """The HTTP response behind what an SDK method returns; None behind a parsed model, which has no more to read."""
    if isinstance(result, openai.Stream | openai.AsyncStream):
        return result.response  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if isinstance(result, LegacyAPIResponse | BaseAPIResponse):
        return result.http_response  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if isinstance(result, HttpxBinaryResponseContent):
        return result.response
    return result if isinstance(result, http_response_types()) else None


def request_id_of(result: Any) -> str | None:
    """The `x-request-id` that the SDK put on a parsed model."""
    return getattr(result, "_request_id", None)


def is_data(result: Any) -> bool:
    """Whether a result is a value in itself, which cannot be holding on to an open response."""
    return isinstance(result, pydantic.BaseModel | str | bytes | dict | list | int | float | None)
