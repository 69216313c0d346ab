"""What a request asks for, as attributes of its span: settings, and nothing of the prompt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from llmkit.fields import values_of
from llmkit.telemetry.names import Value, operation_name, says_openai, server

_FRACTIONS: Final = {
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
}
_COUNTS: Final = {
    "max_output_tokens": "gen_ai.request.max_tokens",
    "max_tokens": "gen_ai.request.max_tokens",
    "max_completion_tokens": "gen_ai.request.max_tokens",
    "seed": "gen_ai.request.seed",
    "top_k": "gen_ai.request.top_k",
    "dimensions": "gen_ai.embeddings.dimension.count",
}
_TEXTS: Final = {
    "reasoning_effort": "gen_ai.request.reasoning.level",
    "previous_response_id": "gen_ai.request.previous_response.id",
}
_API_TYPES: Final = {"chat.completions": "chat_completions", "responses": "responses"}
_OUTPUT_TYPES: Final = {"text": "text", "json_object": "json", "json_schema": "json"}


def at_start(operation: str, model: object, *, base_url: str) -> dict[str, Value]:
    """What the conventions want on a span from its beginning, for samplers."""
    found: dict[str, Value] = {"gen_ai.operation.name": operation_name(operation), **server(base_url)}
    if isinstance(model, str):
        found["gen_ai.request.model"] = model
    return found


def asked(operation: str, body: Mapping[str, Any], *, base_url: str, stream: bool) -> dict[str, Value]:
    """Everything else that the request says of itself; odd values are left out, as the server will refuse them."""
    found: dict[str, Value] = {}
    for names, kinds in ((_FRACTIONS, (int, float)), (_COUNTS, (int,)), (_TEXTS, (str,))):
        for name, attribute in names.items():
            value = body.get(name)
            if isinstance(value, kinds) and not isinstance(value, bool):
                found[attribute] = float(value) if names is _FRACTIONS else value
    if stream:
        found["gen_ai.request.stream"] = True
    count = body.get("n")
    if isinstance(count, int) and count != 1:
        found["gen_ai.request.choice.count"] = count
    return found | _optional(
        {
            "gen_ai.request.stop_sequences": _texts(body.get("stop")),
            "gen_ai.request.encoding_formats": _texts(body.get("encoding_format")),
            "gen_ai.request.reasoning.level": _text(values_of(body.get("reasoning")).get("effort")),
            "gen_ai.output.type": _output_type(operation, body),
            "gen_ai.conversation.id": _conversation(body.get("conversation")),
        }
        | (_openai(operation, body) if says_openai(base_url) else {})
    )


def _openai(operation: str, body: Mapping[str, Any]) -> dict[str, Value | None]:
    tier = _text(body.get("service_tier"))
    return {
        "openai.api.type": _API_TYPES.get(operation),
        "openai.request.service_tier": None if tier == "auto" else tier,
    }


def _output_type(operation: str, body: Mapping[str, Any]) -> str | None:
    if operation.startswith("images."):
        return "image"
    if operation == "audio.speech" or (operation == "chat.completions" and "audio" in body):
        return "speech"
    wanted = body.get("response_format") or values_of(body.get("text")).get("format")
    return _OUTPUT_TYPES.get(_text(values_of(wanted).get("type")) or "")


def _conversation(value: object) -> str | None:
    return _text(value) or _text(values_of(value).get("id"))


def _texts(value: object) -> list[str] | None:
    given = cast("list[object]", value) if isinstance(value, list) else [value]
    return [text for text in given if isinstance(text, str)] or None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _optional(given: Mapping[str, Value | None]) -> dict[str, Value]:
    return {name: value for name, value in given.items() if value is not None}
