"""What the GenAI conventions of OpenTelemetry call operations, providers and servers."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

Value = str | bool | int | float | Sequence[str]
"""What an attribute can hold."""

_OPERATIONS: Final[Mapping[str, str]] = {
    "chat.completions": "chat",
    "responses": "chat",
    "completions": "text_completion",
    "embeddings": "embeddings",
    "images.generations": "generate_content",
    "images.edits": "generate_content",
    "images.variations": "generate_content",
    "audio.speech": "generate_content",
    "audio.transcriptions": "generate_content",
    "audio.translations": "generate_content",
    "videos": "generate_content",
    "vector_stores.search": "retrieval",
    "responses.get": "fetch_response",
}
GENERATING: Final = frozenset({"chat", "text_completion", "generate_content"})
"""Operations by which a model makes something out of a prompt."""
METERED: Final = GENERATING | {"embeddings", "retrieval"}
"""Operations whose time is measured; to list models or to fetch an answer once more is none."""

_PROVIDERS: Final = (
    ("openai.com", "openai"),
    ("openai.azure.com", "azure.ai.openai"),
    ("cognitiveservices.azure.com", "azure.ai.openai"),
    ("services.ai.azure.com", "azure.ai.inference"),
    ("models.ai.azure.com", "azure.ai.inference"),
    ("anthropic.com", "anthropic"),
    ("generativelanguage.googleapis.com", "gcp.gemini"),
    ("aiplatform.googleapis.com", "gcp.vertex_ai"),
    ("amazonaws.com", "aws.bedrock"),
    ("mistral.ai", "mistral_ai"),
    ("groq.com", "groq"),
    ("deepseek.com", "deepseek"),
    ("x.ai", "x_ai"),
    ("perplexity.ai", "perplexity"),
    ("cohere.ai", "cohere"),
    ("cohere.com", "cohere"),
    ("moonshot.ai", "moonshot_ai"),
    ("moonshot.cn", "moonshot_ai"),
    ("ml.cloud.ibm.com", "ibm.watsonx.ai"),
)
_PORTS: Final = {"https": 443, "http": 80}


def operation_name(operation: str) -> str:
    """ "chat" for "chat.completions"; what the conventions have no name for keeps its own."""
    return _OPERATIONS.get(operation, operation)


@functools.lru_cache(64)
def server(base_url: str) -> Mapping[str, Value]:
    """The attributes that say who is asked, and where.

    A gateway or a server of one's own is "openai" like the API it speaks: the conventions want the kind of telemetry.
    """
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    port = parts.port or _PORTS.get(parts.scheme)
    provider = next((name for end, name in _PROVIDERS if f".{host}".endswith(f".{end}")), "openai")
    found: dict[str, Value] = {"gen_ai.provider.name": provider}
    if host:
        found["server.address"] = host
    if host and port is not None:
        found["server.port"] = port
    return MappingProxyType(found)


def says_openai(base_url: str) -> bool:
    """Whether attributes that are OpenAI's own belong on the spans of calls to this server."""
    return server(base_url)["gen_ai.provider.name"] in ("openai", "azure.ai.openai")
