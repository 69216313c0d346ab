"""Prompts and answers in the JSON shapes of the GenAI conventions, for those who have asked for them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from llmkit.fields import values_of
from llmkit.streaming.facts import parts_of

_REASONS: Final = {"tool_calls": "tool_call", "function_call": "tool_call"}
_MODALITIES: Final = {"image": "image", "audio": "audio", "file": "document"}

Message = dict[str, Any]


def content_of(body: Mapping[str, Any], answer: object) -> dict[str, str]:
    """The attributes that hold texts, each as JSON; inline images, sounds and files are named and not copied."""
    instructions = body.get("instructions")
    found = {
        "gen_ai.system_instructions": [_text(instructions)] if isinstance(instructions, str) else [],
        "gen_ai.input.messages": _asked(body),
        "gen_ai.output.messages": _answered(answer),
    }
    return {name: _json(value) for name, value in found.items() if value}


def _json(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=repr)
    return text.encode(errors="replace").decode()  # half a surrogate pair cannot be exported


def _asked(body: Mapping[str, Any]) -> list[Message]:
    given = next((body[name] for name in ("messages", "input", "prompt") if body.get(name)), None)
    if isinstance(given, str):
        return [{"role": "user", "parts": [_text(given)]}]
    return [_message(item) for item in parts_of({"given": given}, "given") if item]


def _message(item: Mapping[str, Any]) -> Message:
    """One message of a Chat, or one item of a Responses input or output."""
    kind = item.get("type")
    if kind == "function_call":
        return {"role": "assistant", "parts": [_tool_call(item, item.get("call_id"))]}
    if kind == "function_call_output":
        return {"role": "tool", "parts": [_tool_result(item.get("call_id"), item.get("output"))]}
    if kind == "reasoning":
        thoughts = [part.get("text") for part in parts_of(item, "summary")]
        return {"role": "assistant", "parts": [{"type": "reasoning", "content": text} for text in thoughts if text]}
    role = item.get("role")
    if role is None:  # a tool of the server's
        return {"role": "assistant", "parts": [{"type": str(kind)}]}
    if role == "tool":
        return {"role": "tool", "parts": [_tool_result(item.get("tool_call_id"), item.get("content"))]}
    calls = [_tool_call(values_of(call.get("function")), call.get("id")) for call in parts_of(item, "tool_calls")]
    refusal = [_text(item["refusal"])] if isinstance(item.get("refusal"), str) else []
    named = {"name": item["name"]} if isinstance(item.get("name"), str) else {}
    return {"role": role, "parts": [*_parts(item.get("content")), *refusal, *calls], **named}


def _parts(content: object) -> list[Message]:
    if isinstance(content, str):
        return [_text(content)]
    return [_part(part) for part in parts_of({"content": content}, "content")]


def _part(part: Mapping[str, Any]) -> Message:
    text = part.get("text") or part.get("refusal")
    if isinstance(text, str):
        return _text(text)
    kind = str(part.get("type"))
    modality = next((name for word, name in _MODALITIES.items() if word in kind), None)
    if modality is None:
        return {"type": kind}
    file_id = part.get("file_id") or values_of(part.get("file")).get("file_id")
    if file_id:
        return {"type": "file", "modality": modality, "file_id": file_id}
    url = part.get("image_url") or part.get("file_url")
    url = values_of(url).get("url", url)
    if isinstance(url, str) and not url.startswith("data:"):
        return {"type": "uri", "modality": modality, "uri": url}
    return {"type": "blob", "modality": modality, "content": ""}


def _answered(answer: object) -> list[Message]:
    fields = values_of(answer)
    if "choices" in fields:
        return [_choice(choice) for choice in parts_of(fields, "choices")]
    parts = [part for item in parts_of(fields, "output") for part in _message(item)["parts"]]
    return [{"role": "assistant", "parts": parts, "finish_reason": _reason(fields)}] if parts else []


def _choice(choice: Mapping[str, Any]) -> Message:
    message = choice.get("message")
    made = _message({"role": "assistant", "content": choice.get("text")} if message is None else values_of(message))
    reason = choice.get("finish_reason") or "error"
    return made | {"finish_reason": _REASONS.get(reason, reason)}


def _reason(fields: Mapping[str, Any]) -> str:
    if any(item.get("type") == "function_call" for item in parts_of(fields, "output")):
        return "tool_call"
    incomplete = values_of(fields.get("incomplete_details")).get("reason")
    return {"max_output_tokens": "length", None: "stop"}.get(incomplete, str(incomplete))


def _text(content: str) -> Message:
    return {"type": "text", "content": content}


def _tool_call(function: Mapping[str, Any], call_id: object) -> Message:
    arguments = function.get("arguments")
    with suppress(ValueError, TypeError):  # cut short, or no JSON: then it is told as it came
        arguments = json.loads(arguments or "null")
    return {"type": "tool_call", "id": call_id, "name": function.get("name"), "arguments": arguments}


def _tool_result(call_id: object, result: object) -> Message:
    return {"type": "tool_call_response", "id": call_id, "response": result}
