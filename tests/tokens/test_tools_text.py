from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.tokens.schema_text import MAX_NODES
from llmkit.tokens.tools_text import custom_text, function_text, functions_text, grammar_text, name_of


def type_of(schema: Any, *, chat: bool = True) -> str:
    text, _ = function_text({"name": "f", "parameters": schema}, chat=chat)
    return text.removeprefix("type f = (").removesuffix(") => any;\n\n").removeprefix("_: ")


def properties(**schemas: Any) -> dict[str, Any]:
    return {"type": "object", "properties": schemas, "required": list(schemas)}


def test_functions_are_a_namespace() -> None:
    tools = [{"name": "now", "description": " The time.\n\n  In UTC. "}, {"name": "add", "parameters": {}}]
    assert functions_text(tools, chat=True) == (
        "namespace functions {\n\n// The time.\n//\n// In UTC.\ntype now = () => any;\n\n"
        "type add = () => any;\n\n} // namespace functions",
        True,
    )


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"type": "object", "properties": {}}, ""),
        ({"type": "object", "properties": []}, ""),
        ({"type": "object", "properties": {"a": {"type": "string"}}, "required": True}, "{ a?: string }"),
        (properties(a={"type": "integer"}, b={"type": "boolean"}), "{ a: number, b: boolean }"),
        (properties(a={"type": "null"}, b={"type": "odd"}, c={}, d=True), "{ a: null, b: any, c: any, d: any }"),
        (properties(a={"enum": ["x", 1, None]}, b={"const": "y"}), '{ a: "x" | 1 | null, b: "y" }'),
        (
            properties(a={"type": "array"}, b={"type": "array", "items": {"type": "string"}}),
            "{ a: any[], b: string[] }",
        ),
        (properties(a={"oneOf": [{"type": "string"}, {"type": "number"}]}), "{ a: string | number }"),
        (properties(a={"properties": {"b": {"type": "string"}}}), "{ a: { b?: string } }"),
        ({"type": "object", "additionalProperties": True}, "{ [k: string]: any }"),
        (properties(a={"type": "string", "title": "A"}), "{\n// A\na: string,\n}"),
        (properties(a={"type": "string", "title": "A", "description": "b"}), "{\n// A\n//\n// b\na: string,\n}"),
        (properties(a={"type": "string", "default": None}), "{\na: string, // default: null\n}"),
        (properties(a={"type": "string", "title": ""}), "{ a: string }"),
        (
            properties(a={"anyOf": [{"type": "string", "description": "x"}, {"type": "null"}]}),
            "{\na: \n | string // x\n | null\n,\n}",
        ),
        (
            properties(a={"type": "array", "items": {"type": "string", "description": "x"}}),
            "{\na: Array<\n// x\nstring\n>,\n}",
        ),
        ({"title": "T", **properties(a={"type": "string"})}, "// T\n{ a: string }"),
        ({"$ref": "#/$defs/A", "$defs": {"A": properties(a={"type": "string"})}}, "{ a: string }"),
        (
            {**properties(a={"$ref": "#/$defs/a~1b", "description": "x"}), "$defs": {"a/b": {"type": "string"}}},
            "{\n// x\na: string,\n}",
        ),
    ],
)
def test_a_schema_becomes_a_type(schema: Any, text: str) -> None:
    assert type_of(schema) == text
    assert function_text({"name": "f", "parameters": schema}, chat=True)[1]


def test_chat_shows_formats_and_repeats_comments_in_type_lists() -> None:
    schema = properties(a={"type": ["string", "null"], "format": "date"}, b={"type": "string", "format": "date"})
    assert type_of(schema, chat=True) == (
        "{\na: \n | string // format: date\n | null // format: date\n, // format: date\nb: string, // format: date\n}"
    )
    assert type_of(schema, chat=False) == "{ a: string | null, b: string }"


def test_bounds_are_shown_but_not_known_for_sure() -> None:
    schema = properties(a={"type": ["integer", "null"], "minimum": 0, "maximum": 9})
    assert type_of(schema, chat=False) == "{\na: \n | number // minimum: 0, maximum: 9\n | null,\n}"
    plain = properties(a={"type": "integer", "minimum": 0})
    assert type_of(plain, chat=False) == "{\na: number, // minimum: 0\n}"
    assert not function_text({"name": "f", "parameters": plain}, chat=False)[1]
    assert type_of(properties(a={"type": ["string", "null"], "minimum": 0}), chat=False) == "{ a: string | null }"


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"$ref": "#/nowhere"},
        {"$ref": 5},
        properties(a={"$ref": "#"}),
        properties(a=5),
        {"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/B"}, "B": {"$ref": "#/$defs/A"}}},
    ],
)
def test_references_without_an_end_are_cut_and_said_to_be_inexact(schema: Any) -> None:
    assert not function_text({"name": "f", "parameters": schema}, chat=True)[1]


def test_references_that_multiply_stop() -> None:
    definitions = {
        f"D{i}": properties(a={"$ref": f"#/$defs/D{i + 1}"}, b={"$ref": f"#/$defs/D{i + 1}"}) for i in range(60)
    }
    text, exact = function_text(
        {"name": "f", "parameters": {"$ref": "#/$defs/D0", "$defs": definitions | {"D60": {"enum": [1, 2]}}}}, chat=True
    )
    assert not exact
    assert len(text) < 60 * MAX_NODES


words = st.sampled_from(["string", "object", "array", "integer", "#", "#/$defs/a", "#/properties/a", "x"])
nonsense = st.recursive(
    st.none() | st.booleans() | st.integers() | words,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["type", "properties", "items", "anyOf", "oneOf", "enum", "const", "$ref", "$defs", "a", "required",
                 "title", "description", "default", "format", "minimum", "additionalProperties"]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=30,
)  # fmt: skip


@given(nonsense, st.booleans())
def test_any_nonsense_ends(schema: Any, chat: bool) -> None:
    text, _ = function_text({"name": "f", "parameters": schema}, chat=chat)
    assert text.endswith("=> any;\n\n")


def test_custom_tools_are_free_text_with_a_grammar() -> None:
    grammar = {"type": "grammar", "syntax": "lark", "definition": "start: x\nx: y"}
    assert custom_text({"name": "run", "description": "Run it."}) == (
        "// Run it.\ntype run = (FREEFORM) => any;\n\n} // namespace functions"
    )
    assert grammar_text({"name": "run", "format": grammar}) == "// start: x\n// x: y"
    assert grammar_text({"name": "run", "format": {"type": "grammar", "grammar": grammar}}) == "// start: x\n// x: y"
    assert grammar_text({"name": "run", "format": {"type": "text"}}) == ""
    assert grammar_text({"name": "run", "format": {"grammar": 5}}) == ""
    assert grammar_text({"name": "run"}) == ""


def test_a_tool_without_a_name_is_a_value_error() -> None:
    with pytest.raises(ValueError, match=r"a tool has no name: \{'description': 'x'\}"):
        name_of({"description": "x"})
