"""Compression: what each step does, and what none of them ever does."""

from __future__ import annotations

import copy
import functools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionMessage

import llmkit.prompts
from llmkit.context.groups import spans
from llmkit.prompts import (
    LOSSLESS,
    compress,
    drop_repeats,
    minify_json,
    squeeze_whitespace,
    stub_tool_results,
)
from llmkit.tokens import count_tokens

MODEL = "gpt-4o"
EVERY_STEP = (stub_tool_results(keep_last=1), drop_repeats(min_tokens=32), *LOSSLESS)
PASSAGE = "\n".join(f"Paragraph {number} says that the harbour of town {number} is deep." for number in range(12))


def tokens(messages: Any) -> int:
    return count_tokens(messages, model=MODEL).total


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def one(step: Any, content: Any, role: str = "user") -> Any:
    return step([{"role": role, "content": content}], model=MODEL)[0]["content"]


def call(call_id: str, name: str = "look") -> dict[str, Any]:
    made = {"id": call_id, "type": "function", "function": {"name": name, "arguments": "{}"}}
    return {"role": "assistant", "content": None, "tool_calls": [made]}


def result(call_id: str, content: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


# --- white space


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Hello   \n\n\n\n\nthere,   you  ", "Hello\n\nthere, you"),
        ("One.  Two.  \r\nThree.", "One. Two.\nThree."),
        ("- a   point  \n    - one\n    - two     below", "- a point\n    - one\n    - two below"),
        (
            "before  \n\n\n```py\nx   =  1  \n\n\n\ny\n```\nafter   all",
            "before\n\n```py\nx   =  1  \n\n\n\ny\n```\nafter all",
        ),
        ("so   it is\n~~~\na   b\n```\nc   d\n~~~~\nand   on", "so it is\n~~~\na   b\n```\nc   d\n~~~~\nand on"),
        ("use ```a   b``` here   now please   ", "use ```a   b``` here   now please"),
        ("a fence   left open\n```\nx   y   ", "a fence left open\n```\nx   y   "),
    ],
)
def test_prose_loses_the_white_space_it_does_not_need(before: str, after: str) -> None:
    assert one(squeeze_whitespace, before) == after
    assert one(squeeze_whitespace, before, "system") == after
    assert one(squeeze_whitespace, before, "tool") == before  # a tool's result is data


@pytest.mark.parametrize(
    "text",
    [
        "def f():\n    return  1   \n\n\n\n",
        "if (x) {   \n\n\n\ny  =  2;   ",
        "@@ -1 +1 @@   \n\n\n\n-a   b",
        "name   age\nada    36\nbob    4",
        "name   age   town",
        "| a   | b   |",
        'say "a   b"',
        "a\tb\t\t",
        '{"a":   "b   c"}',
    ],
)
def test_code_tables_strings_and_json_stay_as_they_are(text: str) -> None:
    assert one(squeeze_whitespace, text) == text


def test_text_parts_are_squeezed_and_other_parts_stay() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}}
    parts = [{"type": "text", "text": "look   at   this"}, image]
    assert one(squeeze_whitespace, parts)[1] is image
    assert (
        one(squeeze_whitespace, [{"type": "text", "text": "so   much   room"}, image])[0]["text"] == "so   much   room"
    )
    assert one(squeeze_whitespace, [{"type": "text", "text": "one   gap"}])[0]["text"] == "one gap"
    split = [{"type": "text", "text": "```\na   b"}, {"type": "text", "text": "c   d\n```"}]
    assert one(squeeze_whitespace, split) == split
    assert one(squeeze_whitespace, None, "assistant") is None


def test_the_sdks_own_messages_are_changed_in_a_copy() -> None:
    message = ChatCompletionMessage(role="assistant", content="so     it is")
    (changed,) = squeeze_whitespace([message], model=MODEL)
    assert (message.content, changed.content) == ("so     it is", "so it is")


# --- JSON


def test_json_is_written_compactly_and_nothing_of_it_changes() -> None:
    text = '{\n  "a" : [1.0, 1E400, "x  \\" \\u00e9 y"],\n  "a" : {}\n}\n'
    assert one(minify_json, text) == '{"a":[1.0,1E400,"x  \\" \\u00e9 y"],"a":{}}'
    assert one(minify_json, text, "tool") == one(minify_json, text)


@pytest.mark.parametrize("end", ["", "\n", "\nand that  is it"])
def test_fenced_json_is_minified_in_place(end: str) -> None:
    before = f'See:\n```json\n{{\n    "a": 1,\n    "b": [1,\n    2]\n}}\n```{end}'
    assert one(minify_json, before) == f'See:\n```json\n{{"a":1,"b":[1,2]}}\n```{end}'


