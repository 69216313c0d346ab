"""Chat completions of the fake API: the body, and the same answer as a stream."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, zip_longest

from llmkit.testing.fake.records import (
    CREATED,
    JSONObject,
    Turn,
    choice_count,
    merged,
    usage_chunks,
)
from llmkit.tokens import count_text


def chat_body(turn: Turn) -> JSONObject:
    """The answer to a request without `stream`."""
    choices = [
        {"index": index, "message": _message(turn, index), "logprobs": None, "finish_reason": _finish(turn)}
        for index in range(choice_count(turn.body))
    ]
    return _head(turn, "chat.completion") | {"choices": choices, "usage": chat_usage(turn)}


def chat_events(turn: Turn) -> Iterator[bytes]:
    """The answer as server-sent events; the choices of `n` arrive interleaved."""
    return usage_chunks(turn, _chunks(turn), chat_usage(turn))


def chat_usage(turn: Turn) -> JSONObject:
    """Tokens of the prompt and of all choices, with the reply's own figures laid over."""
    output = count_text(turn.reply.generated_text, model=turn.model) * choice_count(turn.body)
    rule: JSONObject = {
        "prompt_tokens": turn.prompt_tokens,
        "completion_tokens": output,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
    usage = merged(rule, turn.reply.usage)
    return {"total_tokens": usage["prompt_tokens"] + usage["completion_tokens"]} | usage


def _head(turn: Turn, kind: str) -> JSONObject:
    return {
        "id": f"chatcmpl-fake-{turn.number}",
        "object": kind,
        "created": CREATED,
        "model": turn.model,
        "service_tier": "default",
        "system_fingerprint": "fp_fake",
    }


def _finish(turn: Turn) -> str:
    return turn.reply.finish_reason or ("tool_calls" if turn.reply.tool_calls else "stop")


def _message(turn: Turn, choice: int) -> JSONObject:
    message: JSONObject = {
        "role": "assistant",
        "content": turn.reply.text,
        "refusal": turn.reply.refusal,
        "annotations": [],
    }
    calls = [_named_call(turn, choice, index, call.arguments) for index, call in enumerate(turn.reply.tool_calls)]
    return message | {"tool_calls": calls} if calls else message


def _named_call(turn: Turn, choice: int, index: int, arguments: str) -> JSONObject:
    number = choice * len(turn.reply.tool_calls) + index + 1
    name = turn.reply.tool_calls[index].name
    return {
        "id": f"call_fake_{turn.number}_{number}",
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


def _chunks(turn: Turn) -> Iterator[JSONObject]:
    head = _head(turn, "chat.completion.chunk")
    per_choice = (_choice_deltas(turn, index) for index in range(choice_count(turn.body)))
    for choice in chain.from_iterable(zip_longest(*per_choice)):
        yield head | {"choices": [choice]}


def _choice_deltas(turn: Turn, choice: int) -> Iterator[JSONObject]:
    for delta in _deltas(turn, choice):
        yield {"index": choice, "delta": delta, "logprobs": None, "finish_reason": None}
    yield {"index": choice, "delta": {}, "logprobs": None, "finish_reason": _finish(turn)}


def _deltas(turn: Turn, choice: int) -> Iterator[JSONObject]:
    reply = turn.reply
    yield {"role": "assistant", "content": None if reply.text is None else "", "refusal": None}
    for piece in turn.pieces(reply.text or ""):
        yield {"content": piece}
    for piece in turn.pieces(reply.refusal or ""):
        yield {"refusal": piece}
    for index, call in enumerate(reply.tool_calls):
        yield {"tool_calls": [{"index": index, **_named_call(turn, choice, index, "")}]}
        for piece in turn.pieces(call.arguments):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}
