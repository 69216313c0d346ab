"""What a request says: its text, the last thing the user said, and the answer by the default rule."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from llmkit.testing.fake.records import JSONObject, Reply, as_list, as_object, json_text
from llmkit.testing.fake.schema import minimal_instance


def prompt_text(body: JSONObject) -> str:
    """All text of a prompt: messages, tool calls and results, instructions, tools and the response schema."""
    items = "".join(text for item in [body.get("instructions"), *_items(body)] for text in _item_texts(item))
    extras = [body.get("tools"), _schema(body) or None]
    return items + "".join(json_text(extra) for extra in extras if extra)


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
            return "".join(_item_texts(item))
    return ""


def _items(body: JSONObject) -> list[object]:
    """The messages of a prompt, oldest first, whichever operation it is for."""
    prompt = body.get("messages") or body.get("input") or body.get("prompt")
    return [prompt] if isinstance(prompt, str) else as_list(prompt)


def _item_texts(item: object) -> Iterator[str]:
    if isinstance(item, str):
        yield item
    fields = as_object(item)
    yield from _content_texts(fields.get("content"))
    yield from _content_texts(fields.get("output"))
    for call in [fields, *(as_object(as_object(call).get("function")) for call in as_list(fields.get("tool_calls")))]:
        yield from (value for key in ("name", "arguments") if isinstance(value := call.get(key), str))


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
