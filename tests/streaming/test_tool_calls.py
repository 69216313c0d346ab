from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat.chat_completion_chunk import ChoiceDeltaFunctionCall, ChoiceDeltaToolCall

from llmkit.streaming.tool_calls import ToolCallAssembler

Fragments = list[dict[str, Any]]


def fragment(
    index: int | None = 0, arguments: Any = None, *, id: str | None = None, name: str | None = None
) -> dict[str, Any]:
    found: dict[str, Any] = {"function": {"name": name, "arguments": arguments}}
    return found | ({} if index is None else {"index": index}) | ({"id": id, "type": "function"} if id else {})


A, B = ("a", "f", '{"x":1}'), ("b", "g", '{"y":2}')

SHAPES: dict[str, tuple[list[Fragments], list[tuple[str | None, str, str]]]] = {
    "a new id at the same index is a new call": (
        [
            [fragment(0, "", id="a", name="f")],
            [fragment(0, '{"x":1}')],
            [fragment(0, "", id="b", name="g")],
            [fragment(0, '{"y":2}')],
        ],
        [A, B],
    ),
    "a new id may come before its name": (
        [[fragment(0, '{"x":1}', id="a", name="f")], [fragment(0, id="b")], [fragment(0, '{"y":2}', name="g")]],
        [A, B],
    ),
    "a new id comes without a name after complete arguments": (
        [[fragment(0, '{"x":1}', id="a", name="f")], [fragment(0, '{"y":2}', id="b")]],
        [A, ("b", "", '{"y":2}')],
    ),
    "calls at one index take turns by their ids": (
        [
            [fragment(0, '{"x"', id="a", name="f"), fragment(0, '{"y"', id="b", name="g")],
            [fragment(0, ":1}", id="a"), fragment(0, ":2}", id="b")],
        ],
        [A, B],
    ),
    "indexes start at 1 and have gaps": (
        [[fragment(1, "", id="a", name="f")], [fragment(1, '{"x":1}')], [fragment(7, '{"y":2}', id="b", name="g")]],
        [A, B],
    ),
    "indexes come out of order": (
        [
            [fragment(1, '{"y"', id="b", name="g")],
            [fragment(0, '{"x"', id="a", name="f")],
            [fragment(1, ":2}"), fragment(0, ":1}")],
        ],
        [A, B],
    ),
    "no index at all": (
        [
            [fragment(None, "", id="a", name="f")],
            [fragment(None, '{"x":1}')],
            [fragment(None, '{"y"', id="b", name="g")],
            [fragment(None, ":2}")],
        ],
        [A, B],
    ),
    "an index of None, and ids on each fragment": (
        [
            [{**fragment(0, '{"x"', id="a", name="f"), "index": None}, fragment(None, '{"y"', id="b", name="g")],
            [fragment(None, ":1}", id="a"), fragment(None, ":2}", id="b")],
        ],
        [A, B],
    ),
    "an index on the first fragment only": (
        [[fragment(0, '{"x"', id="a", name="f")], [fragment(None, ":1}")]],
        [A],
    ),
    "no ids, one index for each": (
        [[fragment(0, '{"x"', name="f"), fragment(1, '{"y"', name="g")], [fragment(1, ":2}"), fragment(0, ":1}")]],
        [(None, *A[1:]), (None, *B[1:])],
    ),
    "a fragment without an id or a name begins a call where there is none": (
        [[fragment(3, '{"x"')], [fragment(3, ":1}", id="a", name="f")]],
        [A],
    ),
    "the id comes later": ([[fragment(0, '{"x"', name="f")], [fragment(0, ":1}", id="a")]], [A]),
    "the id comes on each fragment": (
        [[fragment(0, part, id="a", name=None) for part in ("", "{", "}")]],
        [("a", "", "{}")],
    ),
    "a made-up id comes with each fragment": (
        [[fragment(0, '{"x"', id="a", name="f")], [fragment(0, ":1", id="p")], [fragment(0, "}", id="q")]],
        [A],
    ),
    "a made-up id comes with white space, and with nothing at the end": (
        [
            [fragment(0, '{"x"', id="a", name="f")],
            [fragment(0, " ", id="p")],
            [fragment(0, ":1}", id="q")],
            [fragment(0, "", id="r")],
        ],
        [("a", "f", '{"x" :1}')],
    ),
    "another name comes after a name that came again": (
        [
            *([fragment(0, part, id="a", name="f")] for part in ("", '{"x":1}', "")),
            *([fragment(0, part, id="b", name="g")] for part in ("", '{"y":2}', "")),
        ],
        [A, B],
    ),
    "calls of one index share an id": (
        [[fragment(0, '{"x":1}', id="a", name="f")], [fragment(0, "", id="a", name="g")], [fragment(0, "{}", id="a")]],
        [A, ("a", "g", "{}")],
    ),
    "all arguments so far come each time": (
        [[fragment(0, part, id="a", name="f")] for part in ("{", '{"x', '{"x":', '{"x":{"y":', '{"x":{"y":1}}')],
        [("a", "f", '{"x":{"y":1}}')],
    ),
    "no arguments come before the real ones": (
        [[fragment(0, "{}", id="a", name="f")], [fragment(0, '{"x"')], [fragment(0, ":1}")]],
        [A],
    ),
    "the arguments are repeated at the end, written in another way": (
        [[fragment(0, '{"x"', id="a", name="f")], [fragment(0, ":1}")], [fragment(0, '{"x": 1}')]],
        [A],
    ),
    "the whole call is repeated without its id": (
        [[fragment(0, '{"x":1}', id="a", name="f")], [fragment(0, '{"x":1}', name="f")]],
        [A],
    ),
    "another object follows at the same index": (
        [[fragment(0, "", id="a", name="f")], [fragment(0, '{"x":1}', name="")], [fragment(0, '{"x":2}', name="")]],
        [A, (None, "f", '{"x":2}')],
    ),
    "calls with equal arguments have indexes of their own": (
        [
            [fragment(0, "", id="a", name="f"), fragment(1, "", id="b", name="f")],
            [fragment(0, '{"x":1}'), fragment(1, '{"x":1}')],
        ],
        [A, ("b", "f", '{"x":1}')],
    ),
    "a call without arguments is followed by another": (
        [[fragment(0, "", id="a", name="f")], [fragment(0, "", id="b", name="g")], [fragment(0, '{"y":2}')]],
        [("a", "f", ""), B],
    ),
    "the name comes in pieces": (
        [[fragment(0, "", id="a", name="get_")], [fragment(0, "", name="weather")], [fragment(0, "{}")]],
        [("a", "get_weather", "{}")],
    ),
    "the whole name comes with each fragment": (
        [[fragment(0, part, id="a", name="f")] for part in ("", '{"x"', ":1}", "", " ")],
        [("a", "f", '{"x":1} ')],
    ),
    "one index comes twice in a chunk": ([[fragment(0, '{"x"', id="a", name="f"), fragment(0, ":1}")]], [A]),
    "whole calls come in one chunk": (
        [[fragment(0, '{"x":1}', id="a", name="f"), fragment(1, '{"y":2}', id="b", name="g")]],
        [A, B],
    ),
    "whole calls come at one index without ids": (
        [[fragment(0, '{"x":1}', name="f")], [fragment(0, '{"x":2}', name="f")], [fragment(0, "{}", name="g")]],
        [(None, "f", '{"x":1}'), (None, "f", '{"x":2}'), (None, "g", "{}")],
    ),
    "whole calls come in one chunk without indexes and ids": (
        [[fragment(None, '{"x":1}', name="f"), fragment(None, '{"y":2}', name="g")]],
        [(None, *A[1:]), (None, *B[1:])],
    ),
    "another name at the same index is another call": (
        [[fragment(0, "{}", name="f")], [fragment(0, "", name="g")], [fragment(0, "{}")]],
        [(None, "f", "{}"), (None, "g", "{}")],
    ),
    "the same name announces another call of the function": (
        [
            [fragment(0, "", name="f")],
            [fragment(0, '{"x":1}')],
            [fragment(0, "", name="f")],
            [fragment(0, '{"x"')],
            [fragment(0, ":2}")],
        ],
        [(None, "f", '{"x":1}'), (None, "f", '{"x":2}')],
    ),
    "the whole call is repeated at the end": (
        [[fragment(0, '{"x"', id="a", name="f")], [fragment(0, ":1}")], [fragment(0, '{"x":1}', id="a", name="f")]],
        [A],
    ),
    "arguments are None, empty or absent": (
        [[fragment(0, None, id="a", name="f")], [fragment(0, "")], [{"index": 0}], [{"index": 0, "function": None}]],
        [("a", "f", "")],
    ),
    "arguments are an object": (
        [[fragment(0, {"x": 1}, id="a", name="f"), fragment(1, {"y": 2}, id="b", name="g")]],
        [A, B],
    ),
    "arguments never become JSON": ([[fragment(0, "{x}", id="a", name="f")]], [("a", "f", "{x}")]),
    "nothing is a call": ([[], [{}], [{"index": 0}], [{"index": 0, "id": "", "function": {"arguments": ""}}]], []),
    "a legacy function call": ([[{"name": "f"}], [{"arguments": '{"x"'}], [{"arguments": ":1}"}]], [(None, *A[1:])]),
    "half of a surrogate pair in each fragment": (
        [[fragment(0, '{"x":"\ud83d', id="a", name="f")], [fragment(0, '\ude00"}')]],
        [("a", "f", '{"x":"😀"}')],
    ),
}


