"""`run_batch`: many ordinary requests, answered as one batch job that survives a crash."""

from __future__ import annotations

import os
from collections.abc import Coroutine, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Required, TypedDict, Unpack, cast, overload

import openai
from openai.types import CreateEmbeddingResponse
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from llmkit import runtime
from llmkit.batches.job import Job
from llmkit.batches.lines import FIELDS
from llmkit.batches.progress import Progress, progress_for
from llmkit.batches.results import FailedRequest
from llmkit.sync import drive

Requests = Iterable[Mapping[str, Any]]
_GROWTH = 1.5
"""Of the waits between polls."""
_MOST_METADATA = 15
"""The API takes 16, and one of them is the job's own."""


class BatchOptions(TypedDict, total=False):
    """The options of `run_batch`."""

    state: Required[str | os.PathLike[str]]
    first_wait: float
    max_wait: float
    progress: bool | Progress
    metadata: Mapping[str, str] | None
    completion_window: Literal["24h"]
    delete_upload: bool


@overload
def run_batch(
    client: openai.AsyncOpenAI,
    requests: Requests,
    *,
    endpoint: Literal["/v1/chat/completions"] = ...,
    **options: Unpack[BatchOptions],
) -> Coroutine[Any, Any, list[ChatCompletion | FailedRequest]]: ...
@overload
def run_batch(
    client: openai.AsyncOpenAI,
    requests: Requests,
    *,
    endpoint: Literal["/v1/responses"],
    **options: Unpack[BatchOptions],
) -> Coroutine[Any, Any, list[Response | FailedRequest]]: ...
@overload
def run_batch(
    client: openai.AsyncOpenAI,
    requests: Requests,
    *,
    endpoint: Literal["/v1/embeddings"],
    **options: Unpack[BatchOptions],
) -> Coroutine[Any, Any, list[CreateEmbeddingResponse | FailedRequest]]: ...
@overload
def run_batch(
    client: openai.OpenAI,
    requests: Requests,
    *,
    endpoint: Literal["/v1/chat/completions"] = ...,
    **options: Unpack[BatchOptions],
) -> list[ChatCompletion | FailedRequest]: ...
@overload
def run_batch(
    client: openai.OpenAI,
    requests: Requests,
    *,
    endpoint: Literal["/v1/responses"],
    **options: Unpack[BatchOptions],
) -> list[Response | FailedRequest]: ...
@overload
def run_batch(
    client: openai.OpenAI,
    requests: Requests,
    *,
    endpoint: Literal["/v1/embeddings"],
    **options: Unpack[BatchOptions],
) -> list[CreateEmbeddingResponse | FailedRequest]: ...
def run_batch(
    client: openai.AsyncOpenAI | openai.OpenAI,
    requests: Requests,
    *,
    endpoint: str = "/v1/chat/completions",
    state: str | os.PathLike[str],
    first_wait: float = 5.0,
    max_wait: float = 60.0,
    progress: bool | Progress = True,
    metadata: Mapping[str, str] | None = None,
    completion_window: str = "24h",
    delete_upload: bool = False,
) -> Any:
    """Have many requests answered as a batch job; run it again with the same `state` after a crash, and it goes on.

    `requests` are the arguments of ordinary calls, as dicts. The results come in their order: the SDK's answer, or a
    `FailedRequest` for each that failed, expired or was cancelled. With an async client await it; a sync client
    returns when all is done.

    One batch takes 50,000 requests, 200 MB and one model, so a job may become several. The files with the prompts
    lie beside `state` (`STATE.part-0.jsonl`) until they are uploaded; `state` itself holds ids only. It stays when
    the job is done: the same requests again give the same results at no cost. One process at a time may use it.

    Args:
        client: A client of llmkit or of the SDK.
        requests: What `client.chat.completions.create(**request)`, or the method of `endpoint`, would take.
        endpoint: "/v1/chat/completions", "/v1/responses" or "/v1/embeddings".
        state: Where the job is remembered.
        first_wait: Seconds after the first look at the batch.
        max_wait: Seconds between looks, to which they grow.
        progress: A bar on stderr if that is a terminal, or a function of (answered, failed, all).
        metadata: Up to 15 texts for the batch.
        completion_window: The API knows "24h" only.
        delete_upload: Delete the uploaded requests in the end; the answers stay until the API deletes them.

    Raises:
        ValueError, TypeError: Before anything is sent: a request that no batch can carry, or another job's `state`.
        BatchFailed: The API refused a file; nothing of it was run.
        openai.APIError: What the API raised and no waiting cured. Run it again to go on.
    """
    given = cast("object", client)
    if not isinstance(given, openai.AsyncOpenAI | openai.OpenAI):
        raise TypeError(f"run_batch() takes a client of llmkit or the openai SDK, not a {type(given).__qualname__}")
    if endpoint not in FIELDS:
        raise ValueError(f"endpoint={endpoint!r} is unknown; use one of {', '.join(FIELDS)}")
    if not 0 < first_wait <= max_wait:
        raise ValueError(f"first_wait={first_wait!r} must be above 0 and at most max_wait={max_wait!r} seconds")
    if len(metadata or {}) > _MOST_METADATA:
        raise ValueError(f"metadata has {len(metadata or {})} entries; a batch takes {_MOST_METADATA} of yours")
    is_async = isinstance(given, openai.AsyncOpenAI)
    job = Job(
        given,
        runtime=runtime.current(is_async=is_async),
        endpoint=endpoint,
        path=Path(state),
        window=completion_window,
        metadata=metadata or {},
        progress=progress_for(progress),
        waits=_waits(first_wait, max_wait),
    )
    results = job.run(requests, delete_upload=delete_upload)
    return results if is_async else drive(results)


def _waits(first: float, longest: float) -> Iterator[float]:
    wait = first
    while True:
        yield wait
        wait = min(longest, wait * _GROWTH)
