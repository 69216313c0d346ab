"""llmkit inside langchain-openai: invoke and stream, sync and async, Chat and Responses, structured output, tools."""

from __future__ import annotations

from langchain_core.messages import AIMessage
from langchain_openai import ChatOpenAI
from pydantic import BaseModel
from scenario import Kit, main, scenario


class City(BaseModel):
    name: str
    people: int


OSLO = City(name="Oslo", people=700_000)


def chat_on(kit: Kit, *, responses: bool = False, stream_usage: bool | None = None) -> ChatOpenAI:
    sync, async_ = kit.client(), kit.async_client()
    return ChatOpenAI(
        model="gpt-test",
        client=sync.chat.completions,
        root_client=sync,
        async_client=async_.chat.completions,
        root_async_client=async_,
        api_key="sk-unused",
        use_responses_api=responses,
        stream_usage=stream_usage,
    )


def assert_usage(kit: Kit, message: AIMessage) -> None:
    assert message.usage_metadata
    assert (message.usage_metadata["input_tokens"], message.usage_metadata["output_tokens"]) == kit.tokens


@scenario(calls=1, responses=False)
@scenario(calls=1, responses=True)
async def ainvoke_answers(kit: Kit, responses: bool) -> None:
    message = await chat_on(kit, responses=responses).ainvoke("Hello")
    assert message.text == "You said: Hello"
    assert_usage(kit, message)


@scenario(calls=1, responses=False)
@scenario(calls=1, responses=True)
def invoke_answers(kit: Kit, responses: bool) -> None:
    message = chat_on(kit, responses=responses).invoke("Hello")
    assert message.text == "You said: Hello"
    assert_usage(kit, message)


@scenario(calls=1, responses=False)
@scenario(calls=1, responses=True)
async def astream_yields_pieces(kit: Kit, responses: bool) -> None:
    pieces = [chunk.text async for chunk in chat_on(kit, responses=responses).astream("Hello")]
    assert "".join(pieces) == "You said: Hello"
    assert len(pieces) > 2
    assert kit.records[0].stream


@scenario(calls=1, responses=False)
@scenario(calls=1, responses=True)
def stream_yields_pieces(kit: Kit, responses: bool) -> None:
    pieces = [chunk.text for chunk in chat_on(kit, responses=responses).stream("Hello")]
    assert "".join(pieces) == "You said: Hello"
    assert len(pieces) > 2
    assert kit.records[0].stream


@scenario(calls=1)
async def usage_that_langchain_asks_for_reaches_it(kit: Kit) -> None:
    chunks = [chunk async for chunk in chat_on(kit, stream_usage=True).astream("Hello")]
    assert_usage(kit, sum(chunks[1:], chunks[0]))


@scenario(calls=1)
async def usage_that_only_llmkit_asks_for_is_hidden(kit: Kit) -> None:
    chunks = [chunk async for chunk in chat_on(kit, stream_usage=False).astream("Hello")]
    assert kit.fake.requests[0].body["stream_options"] == {"include_usage": True}
    assert all(chunk.usage_metadata is None for chunk in chunks)


@scenario(calls=1, responses=False, method="json_schema")
@scenario(calls=1, responses=True, method="json_schema")
@scenario(calls=1, responses=False, method="function_calling")
@scenario(calls=1, responses=True, method="function_calling")
async def structured_output_is_parsed(kit: Kit, responses: bool, method: str) -> None:
    if method == "json_schema":
        kit.fake.reply(OSLO.model_dump_json())
    else:
        kit.fake.reply(tool_calls=[("City", OSLO.model_dump())])
    chain = chat_on(kit, responses=responses).with_structured_output(City, method=method)
    assert await chain.ainvoke("Norway's capital?") == OSLO


@scenario(calls=1)
def structured_output_is_parsed_in_a_sync_call(kit: Kit) -> None:
    kit.fake.reply(OSLO.model_dump_json())
    assert chat_on(kit).with_structured_output(City).invoke("Norway's capital?") == OSLO


@scenario(calls=1)
async def structured_output_is_streamed(kit: Kit) -> None:
    kit.fake.reply(OSLO.model_dump_json())
    parsed = [city async for city in chat_on(kit).with_structured_output(City).astream("Norway's capital?")]
    assert parsed[-1] == OSLO


@scenario(calls=1, responses=False)
@scenario(calls=1, responses=True)
async def tool_calls_are_bound(kit: Kit, responses: bool) -> None:
    kit.fake.reply(tool_calls=[("City", OSLO.model_dump())])
    message = await chat_on(kit, responses=responses).bind_tools([City]).ainvoke("Norway's capital?")
    assert [(call["name"], call["args"]) for call in message.tool_calls] == [("City", OSLO.model_dump())]


main()
