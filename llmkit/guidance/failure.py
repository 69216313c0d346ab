"""What a failed call tells of itself. The server's words are read here, and nobody repeats them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import cached_property
from typing import Any, cast

import httpx2
import openai

from llmkit.streaming.facts import parts_of, plain, values_of

_LONGEST = 2_000
"""Characters of a message that are looked at."""
_LARGEST_BODY = 2_000_000
"""Bytes of a request, about 10 ms of work."""


def set_names(*names: str) -> list[str]:
    """Those of the environment's variables that have a value; the values stay there."""
    return [name for name in names if os.environ.get(name)]


class Failure:
    """An error of the API, read."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        response = getattr(error, "response", None)
        self.status: int | None = getattr(response, "status_code", None)
        self.headers: Mapping[str, str] = {} if response is None else response.headers
        self.code = plain(getattr(error, "code", None))
        self.type = plain(getattr(error, "type", None))
        body = values_of(getattr(error, "body", None))
        self.param = plain(getattr(error, "param", None)) or _fastapis_place(body)
        message = body.get("message")
        self.words = (message if isinstance(message, str) else str(getattr(error, "message", "")))[:_LONGEST].lower()
        """The server's message, to be recognised and never to be shown."""

    @property
    def label(self) -> str:
        """The status and the code, "429 insufficient_quota", as far as there are any."""
        return " ".join(str(part) for part in (self.status, self.code) if part is not None)

    @cached_property
    def url(self) -> httpx2.URL:
        """Where the request went."""
        try:
            return httpx2.URL(str(cast("Any", self.error).request.url))
        except (AttributeError, RuntimeError, httpx2.InvalidURL):  # httpx's own errors may have no request
            return httpx2.URL("")

    @property
    def host(self) -> str:
        """The server that was asked, with its port if that is an unusual one."""
        return self.url.host + (f":{self.url.port}" if self.url.port else "") or "the server"

    @property
    def is_openais(self) -> bool:
        """Whether OpenAI itself was asked."""
        return self.url.host == "api.openai.com" or self.url.host.endswith(".api.openai.com")

    @property
    def is_azures(self) -> bool:
        """Whether Azure was asked."""
        return self.url.host.endswith(".azure.com") or "/openai/deployments/" in self.url.path

    @cached_property
    def sent(self) -> Mapping[str, Any]:
        """The JSON body that was sent; empty when it was something else, or so large that reading it takes time."""
        try:
            content: bytes = cast("Any", self.error).request.content
            return values_of(json.loads(content)) if len(content) < _LARGEST_BODY else {}
        except (AttributeError, RuntimeError, ValueError, RecursionError):  # not read yet, or no JSON
            return {}

    @property
    def model(self) -> str | None:
        """The model that was asked."""
        return plain(self.sent.get("model"))

    @property
    def timeouts(self) -> Mapping[str, Any]:
        """The limits of the request in seconds, under "connect", "read", "write" and "pool"."""
        request = getattr(self.error, "request", None) if isinstance(self.error, openai.APIError) else None
        return values_of(getattr(request, "extensions", {}).get("timeout"))


def _fastapis_place(body: Mapping[str, Any]) -> str | None:
    """Where a server built with FastAPI found a mistake: `{"detail": [{"loc": ["body", "messages", 0]}]}`."""
    places = [detail.get("loc") for detail in parts_of(body, "detail")]
    place = next((cast("list[object]", loc) for loc in places if isinstance(loc, list)), list[object]())
    return plain(".".join(str(part) for part in place if part != "body"))
