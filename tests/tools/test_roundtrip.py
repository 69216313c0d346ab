"""What holds for every signature: HYPOTHESIS_EXAMPLES=3000 runs the long version."""

from __future__ import annotations

import copy
import inspect
import os
from typing import Any, cast

import jsonschema
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openai.lib._pydantic import _ensure_strict_json_schema  # pyright: ignore[reportPrivateUsage]
from pydantic_core import to_json, to_jsonable_python
from tools.tool_samples import KINDS, LEFT_OUT, LOOSE, NAMES, function_of

from llmkit.tools.answer_format import chat_format, parse_answer
from llmkit.tools.definition import tool_of

EXAMPLES = int(os.environ.get("HYPOTHESIS_EXAMPLES", "150"))
often = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
Validator = jsonschema.Draft202012Validator


def check_schema(schema: dict[str, Any], *, strict: bool) -> None:
    Validator.check_schema(schema)
    if strict:
        assert _ensure_strict_json_schema(copy.deepcopy(schema), path=(), root=copy.deepcopy(schema)) == schema
        check_strict_keywords(schema)


def check_strict_keywords(node: Any, *, names: bool = False) -> None:
    """The rules of the API that the SDK does not know."""
    if isinstance(node, list):
        for each in cast("list[Any]", node):
            check_strict_keywords(each)
    if not isinstance(node, dict):
        return
    node = cast("dict[str, Any]", node)
    if not names:
        assert not {"default", "title", "oneOf", "allOf", "prefixItems", "uniqueItems", "minLength"} & node.keys()
        assert "$ref" not in node or len(node) == 1
        if node.get("type") == "object":
            assert node["additionalProperties"] is False
            assert node["required"] == list(node["properties"])
    for key, each in node.items():
        check_strict_keywords(each, names=not names and key in ("properties", "$defs"))


def completed(value: Any, schema: dict[str, Any], root: dict[str, Any]) -> Any:
    """The value as a model in strict mode writes it: null for all that has its default."""
    if "$ref" in schema:
        return completed(value, root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    if "anyOf" in schema:
        for branch in schema["anyOf"]:
            done = completed(value, branch, root)
            if Validator({**branch, "$defs": root.get("$defs", {})}).is_valid(done):
                return done
        raise AssertionError(value)
    if isinstance(value, list):
        return [completed(each, schema["items"], root) for each in cast("list[Any]", value)]
    if isinstance(value, dict):
        given = cast("dict[str, Any]", value)
        return {
            name: None
            if given.get(name) == LEFT_OUT and name in ("y", "height", "lives")
            else completed(given.get(name), each, root)
            for name, each in schema["properties"].items()
        }
    return value


POSITIONAL = [inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD]


@st.composite
def calls(draw: st.DrawFn, kinds: list[tuple[Any, Any]]) -> tuple[list[inspect.Parameter], dict[str, Any], set[str]]:
    """A signature, the arguments of a call, and those of them that are left to their default."""
    parameters: list[inspect.Parameter] = []
    arguments: dict[str, Any] = {}
    left_out: set[str] = set()
    ways = sorted(draw(st.lists(st.sampled_from([*POSITIONAL, inspect.Parameter.KEYWORD_ONLY]), max_size=4)))
    defaulted = False
    for name, way in zip(draw(st.permutations(NAMES)), ways, strict=False):
        annotation, values = draw(st.sampled_from(kinds))
        keyword = way is inspect.Parameter.KEYWORD_ONLY
        defaulted = draw(st.booleans()) or (defaulted and not keyword)
        default = draw(st.none() | values) if defaulted else inspect.Parameter.empty
        parameters.append(inspect.Parameter(name, way, annotation=annotation, default=default))
        arguments[name] = draw(values)
        if defaulted and draw(st.booleans()):
            left_out.add(name)
            arguments[name] = default
    if draw(st.booleans()):
        annotation, values = draw(st.sampled_from(kinds))
        place = sum(each.kind in POSITIONAL for each in parameters)
        parameters.insert(place, inspect.Parameter("rest", inspect.Parameter.VAR_POSITIONAL, annotation=annotation))
        arguments["rest"] = tuple(draw(st.lists(values, max_size=2)))
    return parameters, arguments, left_out


@often
@given(calls(KINDS))
def test_in_strict_mode_every_value_fits_the_schema_and_arrives_and_null_gives_the_default(call: Any) -> None:
    parameters, arguments, left_out = call
    function = function_of(parameters)
    tool = tool_of(function, strict=True)
    check_schema(tool.parameters, strict=True)
    value: dict[str, Any] = {}
    for name, each in tool.parameters["properties"].items():
        takes_null = function_takes_null(parameters, name)
        plain = None if name in left_out and not takes_null else to_jsonable_python(arguments[name])
        value[name] = completed(plain, each, tool.parameters)
    Validator(tool.parameters).validate(value)
    args, kwargs = tool.bind(to_json(value))
    assert function(*args, **kwargs) == arguments


def function_takes_null(parameters: list[inspect.Parameter], name: str) -> bool:
    annotation = next(each.annotation for each in parameters if each.name == name)
    return type(None) in getattr(annotation, "__args__", ())


@often
@given(calls([*KINDS, *LOOSE]), st.sampled_from([False, None]))
def test_otherwise_every_value_fits_the_schema_and_arrives_and_what_is_left_out_has_the_default(
    call: Any, strict: bool | None
) -> None:
    parameters, arguments, left_out = call
    function = function_of(parameters)
    tool = tool_of(function, strict=strict)
    check_schema(tool.parameters, strict=tool.strict)
    given_ = {name: to_jsonable_python(value) for name, value in arguments.items() if name not in left_out}
    if tool.strict:
        given_ = {
            name: completed(given_.get(name), each, tool.parameters) if name in given_ else None
            for name, each in tool.parameters["properties"].items()
        }
        given_ = {name: value for name, value in given_.items() if name not in left_out}
    else:
        Validator(tool.parameters).validate(given_)
    args, kwargs = tool.bind(to_json(given_))
    assert function(*args, **kwargs) == arguments


@often
@given(st.data())
def test_every_answer_fits_its_schema_and_arrives(data: st.DataObject) -> None:
    annotation, values = data.draw(st.sampled_from([*KINDS, *LOOSE]))
    value = data.draw(values)
    form = chat_format(annotation)["json_schema"]
    check_schema(form["schema"], strict=form["strict"])
    plain = to_jsonable_python(value)
    wrapped = list(form["schema"].get("properties", ())) == ["response"]
    answer = {"response": plain} if wrapped else plain
    if form["strict"]:
        answer = completed(answer, form["schema"], form["schema"])
    Validator(form["schema"]).validate(answer)
    assert parse_answer(annotation, to_json(answer)) == value