@pytest.mark.parametrize("objects", [False, True], ids=["dicts", "SDK objects"])
@pytest.mark.parametrize(("chunks", "calls"), SHAPES.values(), ids=SHAPES)
def test_calls_come_out_right_when(
    chunks: list[Fragments], calls: list[tuple[str | None, str, str]], objects: bool
) -> None:
    assembler = ToolCallAssembler()
    for chunk in chunks:
        assembler.add([ChoiceDeltaToolCall.construct(None, **delta) for delta in chunk] if objects else chunk)
    assert [(call.id, call.name, call.arguments) for call in assembler.calls] == calls


@dataclass
class Call:
    id: str
    name: str
    arguments: str


NAMES = st.text("abcdefgh_", min_size=1, max_size=12)
ARGUMENTS = st.integers() | st.text(max_size=5) | st.just({"a": [{}]})
OBJECTS: st.SearchStrategy[dict[str, Any]] = st.dictionaries(st.text(max_size=3), ARGUMENTS, max_size=3)


def cuts(data: st.DataObject, text: str) -> list[str]:
    """`text` in pieces, some of them empty."""
    ends = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=4)))
    return [text[start:end] for start, end in zip([0, *ends], [*ends, len(text)], strict=True)]


def fragments_of(data: st.DataObject, call: Call, index: int) -> Fragments:
    """A well-formed cut of a call: the id and the name first, whole or in pieces, then the arguments."""
    pieces = cuts(data, call.arguments)
    if data.draw(st.booleans(), "name in each fragment"):
        found = [fragment(index, piece, name=call.name) for piece in pieces]
    else:
        start = data.draw(st.integers(1, len(call.name)), "cut of the name")
        names = [call.name[:start], call.name[start:]]
        if names[0] == names[1]:  # looks like a repetition
            names = [call.name, ""]
        found = [fragment(index, name=name) for name in names] + [fragment(index, piece) for piece in pieces]
    for each in found if data.draw(st.booleans(), "id on each") else found[:1]:
        each["id"] = call.id
    return found


