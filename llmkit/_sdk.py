"""The only file that knows the SDK's private names; tests/test_sdk_contract.py pins each of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import openai
from openai import _base_client  # pyright: ignore[reportPrivateUsage]
from openai._httpx2 import http_response_types
from openai._legacy_response import LegacyAPIResponse
from openai._models import FinalRequestOptions
from openai._response import BaseAPIResponse

if TYPE_CHECKING:
    from openai._data_residency import DataResidency as DataResidency
    from openai._provider import _Provider  # pyright: ignore[reportPrivateUsage]

    Provider: TypeAlias = _Provider

Options: TypeAlias = FinalRequestOptions
DEFAULT_MAX_RETRIES = openai.DEFAULT_MAX_RETRIES

_HAS_DIGIT = re.compile(r"\d")


def random() -> float:
    """The SDK's source of jitter, looked up at each call: a test that pins the SDK's pins llmkit's."""
    return _base_client.random()  # type: ignore[attr-defined]  # pyright: ignore[reportPrivateImportUsage]


def operation(options: Options, base_url: str) -> str:
    """The name of the endpoint: "/chat/completions" is "chat.completions", GET /models/gpt-4o "models.get"."""
    path = options.url.removeprefix(base_url).partition("?")[0]
    words = [word for word in path.split("/") if word and not _HAS_DIGIT.search(word)]
    method = options.method.lower()
    return ".".join(words if method == "post" else [*words, method])


def merged_body(options: Options) -> dict[str, Any]:
    """The JSON body as it will be sent: `extra_body` wins over the typed parameters; {} when it is no object."""
    body, extra = options.json_data, options.extra_json
    if not isinstance(body or {}, Mapping):
        return {}
    return {**(body or {}), **(extra or {})}  # type: ignore[dict-item]


def with_body(options: Options, body: Mapping[str, Any]) -> None:
    """Send `body` and nothing else as JSON."""
    options.json_data = dict(body)
    options.extra_json = None


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
    return result if isinstance(result, http_response_types()) else None


def request_id_of(result: Any) -> str | None:
    """The `x-request-id` that the SDK put on a parsed model."""
    return getattr(result, "_request_id", None)
