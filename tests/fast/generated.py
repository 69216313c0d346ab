"""Requests of every kind: as the API wants them, as the SDK takes them, and as users get them wrong."""

from __future__ import annotations

import datetime
import decimal
import io
import pathlib
import types
from collections import OrderedDict, UserDict, defaultdict
from collections.abc import Mapping
from enum import Enum
from functools import cache
from typing import Any

import httpx2
import openai
import pydantic
from fast.wire import OPTIONS, Call, Made, fresh
from hypothesis import strategies as st
from openai import NOT_GIVEN, omit
from openai.types.chat import ChatCompletionMessage
from openai.types.responses import ResponseConfigurationUpdateItem

from llmkit.testing import FakeOpenAI


class Colour(pydantic.BaseModel):
    """A colour."""

    name: str


class Aliased(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(populate_by_name=True)
    role: str = pydantic.Field(alias="Role")
    content: list[Colour] | str = "x"


class Secretive(openai.BaseModel):
    """Keeps a part of itself from the API, as the SDK's parsed output does."""

    __api_exclude__ = {"parsed"}  # noqa: RUF012
    type: str = "output_text"
    text: str = "blue"
    parsed: Any = None


class Role(str, Enum):  # noqa: UP042
    USER = "user"


class Number(Enum):
    ONE = 1


class Attributes(dict[str, Any]):
    pass


class Items(list[Any]):
    pass


class Text(str):
    __slots__ = ()


PARAMETERS = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
FUNCTION = {"type": "function", "function": {"name": "paint", "parameters": PARAMETERS, "strict": True}}
ANSWERED: Any = {"role": "assistant", "content": "Blue.", "refusal": None, "annotations": [], "extra": {"a": [1]}}


@cache
def objects() -> Mapping[str, list[Any]]:
    """What the SDK's own methods returned earlier, and what users make of pydantic: by the field they are for."""
    fake = FakeOpenAI().reply('{"name":"blue"}').reply(tool_calls=[("Colour", {"name": "red"})]).reply("Hi.")
    fake.reply('{"name":"blue"}').reply(tool_calls=[("Colour", {"name": "red"})]).reply("Hi.")
    client = openai.OpenAI(api_key="sk-fake", base_url=fake.base_url, http_client=fake.http_client())
    chat: Any = {"model": "gpt-4o", "messages": [{"role": "user", "content": "?"}]}
    tools = [openai.pydantic_function_tool(Colour)]
    answers = [
        client.chat.completions.parse(**chat, response_format=Colour),
        client.chat.completions.parse(**chat, tools=tools),
        client.chat.completions.create(**chat),
    ]
    asked: Any = {"model": "gpt-4o", "input": "?"}
    flat: Any = [{"type": "function", "name": "Colour", "parameters": PARAMETERS, "strict": True}]
    responses = [
        client.responses.parse(**asked, text_format=Colour),
        client.responses.parse(**asked, tools=flat),
        client.responses.create(**asked),
    ]
    messages = [answer.choices[0].message for answer in answers]
    update = {"id": "u", "type": "configuration_update", "text": {"format": {"type": "text"}}}
    return {
        "messages": [*messages, ChatCompletionMessage.model_construct(**ANSWERED), Aliased(Role="user")],
        "tool_calls": [call for message in messages for call in message.tool_calls or ()],
        "input": [
            *(item for response in responses for item in response.output),
            ResponseConfigurationUpdateItem.model_construct(**update),
            Aliased(Role="user", content=[Colour(name="x")]),
        ],
        "parts": [Secretive(parsed=Colour(name="x")), Secretive(), Colour(name="x")],
    }


def an_object(*kinds: str) -> st.SearchStrategy[Any]:
    """One of the SDK's objects."""
    return st.deferred(lambda: st.sampled_from([item for kind in kinds for item in objects()[kind]]))


texts = st.one_of(
    st.sampled_from(["", "Hi", 'a "quoted" \\ line\n', "ünïcode ☀ \U0001f600 \u2028 \x00", "x" * 300]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
)
numbers = st.one_of(st.integers(-3, 3), st.sampled_from([2**70, 1.0, 0.1, 1e300, -0.0, True]))
plain: st.SearchStrategy[Any] = st.recursive(
    st.one_of(texts, numbers, st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(texts, inner, max_size=2)),
    max_leaves=5,
)
ODD: list[Any] = [
    omit,
    NOT_GIVEN,
    "\ud83d",
    float("nan"),
    float("inf"),
    b"bytes",
    datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
    datetime.date(2026, 1, 2),
    pathlib.Path("nowhere"),
    decimal.Decimal("1.5"),
    frozenset({"a"}),
    Role.USER,
    Number.ONE,
    Text("text"),
    object,
    Made("iterator", lambda: iter([{"type": "text", "text": "a"}])),
    Made("generator", lambda: ({"type": "text", "text": text} for text in "ab")),
    Made("set", lambda: {1}),
    Made("file", lambda: io.BytesIO(b"x")),
    Made("ordered", lambda: OrderedDict(type="text", text="a")),
    Made("default", lambda: defaultdict(list, {"type": "text"})),
    Made("attributes", lambda: Attributes(type="text", text=omit)),
    Made("items", lambda: Items([{"type": "text", "text": "a"}])),
    Made("proxy", lambda: types.MappingProxyType({"type": "text", "text": "a"})),
    Made("user dict", lambda: UserDict(type="text", text="a")),
    ({"type": "text", "text": "a"},),
    {"type": "text", "text": omit},
    {1: "a", None: [2], False: {}},
    {("a",): 1},
    {Role.USER: 1},
    [[{"a": ()}]],
    Colour(name="x"),
    [Colour(name="x"), {"b": Aliased(Role="user")}],
    [Aliased(Role="user")],
    "text in place of a list",
    {},
    [],
    None,
    3,
]
odd = st.one_of(st.sampled_from(ODD), plain, an_object("messages", "tool_calls", "input", "parts"))


def perhaps_odd(usual: st.SearchStrategy[Any], *, one_in: int = 30) -> st.SearchStrategy[Any]:
    """Mostly what is usual here, sometimes anything."""
    return st.integers(1, one_in).flatmap(lambda number: odd if number == one_in else usual)


def some(fields: Mapping[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """A dict with some of these fields, in any order."""
    return st.lists(st.sampled_from(sorted(fields)), unique=True, max_size=4).flatmap(
        lambda names: st.fixed_dictionaries({name: fields[name] for name in names})
    )


def a_dict(**fields: Any) -> st.SearchStrategy[dict[str, Any]]:
    """A dict of these fields, each a strategy or a value."""
    return st.fixed_dictionaries(
        {name: value if isinstance(value, st.SearchStrategy) else st.just(value) for name, value in fields.items()}
    )


def a_list(items: st.SearchStrategy[Any], *, most: int = 4) -> st.SearchStrategy[Any]:
    """Mostly a list."""
    usual = st.lists(items, min_size=1, max_size=most)
    iterators = usual.map(lambda made: Made("iterator", lambda: iter(fresh(made))))
    others = st.one_of(st.just([]), usual.map(tuple), iterators, odd)
    return st.integers(1, 10).flatmap(lambda number: others if number == 10 else usual)


def edited(usual: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A dict, sometimes with a key too many, too few or of an odd value."""

    @st.composite
    def made(draw: st.DrawFn) -> Any:
        made = draw(usual)
        change = draw(st.sampled_from(["none"] * 27 + ["add", "remove", "odd"]))
        if change == "none" or type(made) is not dict or not made:
            return made
        key = draw(st.sampled_from([*made]))
        if change == "add":
            return {**made, draw(st.sampled_from(["extra", "cache_control", 7])): draw(odd)}
        if change == "remove":
            return {name: value for name, value in made.items() if name != key}
        return {**made, key: draw(odd)}

    return made()


part = edited(
    st.one_of(
        a_dict(type="text", text=texts),
        st.just({"type": "image_url", "image_url": {"url": "https://e.test/a.png", "detail": "low"}}),
        st.just({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}),
        st.just({"type": "refusal", "refusal": "No."}),
        an_object("parts"),
    )
)
content = perhaps_odd(st.one_of(texts, texts, texts, st.none(), a_list(part)))
call = edited(
    st.one_of(
        a_dict(id="call_1", type="function", function=a_dict(name=texts, arguments=texts)),
        st.just({"id": "call_2", "type": "custom", "custom": {"name": "sh", "input": "ls"}}),
        an_object("tool_calls"),
    )
)
roles = st.sampled_from(["system", "developer", "user", "assistant", "function"])
message = st.one_of(
    edited(a_dict(role=roles, content=content)),
    edited(a_dict(content=content, role="user", name=texts)),
    edited(a_dict(role="assistant", content=content, tool_calls=a_list(call))),
    edited(a_dict(role="tool", tool_call_id="call_1", content=content)),
    st.just({"role": "assistant", "audio": {"id": "a"}, "refusal": "No.", "function_call": {"name": "f"}}),
    an_object("messages"),
)
messages = a_list(perhaps_odd(message, one_in=40))
tool = edited(
    st.one_of(
        st.just(FUNCTION),
        a_dict(type="function", function=a_dict(name="f", parameters=plain)),
        st.just({"type": "custom", "custom": {"name": "sh", "format": {"type": "text"}}}),
        st.just(openai.pydantic_function_tool(Colour)),
    )
)
strict_tools = st.lists(st.sampled_from([FUNCTION, openai.pydantic_function_tool(Colour)]), max_size=2)
allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"type": "function"}]}}
CHAT_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "temperature": numbers,
    "top_p": numbers,
    "n": st.just(1),
    "seed": numbers,
    "max_tokens": numbers,
    "max_completion_tokens": numbers,
    "stop": st.one_of(texts, st.lists(texts, max_size=2), st.none()),
    "logit_bias": st.just({"50256": -100}),
    "logprobs": st.booleans(),
    "metadata": st.dictionaries(texts, texts, max_size=2),
    "modalities": st.just(["text"]),
    "audio": st.just({"voice": "alloy", "format": "wav"}),
    "prediction": a_dict(type="content", content=content),
    "reasoning_effort": st.sampled_from(["low", None]),
    "service_tier": st.just("auto"),
    "store": st.booleans(),
    "stream_options": st.just({"include_usage": True}),
    "user": texts,
    "functions": st.just([{"name": "f", "parameters": PARAMETERS}]),
    "function_call": st.just({"name": "f"}),
    "tool_choice": st.sampled_from(["auto", allowed, {"type": "function", "function": {"name": "paint"}}]),
    "parallel_tool_calls": st.booleans(),
    "web_search_options": st.just({"user_location": {"type": "approximate", "approximate": {"city": "Paris"}}}),
}


def extra_body(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """What users put into `extra_body`: other parameters, and those that the call has, too."""
    given = {"model": texts, "top_k": plain, "metadata": plain, **fields}
    values = {name: st.one_of(usual, st.sampled_from([omit, NOT_GIVEN, None, [], ""])) for name, usual in given.items()}
    return st.one_of(
        st.none(),
        st.just({}),
        some(values),
        some(values),
        some(values).map(lambda made: Made("proxy", lambda: types.MappingProxyType(made))),
        st.sampled_from(["text", b"bytes", [1], 3, {1: "a"}, {"x": float("nan")}]),
    )


HEADERS: list[Any] = [{"X-A": "b"}, {"X-Stainless-Retry-Count": omit}, {"content-type": "application/json"}, {}, None]
TIMEOUTS: list[Any] = [3, None, NOT_GIVEN, httpx2.Timeout(5, read=2.5)]
SENDING: dict[str, st.SearchStrategy[Any]] = {
    "extra_headers": st.sampled_from(HEADERS),
    "extra_query": st.sampled_from([{"a": "b", "c": [1, 2]}, {}, None]),
    "timeout": st.sampled_from(TIMEOUTS),
}
kinds = st.sampled_from(["OpenAI", *OPTIONS])


def a_call(
    methods: list[str],
    required: Mapping[str, st.SearchStrategy[Any]],
    fields: Mapping[str, st.SearchStrategy[Any]],
) -> st.SearchStrategy[Call]:
    """A call with what is required, some of the rest, and sometimes a slip of the pen."""
    optional = {name: perhaps_odd(usual) for name, usual in fields.items()}

    @st.composite
    def made(draw: st.DrawFn) -> Call:
        arguments = {**draw(st.fixed_dictionaries(dict(required))), **draw(some(optional)), **draw(some(SENDING))}
        slip = draw(st.sampled_from(["none"] * 20 + ["missing", "unknown", "positional"]))
        if slip == "missing":
            del arguments[draw(st.sampled_from([*required]))]
        if slip == "unknown":
            arguments["temprature"] = 1
        return Call(draw(st.sampled_from(methods)), arguments, positional=(1,) if slip == "positional" else ())

    return made()


def with_prefixes(path: str, methods: list[str]) -> list[str]:
    """The methods of a resource, also with raw and streaming responses."""
    prefixes = ("", "with_raw_response.", "with_streaming_response.")
    return [f"{path}.{prefix}{method}" for prefix in prefixes for method in methods]


models = st.sampled_from(["gpt-4o"] * 20 + [None, omit, 3, Text("m"), Role.USER, ""])
CREATES = [
    "chat.completions.create",
    "chat.completions.create",
    *with_prefixes("chat.completions", ["create"]),
    "beta.chat.completions.create",
    "with_raw_response.chat.completions.create",
    "with_streaming_response.chat.completions.create",
]
chat_creates = a_call(
    CREATES,
    {"model": models, "messages": messages},
    {
        **CHAT_FIELDS,
        "tools": a_list(tool),
        "stream": st.sampled_from([True, False, None, omit]),
        "response_format": st.sampled_from([{"type": "json_object"}, Colour, omit]),
        "extra_body": extra_body(messages=messages, tools=a_list(tool), stream=st.booleans()),
    },
)
chat_parses = a_call(
    [
        *with_prefixes("chat.completions", ["parse"]),
        "beta.chat.completions.parse",
        "chat.completions.stream",
        "beta.chat.completions.stream",
    ],
    {"model": models, "messages": messages, "response_format": st.sampled_from([Colour, omit, {"type": "text"}])},
    {
        **CHAT_FIELDS,
        "tools": st.one_of(strict_tools, a_list(tool)),
        "extra_body": extra_body(messages=messages, tools=a_list(tool)),
    },
)
item = st.one_of(
    edited(a_dict(role="user", content=content)),
    edited(a_dict(type="message", role="user", content=a_list(a_dict(type="input_text", text=texts)))),
    edited(a_dict(type="function_call", call_id="c", name="f", arguments=texts)),
    edited(a_dict(type="function_call_output", call_id="c", output=content)),
    st.just({"type": "computer_call", "id": "c", "action": {"type": "drag", "path": [{"x": 1, "y": 2}]}}),
    a_dict(type="configuration_update", text=a_dict(format=a_dict(type=st.sampled_from(["text", "json_schema"])))),
    st.just({"type": "item_reference", "id": "i"}),
    an_object("input"),
)
inputs = st.integers(1, 6).flatmap(lambda number: texts if number == 6 else a_list(perhaps_odd(item, one_in=40)))
OTHER_TOOLS: list[Any] = [
    {"type": "custom", "name": "sh"},
    {"type": "web_search", "filters": {"allowed_domains": ["e.test"]}},
    {"type": "file_search", "vector_store_ids": ["v"], "filters": {"type": "eq", "key": "k", "value": 1}},
    {"type": "mcp", "server_label": "s", "headers": {"a": "b"}, "require_approval": {"never": {}}},
    {"type": "code_interpreter", "container": {"type": "auto"}},
    {"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "f"}]},
    openai.pydantic_function_tool(Colour),
]
flat_tool = edited(
    st.one_of(a_dict(type="function", name="f", parameters=plain, strict=True), st.sampled_from(OTHER_TOOLS))
)
RESPONSES_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "instructions": texts,
    "temperature": numbers,
    "max_output_tokens": numbers,
    "metadata": st.dictionaries(texts, texts, max_size=2),
    "reasoning": st.just({"effort": "low"}),
    "include": st.just(["reasoning.encrypted_content"]),
    "previous_response_id": texts,
    "prompt": st.just({"id": "p", "variables": {"a": "b"}}),
    "text": st.just({"verbosity": "low"}),
    "tool_choice": st.sampled_from(["auto", {"type": "function", "name": "f"}]),
    "truncation": st.just("auto"),
    "store": st.booleans(),
    "tools": a_list(flat_tool),
    "model": models,
    "extra_body": extra_body(input=inputs, tools=a_list(flat_tool)),
}
responses_creates = a_call(
    [*with_prefixes("responses", ["create"]), "responses.create", "with_raw_response.responses.create"],
    {"model": models, "input": inputs},
    {**RESPONSES_FIELDS, "stream": st.sampled_from([True, False, omit])},
)
responses_parses = a_call(
    ["responses.with_raw_response.parse", "responses.parse", "responses.stream"],
    {"model": models, "input": inputs},
    {**RESPONSES_FIELDS, "text_format": st.just(Colour), "parse_as": st.sampled_from([Colour, None])},
)
beta_responses_creates = a_call(
    with_prefixes("beta.responses", ["create"]),
    {"model": models, "input": inputs},
    {**RESPONSES_FIELDS, "betas": st.just(["responses_multi_agent=v1"]), "stream": st.sampled_from([True, False])},
)
ids = st.lists(st.integers(0, 99), max_size=3)
embeddings_creates = a_call(
    with_prefixes("embeddings", ["create"]),
    {
        "model": models,
        "input": st.one_of(texts, a_list(texts), ids, a_list(st.one_of(ids, ids.map(tuple))), a_list(odd)),
    },
    {
        "dimensions": numbers,
        "encoding_format": st.sampled_from(["float", "base64", omit]),
        "user": texts,
        "extra_body": extra_body(input=a_list(texts)),
    },
)