@settings(deadline=None)
@given(data=st.data(), start=st.integers(0, 2), step=st.integers(1, 3))
def test_any_cut_of_well_formed_calls_gives_the_calls(data: st.DataObject, start: int, step: int) -> None:
    arguments = data.draw(st.lists(OBJECTS, max_size=4))
    calls = [Call(f"call_{n}", data.draw(NAMES), json.dumps(found)) for n, found in enumerate(arguments)]
    queues = [fragments_of(data, call, start + step * n) for n, call in enumerate(calls)]
    assembler, chunk = ToolCallAssembler(), list[dict[str, Any]]()
    while any(queues):
        chunk.append(data.draw(st.sampled_from([queue for queue in queues if queue])).pop(0))
        if data.draw(st.booleans(), "end of the chunk"):
            assembler.add(chunk)
            chunk = []
    assembler.add(chunk)
    assert [Call(call.id or "", call.name, call.arguments) for call in assembler.calls] == calls


@pytest.mark.parametrize("arguments", ['{"a":{"a":{"a":1}}}', '{"a": [{}, {}, {"a": "{}{}"}]}', '{"{\\"a\\":": "{{}"}'])
def test_objects_in_objects_are_no_repetition_wherever_they_are_cut(arguments: str) -> None:
    places = range(len(arguments) + 1)
    for first, second, third in combinations_with_replacement(places, 3):
        assembler = ToolCallAssembler()
        assembler.add([fragment(0, "", id="a", name="f")])
        for start, end in ((0, first), (first, second), (second, third), (third, None)):
            assembler.add([fragment(0, arguments[start:end])])
        assert [call.arguments for call in assembler.calls] == [arguments]


