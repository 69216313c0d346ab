"""What a request says: its tokens, the last thing the user said, and the answer by the default rule."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from llmkit.testing.fake.records import JSONObject, Reply, as_list, as_object, json_text
from llmkit.testing.fake.schema import minimal_instance
from llmkit.tokens import count_request, estimate_tokens

_GENERATES_OR_EMBEDS = frozenset({"chat.completions", "responses", "completions", "embeddings"})


def prompt_tokens(body: JSONObject, operation: str) -> int:
    """The tokens the API would bill for a prompt, by `llmkit.tokens`; for odd content, an estimate."""
    if operation not in _GENERATES_OR_EMBEDS:
        return 0
    try:
        return count_request(body, operation=operation).total
    except (TypeError, ValueError):
        return estimate_tokens(json_text(body))


def with_default(reply: Reply, body: JSONObject) -> Reply:
    """`reply` itself when it says something, else the default rule's answer to `body`."""
    if not reply.is_blank:
        return reply
    return replace(reply, text=_default_text(body))


def _default_text(body: JSONObject) -> str:
    said = f"You said: {_last_user_text(body)}"
    if schema := _schema(body):
        return json_text(minimal_instance(schema))
    return json_text({"answer": said}) if _format(body).get("type") == "json_object" else said


def _last_user_text(body: JSONObject) -> str:
    for item in reversed(_items(body)):
        if isinstance(item, str):
            return item
        if as_object(item).get("role") == "user":
            return "".join(_content_texts(as_object(item).get("content")))
    return ""


def _items(body: JSONObject) -> list[object]:
    """The messages of a prompt, oldest first, whichever operation it is for."""
    prompt = body.get("messages") or body.get("input") or body.get("prompt")
    return [prompt] if isinstance(prompt, str) else as_list(prompt)


def _content_texts(content: object) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    for part in as_list(content):
        yield from (value for key in ("text", "refusal") if isinstance(value := as_object(part).get(key), str))


def _format(body: JSONObject) -> JSONObject:
    return as_object(body.get("response_format")) or as_object(as_object(body.get("text")).get("format"))


def _schema(body: JSONObject) -> JSONObject:
    """The schema that Chat wraps in `json_schema` and Responses does not."""
    wanted = _format(body)
    return as_object(as_object(wanted.get("json_schema")).get("schema")) or as_object(wanted.get("schema"))
