from __future__ import annotations

from typing import Any

import pytest
from context.histories import PIXEL, total
from openai.types.chat import ChatCompletionMessage

from llmkit.context import ContextLengthExceeded, DropOldest, MiddleOut, TruncateLongest, trim_messages
from llmkit.context.fit import fit
from llmkit.context.truncate import cut
from llmkit.tokens import count_text

MODEL = "gpt-4o-mini"
WORDS = " word" * 20


def trim(messages: list[Any], max_tokens: int, strategy: Any, operation: str = "chat.completions") -> list[Any]:
    result = trim_messages(messages, max_tokens=max_tokens, model=MODEL, strategy=strategy, operation=operation)
    assert total(result, MODEL, operation) <= max_tokens
    return result


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def count(text: str) -> int:
    return count_text(text, model=MODEL)


def test_middle_out_keeps_the_first_turn_and_the_newest() -> None:
    history = [message for n in range(30) for message in (user(f"{n}{WORDS}"), assistant(f"{n}{WORDS}"))]
    history.append(user("And now?"))
    result = trim(history, 300, MiddleOut())
    assert result[:2] == history[:2]
    assert result[2:] == history[-(len(result) - 2) :]
    assert len(result) > 8


def test_middle_out_lets_a_first_turn_go_that_leaves_no_room() -> None:
    history = [user("word " * 200), assistant("ok"), user("two"), assistant("ok"), user("three" + WORDS)]
    assert trim(history, 60, MiddleOut()) == history[1:]


def test_middle_out_of_a_single_turn() -> None:
    history = [assistant(WORDS), assistant(WORDS), user("hello")]
    assert trim(history, 40, MiddleOut()) == history[1:]
    with pytest.raises(ContextLengthExceeded):
        trim([user(WORDS)], 10, MiddleOut())


def test_the_longest_texts_are_cut_to_one_length_before_anything_is_dropped() -> None:
    history = [user("start"), assistant("word " * 500), user("word " * 900), assistant("short"), user("end")]
    result = trim(history, 700, TruncateLongest())
    assert [history[i] for i in (0, 3, 4)] == [result[i] for i in (0, 3, 4)]
    sizes = [count(result[i]["content"]) for i in (1, 2)]
    assert abs(sizes[0] - sizes[1]) < 8
    assert result[2]["content"].startswith("word word")
    assert result[2]["content"].endswith("word word ")
    assert "tokens cut ...]" in result[2]["content"]
    assert total(result, MODEL, "chat.completions") > 670


def test_only_as_many_texts_are_cut_as_needed() -> None:
    history = [user("word " * 500), assistant("word " * 900), user("end")]
    result = trim(history, 1200, TruncateLongest())
    assert result[0] == history[0]
    assert result[1] != history[1]


def test_the_oldest_are_dropped_when_cutting_is_not_enough() -> None:
    history = [message for n in range(20) for message in (user(f"{n}" + " word" * 400), assistant("ok"))]
    history.append(user("word " * 400))
    result = trim(history, 600, TruncateLongest(keep_tokens=100))
    assert 4 < len(result) < 14
    assert "tokens cut" in result[-1]["content"]
    with pytest.raises(ContextLengthExceeded):
        trim(history, 50, TruncateLongest(keep_tokens=100))


def test_objects_of_the_sdk_are_cut_as_copies() -> None:
    said = ChatCompletionMessage(role="assistant", content="word " * 500)
    result = trim([user("start"), said, user("end")], 400, TruncateLongest())
    assert isinstance(result[1], ChatCompletionMessage)
    assert "tokens cut" in str(result[1].content)
    assert said.content == "word " * 500


def test_short_texts_are_not_cut() -> None:
    history = [message for n in range(30) for message in (user(f"{n}{WORDS}"), assistant(f"{n}{WORDS}"))]
    history.append(user("And now?"))
    assert trim(history, 300, TruncateLongest()) == trim(history, 300, DropOldest())


def test_texts_in_parts_and_results_are_cut_and_the_rest_stays_whole() -> None:
    long = "word " * 400
    image = {"type": "input_image", "image_url": PIXEL}
    stored = {"type": "message", "role": "assistant", "id": "m", "content": [{"type": "output_text", "text": long}]}
    call = {"type": "function_call", "call_id": "1", "name": "f", "arguments": '{"a": "' + long + '"}'}
    shell = {"type": "shell_call_output", "call_id": None, "output": [{"stdout": long}]}
    items = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "input_text", "text": long}, image]},
        {"role": "developer", "content": long},
        stored,
        call,
        {"type": "function_call_output", "call_id": "1", "output": long},
        {"type": "function_call_output", "call_id": "1", "output": [{"type": "input_text", "text": "short"}]},
        {"type": "shell_call", "call_id": None, "action": {}},
        shell,
        {"type": "computer_call", "call_id": "2"},
        {"type": "computer_call_output", "call_id": "2", "output": {"type": "computer_screenshot", "image_url": "x"}},
    ]
    before = total(items, MODEL, "responses")
    result = trim(items, before - 250, TruncateLongest(), "responses")
    changed = [index for index, (old, new) in enumerate(zip(items, result, strict=True)) if old != new]
    assert changed == [1, 5]
    assert "tokens cut" in result[1]["content"][0]["text"]
    assert result[1]["content"][1] is image


@pytest.mark.parametrize("text", ["word " * 500, "🙂" * 300, "東京 " * 300, "\n" * 2000, "x" * 5000, "é\u0301" * 500])
@pytest.mark.parametrize("tokens", [32, 100])
def test_a_cut_text_is_never_longer_than_asked(text: str, tokens: int) -> None:
    short = cut(text, tokens, count)
    if count(text) <= tokens:
        assert short == text
    else:
        assert tokens // 3 < count(short) <= tokens
        assert "tokens cut" in short
        assert cut(short, tokens, count) == short


def test_a_text_that_cannot_be_cut_so_short_becomes_its_marker() -> None:
    assert cut("word " * 50, 1, count).strip() == "[... 51 tokens cut ...]"


def test_the_least_length_has_a_least_value() -> None:
    with pytest.raises(ValueError, match="keep_tokens=5"):
        TruncateLongest(keep_tokens=5)


class Figures:
    """A counter whose whole is more than its parts: 3 more for every two neighbours."""

    tools = response_format = 0

    def __init__(self, items: Any) -> None:
        self.per_message = [10] * len(items)
        self.total = 13 * len(items)


@pytest.mark.parametrize("budget", [13, 100, 1000, 5000])
def test_the_exact_count_of_the_result_has_the_last_word(budget: int) -> None:
    history = [user(str(n)) for n in range(500)]
    result = fit(history, count=Figures, max_tokens=budget, strategy=MiddleOut())
    assert budget // 2 <= 13 * len(result) <= budget
