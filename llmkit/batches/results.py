"""What came of each request of a batch. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, cast

from openai.types import CreateEmbeddingResponse
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from llmkit.batches.lines import custom_id, index_of


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedRequest:
    """A request of a batch that has no answer."""

    index: int
    """Its place in the list of requests."""
    status_code: int | None = None
    """The HTTP status; None when the request was never made."""
    code: str | None = None
    """The API's code, such as "batch_expired" or "batch_cancelled"; "no_result" is llmkit's."""
    message: str = field(default="", repr=False)

    @property
    def custom_id(self) -> str:
        """How the API's files call it."""
        return custom_id(self.index)


BatchAnswer: TypeAlias = ChatCompletion | Response | CreateEmbeddingResponse
BatchResult: TypeAlias = BatchAnswer | FailedRequest

_TYPES: Final[Mapping[str, type[BatchAnswer]]] = {
    "/v1/chat/completions": ChatCompletion,
    "/v1/responses": Response,
    "/v1/embeddings": CreateEmbeddingResponse,
}
_MISSING: Final = {"expired": "batch_expired", "cancelled": "batch_cancelled"}


def read_results(content: bytes, *, endpoint: str) -> Iterator[tuple[int, BatchResult]]:
    """The index and the result on each line of an output or error file."""
    for text in filter(None, content.splitlines()):
        line: Any = json.loads(text)
        if (index := index_of(line.get("custom_id"))) is not None:
            yield index, _result(index, line, _TYPES[endpoint])


def no_result(index: int, *, status: str) -> FailedRequest:
    """For a request that a batch which ended with `status` says nothing about."""
    code = _MISSING.get(status, "no_result")
    return FailedRequest(index=index, code=code, message=f"The batch ended as {status!r} without this request.")


def _result(index: int, line: Mapping[str, Any], answer_type: type[BatchAnswer]) -> BatchResult:
    response = _object(line.get("response"))
    status, body = response.get("status_code"), _object(response.get("body"))
    if status == 200 and not line.get("error"):
        return answer_type.model_construct(**body)
    error = _object(line.get("error") or body.get("error"))
    code, message = error.get("code") or error.get("type"), error.get("message") or ""
    return FailedRequest(index=index, status_code=status, code=code, message=message)


def _object(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
