"""The key of an answer: a digest of everything that shapes it, and of nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any, Final

from llmkit import _sdk
from llmkit.request import Request
from llmkit.tagging import chosen

IGNORED: Final = frozenset(
    {
        "metadata",
        "prompt_cache_key",
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
        "stream",
        "stream_options",
        "user",
    }
)
"""Parameters that change how an answer comes, what it costs or who is said to have asked, but not the answer."""
_IGNORED_HEADERS: Final = frozenset(
    {
        "accept",
        "api-key",
        "authorization",
        "b3",
        "baggage",
        "idempotency-key",
        "sentry-trace",
        "traceparent",
        "tracestate",
        "user-agent",
        "x-amzn-trace-id",
        "x-client-request-id",
        "x-cloud-trace-context",
        "x-request-id",
    }
)
_OF_THE_SDK: Final = ("x-stainless-", "x-b3-")


class Keys:
    """Makes the keys of a cache; the arguments are those of `Cache`."""

    def __init__(
        self, *, per: Iterable[str] = (), include: Iterable[str] = (), ignore: Iterable[str] = (), namespace: str = ""
    ) -> None:
        self._per = tuple(per)
        self._ignored = (IGNORED | set(ignore)) - set(include)
        self._ignored_headers = _IGNORED_HEADERS | {name.lower() for name in ignore}
        self._namespace = f"{namespace}:" if namespace else ""

    def of(self, request: Request) -> str | None:
        """The key of a request's answer; None when its body cannot be compared."""
        found = digest(self.facts(request, request.body))
        return None if found is None else f"{self._namespace}{request.operation}:{request.model}:{found}"

    def facts(self, request: Request, body: Mapping[str, Any]) -> dict[str, Any]:
        """Everything that shapes the answer to `body`, asked as `request` is."""
        route = request.route(request.client)
        return {
            "namespace": self._namespace,
            "operation": request.operation,
            "url": route.url,
            "query": route.query,
            "headers": self._headers({**route.headers, **request.headers}),
            "deployment": route.deployment,
            "tags": chosen(self._per, request.tags),
            "body": {name: _number(value) for name, value in body.items() if name not in self._ignored},
        }

    def _headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Headers that may shape an answer: the client's and the call's own that nobody knows."""
        named = {name.lower(): value for name, value in headers.items()}
        return {
            name: value
            for name, value in named.items()
            if name not in self._ignored_headers and not name.startswith(_OF_THE_SDK)
        }


def digest(facts: object) -> str | None:
    """40 hex digits, equal for equal JSON in whatever order its objects are written; None for what JSON cannot say."""
    try:
        canonical = json.dumps(facts, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_plain)
    except (TypeError, ValueError, RecursionError):
        return None
    return blake2b(canonical.encode(), digest_size=20).hexdigest()


def _number(value: object) -> object:
    """1.0 and 1 are the same."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _plain(value: object) -> Any:
    """One of the SDK's models, or a date, as the SDK sends it."""
    return json.loads(_sdk.dumps(value))