def test_add_gives_the_calls_that_changed() -> None:
    assembler = ToolCallAssembler()
    assert [call.name for call in assembler.add([fragment(1, id="b", name="g"), fragment(0, id="a", name="f")])] == [
        "g",
        "f",
    ]
    assert assembler.add([fragment(1, "", id="b", name="g")]) == []
    assert [call.id for call in assembler.add([fragment(0, "{"), fragment(0, "}")])] == ["a"]
    assert assembler.add(None) == []


def test_the_index_of_a_call_is_that_of_its_first_appearance_and_stays() -> None:
    assembler = ToolCallAssembler()
    assembler.add([fragment(5, id="b", name="g")])
    (late,) = assembler.calls
    assembler.add([fragment(2, id="a", name="f")])
    assert (late.index, late.place) == (0, 5)
    assert [(call.id, call.index) for call in assembler.calls] == [("a", 1), ("b", 0)]


def test_partial_shows_the_arguments_while_they_arrive() -> None:
    assembler = ToolCallAssembler()
    (call,) = assembler.add([fragment(0, "", id="a", name="f")])
    assert call.partial is None
    assembler.add([fragment(0, '{"city": "Pa')])
    assert call.partial == {"city": "Pa"}
    assert not call.is_complete
    assembler.add([fragment(0, 'ris"}')])
    assert call.partial == {"city": "Paris"}
    assert call.is_complete


def test_the_input_of_a_custom_tool_is_text() -> None:
    assembler = ToolCallAssembler()
    assembler.add([{"index": 0, "id": "a", "type": "custom", "custom": {"name": "sql", "input": "SELECT"}}])
    assembler.add([{"index": 0, "custom": {"input": " 1"}}])
    (call,) = assembler.calls
    assert (call.type, call.name, call.arguments, call.partial) == ("custom", "sql", "SELECT 1", "SELECT 1")


def test_the_input_of_a_custom_tool_may_repeat_itself() -> None:
    assembler = ToolCallAssembler()
    for text in ("{}", "{}", '{"a"', '{"a":1}'):
        assembler.add([{"index": 0, "id": "a", "type": "custom", "custom": {"name": "write", "input": text}}])
    (call,) = assembler.calls
    assert (call.arguments, call.is_complete) == ('{}{}{"a"{"a":1}', False)


def test_what_a_provider_adds_to_a_call_is_kept() -> None:
    assembler = ToolCallAssembler()
    signed = {**fragment(0, "{}", id="a", name="f"), "extra_content": {"google": {"thought_signature": "s"}}}
    assembler.add([ChoiceDeltaToolCall.construct(None, **signed)])
    assert [call.id for call in assembler.add([{"index": 0, "more": 1}])] == ["a"]
    assert assembler.calls[0].extra == {"extra_content": {"google": {"thought_signature": "s"}}, "more": 1}


def test_the_sdks_legacy_function_call_is_taken() -> None:
    assembler = ToolCallAssembler()
    assembler.add([ChoiceDeltaFunctionCall(name="f")])
    assembler.add([ChoiceDeltaFunctionCall(arguments='{"x":1}')])
    assert [(call.name, call.arguments) for call in assembler.calls] == [("f", '{"x":1}')]


def test_arguments_nested_deeper_than_python_reads_are_not_complete() -> None:
    assembler = ToolCallAssembler()
    (call,) = assembler.add([fragment(0, '{"a":' * 100_000 + "}" * 100_000, id="a", name="f")])
    assert call.is_complete is False


def test_no_argument_shows_in_the_repr_of_a_call() -> None:
    assembler = ToolCallAssembler()
    (call,) = assembler.add([fragment(0, '{"secret":1}', id="a", name="f")])
    assert "secret" not in repr(call)
