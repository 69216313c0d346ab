from __future__ import annotations

import dataclasses
from typing import Any, Literal

import pytest
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import ResponseTextDeltaEvent

from llmkit.streaming.texts import piece_of, with_text
from llmkit.tools.loop import steps


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TextDelta:
    type: Literal["text_delta"] = "text_delta"
    step: int = 1
    text: str = ""


def chunk(delta: dict[str, Any], *, choice: dict[str, Any] | None = None, **fields: Any) -> ChatCompletionChunk:
    choices = [{"index": 0, "delta": delta, "finish_reason": None, **(choice or {})}]
    given: dict[str, Any] = {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": choices,
        **fields,
    }
    return ChatCompletionChunk.construct(None, **given)


def said(text: Any = "Hi", **more: Any) -> ChatCompletionChunk:
    return chunk({"content": text}, **more)


def delta(text: Any = "Hi", kind: str = "output_text", **fields: Any) -> ResponseTextDeltaEvent:
    place = {"item_id": "i", "output_index": 0, "content_index": 0}
    given: dict[str, Any] = {
        "type": f"response.{kind}.delta",
        "delta": text,
        "logprobs": [],
        "sequence_number": 4,
        **place,
        **fields,
    }
    return ResponseTextDeltaEvent.construct(None, **given)


FILTERED = {"content_filter_results": {"hate": {"filtered": False}}}


@pytest.mark.parametrize(
    "event",
    [
        "Hi",
        said(),
        said(usage=None, obfuscation="xyz", provider="P"),
        chunk({"content": "Hi", "role": None, "tool_calls": None, "reasoning_content": None}),
        said(choice=FILTERED),
        delta(),
        delta(obfuscation="xyz"),
        *(delta(kind=kind) for kind in ("refusal", "reasoning_summary_text", "function_call_arguments")),
        TextDelta(text="Hi"),
        steps.TextDelta(text="Hi", step=1),
        steps.RefusalDelta(text="Hi", step=1),
        steps.ReasoningDelta(text="Hi", step=1),
    ],
)
def test_a_text_is_found_and_can_be_replaced_and_nothing_else_changes(event: Any) -> None:
    piece = piece_of(event)
    assert piece is not None
    assert piece.text == "Hi"
    longer = with_text(event, "Hi there")
    assert type(longer) is type(event)
    assert piece_of(longer) == (piece.place, "Hi there")
    assert with_text(longer, "Hi") == event


@pytest.mark.parametrize(
    "event",
    [
        chunk({"content": "", "role": "assistant"}),
        chunk({"content": None}),
        chunk({}),
        chunk({"content": "Hi", "refusal": "No"}),
        chunk({"content": "Hi", "tool_calls": [{"index": 0}]}),
        chunk({"content": "", "reasoning_content": "ha"}),
        said(choice={"finish_reason": "stop"}),
        said(choice={"logprobs": {"content": []}}),
        said(choice={"token_ids": [1]}),
        said(usage={"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}),
        said(moderation={"flagged": False}),
        said(choices=[]),
        said(choices=[{"index": n, "delta": {"content": "Hi"}, "finish_reason": None} for n in (0, 1)]),
        delta(None),
        delta(logprobs=[{"token": "Hi"}]),
        delta(of_the_server=1),
        delta(kind="audio"),
        delta(type="response.output_text.done"),
        TextDelta(text=None),  # type: ignore[arg-type]
        dataclasses.make_dataclass("Other", ["type"])("usage"),
        type("Thing", (), {"type": "text_delta", "text": "Hi"})(),
        {"type": "text_delta", "text": "Hi"},
        b"Hi",
        None,
        3,
    ],
)
def test_what_says_anything_besides_text_is_not_text(event: Any) -> None:
    assert piece_of(event) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (said(), said(id="d")),
        (said(), said(model="n")),
        (said(), said(provider="P")),
        (said(), said(system_fingerprint="f")),
        (said(), said(choice={"index": 1})),
        (said(), said(choice=FILTERED)),
        (delta(), delta(item_id="j")),
        (delta(), delta(content_index=1)),
        (delta(), delta(kind="refusal")),
        (TextDelta(text="Hi"), TextDelta(text="Hi", step=2)),
        ("Hi", TextDelta(text="Hi")),
        (steps.TextDelta(text="Hi", step=1), steps.ReasoningDelta(text="Hi", step=1)),
    ],
)
def test_texts_of_different_places_are_kept_apart(one: Any, other: Any) -> None:
    first, second = piece_of(one), piece_of(other)
    assert first is not None
    assert second is not None
    assert first.place != second.place


def test_texts_of_one_place_differ_in_padding_time_and_sequence_number_only() -> None:
    for one, other in [
        (said("a", obfuscation="x", created=1), said("b", obfuscation="yz", created=2)),
        (delta("a", obfuscation="x", sequence_number=1), delta("b", obfuscation="y", sequence_number=2)),
    ]:
        first, second = piece_of(one), piece_of(other)
        assert first is not None
        assert second is not None
        assert first.place == second.place


def test_what_was_not_sent_stays_unset_in_a_replaced_text() -> None:
    event = said()
    assert with_text(event, "Ho").to_dict() == {**event.to_dict(), "choices": said("Ho").to_dict()["choices"]}
