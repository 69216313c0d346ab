"""Random histories, and what a valid one is: written without the package under test."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st
from openai.types.chat import ChatCompletionMessage
from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseReasoningItem

from llmkit.tokens import count_request

MODELS = ("gpt-4o-mini", "gpt-3.5-turbo", "gpt-5", "gpt-5.4", "o3-mini")
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"
    "AAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
WORDS = ("weather ", "Zürich ", "東京", "\n\n", "of ", "🙂", "{", '"city"', "configuration ", "1234567 ", "  ")
TOOL = {
    "type": "object",
    "properties": {"city": {"type": "string", "description": "A city"}},
    "required": ["city"],
}

texts = st.builds(
    lambda word, times, end: word * times + end, st.sampled_from(WORDS), st.integers(0, 60), st.text(max_size=5)
)
long_texts = st.builds(lambda word, times: word * times, st.sampled_from(WORDS), st.integers(200, 900))
any_text = st.one_of(texts, texts, texts, long_texts)
results = st.one_of(any_text, st.just('{"temp": 21, "ok": true}'), st.just("[]"))


def total(items: Sequence[Any], model: str, operation: str, **body: Any) -> int:
    field = "messages" if operation == "chat.completions" else "input"
    return count_request({"model": model, field: items, **body}, operation=operation).total


def chat_contents() -> st.SearchStrategy[Any]:
    part = st.one_of(
        st.builds(lambda text: {"type": "text", "text": text}, texts),
        st.just({"type": "image_url", "image_url": {"url": PIXEL}}),
    )
    return st.one_of(any_text, any_text, st.lists(part, min_size=1, max_size=3))


@st.composite
def chats(draw: st.DrawFn) -> list[Any]:
    """A Chat history the API would accept."""
    ids = (f"call_{number}" for number in itertools.count())
    objects = draw(st.booleans())
    system = st.builds(
        lambda role, text: {"role": role, "content": text}, st.sampled_from(("system", "developer")), texts
    )
    history: list[Any] = draw(st.lists(system, max_size=2))
    for _ in range(draw(st.integers(1, 7))):
        if draw(st.integers(0, 9)):
            history.append({"role": "user", "content": draw(chat_contents())})
        for _ in range(draw(st.integers(0, 2))):
            made = [next(ids) for _ in range(draw(st.integers(1, 3)))]
            calls = [
                {"id": one, "type": "function", "function": {"name": "get_weather", "arguments": draw(arguments)}}
                for one in made
            ]
            content = draw(st.one_of(st.none(), texts))
            history.append(assistant({"role": "assistant", "content": content, "tool_calls": calls}, objects))
            history += [
                {"role": "tool", "tool_call_id": one, "content": draw(results)} for one in draw(st.permutations(made))
            ]
        if draw(st.booleans()):
            history.append(assistant({"role": "assistant", "content": draw(st.one_of(st.none(), any_text))}, objects))
        if not draw(st.integers(0, 5)):
            history.append(draw(system))
    return history


arguments = st.sampled_from(('{"city": "Paris"}', "{}", '{"city":"Zürich", "days": 3}', "not json"))


def assistant(message: dict[str, Any], as_object: bool) -> Any:
    return ChatCompletionMessage.model_validate(message) if as_object else message


@st.composite
def response_inputs(draw: st.DrawFn) -> list[Any]:
    """A Responses history the API would accept."""
    numbers = itertools.count()
    objects = draw(st.booleans())
    system = st.builds(lambda text: {"role": "developer", "content": text}, texts)
    history: list[Any] = draw(st.lists(system, max_size=2))
    for _ in range(draw(st.integers(1, 6))):
        if draw(st.integers(0, 9)):
            typed = draw(st.sampled_from(({}, {"type": "message"})))
            history.append({**typed, "role": "user", "content": draw(any_text)})
        for _ in range(draw(st.integers(0, 2))):
            history += draw(response_steps(numbers, objects))
        if draw(st.booleans()):
            history += draw(st.lists(st.builds(lambda: reasoning(numbers, objects)), max_size=1))
            history.append(output_message(draw(texts), numbers, objects))
        if not draw(st.integers(0, 5)):
            history.append(draw(system))
    return history


@st.composite
def response_steps(draw: st.DrawFn, numbers: Any, objects: bool) -> list[Any]:
    """One answer of the model with its tool calls, and the results."""
    step: list[Any] = [reasoning(numbers, objects) for _ in range(draw(st.integers(0, 2)))]
    if not draw(st.integers(0, 3)):
        step.append(output_message(draw(texts), numbers, objects))
    outputs: list[Any] = []
    for kind in draw(st.lists(st.sampled_from(("function", "custom_tool", "computer")), min_size=1, max_size=3)):
        one = f"call_{next(numbers)}"
        if kind == "function":
            call = {"type": "function_call", "call_id": one, "name": "get_weather", "arguments": draw(arguments)}
            step.append(ResponseFunctionToolCall.model_validate(call) if objects else call)
            outputs.append({"type": "function_call_output", "call_id": one, "output": draw(results)})
        elif kind == "custom_tool":
            step.append({"type": "custom_tool_call", "call_id": one, "name": "shell", "input": draw(texts)})
            outputs.append({"type": "custom_tool_call_output", "call_id": one, "output": draw(results)})
        else:
            step.append(
                {
                    "type": "computer_call",
                    "id": f"cu_{one}",
                    "call_id": one,
                    "status": "completed",
                    "pending_safety_checks": [],
                    "action": {"type": "screenshot"},
                }
            )
            outputs.append(
                {
                    "type": "computer_call_output",
                    "call_id": one,
                    "output": {"type": "computer_screenshot", "image_url": PIXEL},
                }
            )
    return step + draw(st.permutations(outputs))


def reasoning(numbers: Any, as_object: bool) -> Any:
    item = {"type": "reasoning", "id": f"rs_{next(numbers)}", "summary": [], "encrypted_content": "x" * 1500}
    return ResponseReasoningItem.model_validate(item) if as_object else item


def output_message(text: str, numbers: Any, as_object: bool) -> Any:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    item = {
        "type": "message",
        "id": f"msg_{next(numbers)}",
        "role": "assistant",
        "status": "completed",
        "content": content,
    }
    return ResponseOutputMessage.model_validate(item) if as_object else item


def plain(item: Any) -> dict[str, Any]:
    return item if isinstance(item, dict) else item.model_dump(exclude_none=True)


def problems_of_chat(messages: Sequence[Any]) -> list[str]:
    """Where the API would refuse: every call is followed at once by exactly its results."""
    found: list[str] = []
    waiting: set[str] = set()
    for index, message in enumerate(map(plain, messages)):
        if message["role"] == "tool":
            if message["tool_call_id"] not in waiting:
                found.append(f"{index}: result without call")
            waiting.discard(message["tool_call_id"])
            continue
        if waiting:
            found.append(f"{index}: calls without result")
        waiting = {call["id"] for call in message.get("tool_calls") or ()}
    return found + (["calls without result at the end"] if waiting else [])


def problems_of_responses(items: Sequence[Any], original: Sequence[Any]) -> list[str]:
    """Where the API would refuse: pairs torn apart, or reasoning without what it was followed by."""
    found: list[str] = []
    made: set[str] = set()
    answered: set[str] = set()
    for item in map(plain, items):
        kind = item.get("type") or ""
        if kind.endswith("_output"):
            answered.add(item["call_id"])
            found += [] if item["call_id"] in made else [f"{item['call_id']}: result without call"]
        elif kind.endswith("_call"):
            made.add(item["call_id"])
    followers = followers_of(original)
    now = followers_of(items)
    found += [f"{one}: call without result" for one in made - answered]
    found += [
        f"{one}: reasoning torn off" for one, after in now.items() if after[: len(followers[one])] != followers[one]
    ]
    kept = {name_of(item) for item in items}
    return found + [
        f"{one}: lost its reasoning" for one, after in followers.items() if set(after) & kept and one not in kept
    ]


def followers_of(items: Sequence[Any]) -> dict[str, list[str]]:
    """What the same answer of the model holds after each reasoning item."""
    after: dict[str, list[str]] = {}
    for index, item in enumerate(map(plain, items)):
        if item.get("type") != "reasoning":
            continue
        after[name_of(item)] = []
        for later in map(plain, items[index + 1 :]):
            kind = later.get("type") or ""
            if later.get("role") in ("user", "developer") or not (
                kind in ("message", "reasoning") or kind.endswith("_call")
            ):
                break
            if kind == "reasoning" and after[name_of(item)]:
                break
            after[name_of(item)] += [] if kind == "reasoning" else [name_of(later)]
    return after


def name_of(item: Any) -> str:
    item = plain(item)
    kind = str(item.get("type") or "")
    return f"{'out:' if kind.endswith('_output') else ''}{item.get('call_id') or item.get('id')}"