@pytest.mark.parametrize(
    "text",
    [
        "```json\n{ 'a':    1 }\n```",
        "```json\n{   \n   }",
        "```json\n```",
        "```\n{    }\n```",
        "{ not    json }",
        "[" * 100_000,
        "  17  ",
        '{"a":1}',
    ],
)
def test_what_is_not_json_or_already_compact_stays(text: str) -> None:
    assert one(minify_json, text) == text


# --- repeats


def test_a_passage_sent_before_becomes_a_pointer() -> None:
    messages = [user(f"Read this:\n{PASSAGE}"), user(f"And again:\n{PASSAGE}\nWhat is new?"), user("Paragraph 1 says")]
    first, second, third = drop_repeats()(messages, model=MODEL)
    assert (first, third) == (messages[0], messages[2])
    assert second["content"] == (
        "And again:\n"
        '[Repeats the earlier text that begins "Paragraph 0 says that the harbour of town 0 is deep."]\n'
        "What is new?"
    )


def test_short_repeats_stay_and_the_limit_is_checked() -> None:
    messages = [user("The same short line."), user("The same short line.\n\nand more"), user("\n\n")]
    assert drop_repeats()(messages, model=MODEL) == messages
    with pytest.raises(ValueError, match="min_tokens=31 is too few"):
        drop_repeats(min_tokens=31)


def test_the_longest_of_several_earlier_places_counts_and_only_the_first_few_are_looked_at() -> None:
    line = PASSAGE.split("\n")[0]
    for often, before in ((3, ""), (12, f"{line}\n")):
        messages = [user(f"{line}\nshort"), *[user(line)] * often, user(PASSAGE), user(f"{PASSAGE}\nend\n")]
        last = drop_repeats()(messages, model=MODEL)[-1]["content"]
        assert last.startswith(f"{before}[Repeats")
        assert last.endswith('is deep."]\nend\n')


def test_blocks_and_json_are_replaced_as_a_whole_or_not_at_all() -> None:
    block = f"```\n{PASSAGE}\n```"
    data = json.dumps({"lines": PASSAGE.split("\n")}, indent=1)
    messages = [user(f"{block}\n{data}"), user(PASSAGE), user(f"{block}\nend"), user(data), user(data)]
    changed = [message["content"] for message in drop_repeats()(messages, model=MODEL)]
    assert changed[1] == PASSAGE
    assert changed[2].endswith('"]\nend')
    assert changed[3] == data
    assert changed[4].startswith("[Repeats")


# --- stubs


def history(*sizes: int) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    for number, size in enumerate(sizes):
        messages += [user("look"), call(str(number), f"look_{number}"), result(str(number), "word " * size)]
        messages.append({"role": "assistant", "content": "seen"})
    return messages


def test_old_results_become_stubs_and_the_newest_and_the_current_turns_stay() -> None:
    messages = [*history(100, 2, 100, 100), user("now"), call("x"), result("x", "word " * 100)]
    changed = stub_tool_results(keep_last=1)(messages, model=MODEL)
    assert changed[2]["content"] == f'[Old result of look_0: 101 tokens, began "{("word " * 16).strip()}"]'
    assert changed[2]["tool_call_id"] == "0"
    assert changed[6] is messages[6]  # shorter than its stub
    assert changed[10]["content"].startswith("[Old result of look_2")
    assert changed[11:] == messages[11:]
    assert stub_tool_results(keep_last=1)(changed, model=MODEL) == changed
    assert stub_tool_results(keep_last=9)(messages, model=MODEL) == messages
    assert stub_tool_results()(messages[1:4], model=MODEL) == messages[1:4]
    with pytest.raises(ValueError, match="keep_last=-1"):
        stub_tool_results(keep_last=-1)


def test_the_name_of_a_stub_is_found_where_it_stands() -> None:
    long = [{"type": "text", "text": "word " * 100}]
    custom = {"id": "2", "type": "custom", "custom": {"name": "shell", "input": "ls"}}
    messages = [
        {"role": "assistant", "content": None, "function_call": {"name": "old", "arguments": "{}"}},
        {"role": "function", "name": "old", "content": "word " * 100},
        {"role": "assistant", "content": None, "tool_calls": [custom]},
        result("2", long),
        result("?", long),
        user("now"),
    ]
    changed = stub_tool_results(keep_last=0)(messages, model=MODEL)
    names = [changed[index]["content"].split(":")[0] for index in (1, 3, 4)]
    assert names == ["[Old result of old", "[Old result of shell", "[Old result of a tool"]


# --- compress


def test_compress_reports_what_each_step_saved_and_leaves_the_input_alone() -> None:
    messages = [*history(100, 100), user(PASSAGE), user(f"{PASSAGE}   \n\n\n\nso    much"), user('{\n  "a":   1\n}')]
    before = copy.deepcopy(messages)
    done = compress(messages, model=MODEL, steps=EVERY_STEP)
    assert messages == before
    assert done.saved_tokens == tokens(messages) - tokens(done.messages)
    assert [name for name, _ in done.steps] == [
        "stub_tool_results",
        "drop_repeats",
        "squeeze_whitespace",
        "minify_json",
    ]
    assert all(saved > 0 for _, saved in done.steps)
    assert sum(saved for _, saved in done.steps) == done.saved_tokens
    assert "harbour" not in repr(done)


def test_compress_without_steps_named_loses_nothing() -> None:
    messages = [*history(100), user(f"{PASSAGE} \n \n \n\n{PASSAGE}")]
    assert compress(messages, model=MODEL).messages == [*history(100), user(f"{PASSAGE}\n\n{PASSAGE}")]


def test_steps_of_ones_own_count_only_when_they_save() -> None:
    def shout(messages: Any, *, model: str, mark: str = "!") -> list[Any]:
        return [{**message, "content": message["content"] + mark * 5} for message in messages]

    def hush(messages: Any, *, model: str) -> list[Any]:
        return [{**message, "content": "hush"} for message in messages]

    done = compress([user("a longer text")], model=MODEL, steps=[functools.partial(shout, mark="?!"), hush])
    assert done.steps == (("shout", 0), ("hush", done.saved_tokens))
    assert done.messages == [user("hush")]
    for wrong in (drop_repeats, "squeeze"):
        with pytest.raises(TypeError, match="is no step"):
            compress([], model=MODEL, steps=[wrong])  # type: ignore[list-item]


def test_results_that_the_api_writes_together_never_cost_more() -> None:
    both = call("1") | {"tool_calls": [*call("1")["tool_calls"], *call("2")["tool_calls"]]}
    pretty = json.dumps({"a": [1, 2, 3]}, indent=4)
    messages = [user("look"), both, result("1", pretty), result("2", pretty)]
    done = compress(messages, model=MODEL)
    assert (done.messages, done.saved_tokens) == (messages, 0)  # the API writes JSON results anew


texts = st.one_of(
    st.lists(
        st.sampled_from(
            [
                "word",
                "  ",
                "   ",
                "\n",
                "\n\n\n",
                "```",
                "```json\n",
                "{",
                "}",
                '{"a":   1}',
                "\t",
                "- ",
                '"',
                "é",
                ".  ",
            ]
        ),
        max_size=14,
    ).map("".join),
    st.sampled_from([PASSAGE, f"so\n{PASSAGE}\nend", f"```\n{PASSAGE}\n```", json.dumps({"a": [1, 2]}, indent=4)]),
    st.text(max_size=30),
)
contents = st.one_of(texts, st.lists(texts.map(lambda text: {"type": "text", "text": text}), min_size=1, max_size=3))


@st.composite
def histories(draw: st.DrawFn) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    for number in range(draw(st.integers(1, 4))):
        messages.append(user(draw(contents)))
        ids = [f"{number}.{index}" for index in range(draw(st.integers(0, 2)))]
        if ids:
            messages.append(call("") | {"tool_calls": [call(call_id)["tool_calls"][0] for call_id in ids]})
            messages += [result(call_id, draw(texts)) for call_id in ids]
        messages.append({"role": "assistant", "content": draw(texts)})
    return messages


@settings(max_examples=200, deadline=None)
@given(histories())
def test_compression_never_costs_more_keeps_the_history_valid_and_is_done_once(
    messages: list[dict[str, Any]],
) -> None:
    before = copy.deepcopy(messages)
    done = compress(messages, model=MODEL, steps=EVERY_STEP)
    assert messages == before
    assert tokens(done.messages) == tokens(messages) - done.saved_tokens
    assert min(saved for _, saved in done.steps) >= 0
    keys = [{name: value for name, value in message.items() if name != "content"} for message in messages]
    assert [{name: value for name, value in m.items() if name != "content"} for m in done.messages] == keys
    list(spans(done.messages, head=0))
    assert compress(done.messages, model=MODEL, steps=EVERY_STEP).saved_tokens == 0
    for step in EVERY_STEP:
        assert tokens(step(messages, model=MODEL)) <= tokens(messages)


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="ab \n\t.`", max_size=40), st.text(alphabet="ab \n\t{};'", max_size=40))
def test_fenced_code_is_never_touched(prose: str, code: str) -> None:
    block = f"```py\n{code}\n```"
    text = f"{prose.replace('`', '')}\n\n\n\n{block}\nend   of it"
    assert block in compress([user(text)], model=MODEL).messages[0]["content"]


def test_the_front_door_is_lazy_and_lists_its_names() -> None:
    assert llmkit.prompts.__all__ == sorted(llmkit.prompts.__all__, key=lambda name: (not name.isupper(), name))
    assert set(llmkit.prompts.__all__) <= set(dir(llmkit.prompts))
    for name in llmkit.prompts.__all__:
        assert getattr(llmkit.prompts, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = llmkit.prompts.nothing  # type: ignore[attr-defined]
