"""llmkit inside pydantic-ai: runs, streamed runs, tools, structured output and `max_retries` per request."""

from __future__ import annotations

from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput, RunUsage
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.settings import ModelSettings
from scenario import Kit, main, scenario

Model = type[OpenAIChatModel] | type[OpenAIResponsesModel]


class City(BaseModel):
    name: str
    people: int


OSLO = City(name="Oslo", people=700_000)


def model_on(kit: Kit, model: Model) -> OpenAIChatModel | OpenAIResponsesModel:
    return model("gpt-4.1", provider=OpenAIProvider(openai_client=kit.async_client()))


def weather_agent(kit: Kit, model: Model) -> Agent:
    """An agent whose model asks for the tool, then answers."""
    kit.fake.reply(tool_calls=[("weather", {"city": "Oslo"})]).reply("Sunny, as ever.")
    agent = Agent(model_on(kit, model))

    @agent.tool_plain
    def weather(city: str) -> str:
        return f"sunny in {city}"

    return agent


def assert_usage(kit: Kit, usage: RunUsage) -> None:
    assert (usage.requests, usage.input_tokens, usage.output_tokens) == (len(kit.records), *kit.tokens)


@scenario(calls=2, model=OpenAIChatModel)
@scenario(calls=2, model=OpenAIResponsesModel)
async def run_calls_the_tool(kit: Kit, model: Model) -> None:
    result = await weather_agent(kit, model).run("Weather in Oslo?")
    assert result.output == "Sunny, as ever."
    assert_usage(kit, result.usage)
    assert "sunny in Oslo" in str(kit.fake.requests[-1].body)


@scenario(calls=2, model=OpenAIChatModel)
@scenario(calls=2, model=OpenAIResponsesModel)
async def streamed_run_calls_the_tool(kit: Kit, model: Model) -> None:
    async with weather_agent(kit, model).run_stream("Weather in Oslo?") as result:
        pieces = [piece async for piece in result.stream_text(delta=True, debounce_by=None)]
    assert len(pieces) > 1
    assert "".join(pieces) == "Sunny, as ever."
    assert all(record.stream for record in kit.records)
    assert_usage(kit, result.usage)


@scenario(calls=1, model=OpenAIChatModel)
@scenario(calls=1, model=OpenAIResponsesModel)
async def output_type_is_a_tool(kit: Kit, model: Model) -> None:
    kit.fake.reply(tool_calls=[("final_result", OSLO.model_dump())])
    result = await Agent(model_on(kit, model), output_type=City).run("Norway's capital?")
    assert result.output == OSLO


@scenario(calls=1, model=OpenAIChatModel)
@scenario(calls=1, model=OpenAIResponsesModel)
async def output_type_is_a_json_schema(kit: Kit, model: Model) -> None:
    kit.fake.reply(OSLO.model_dump_json())
    result = await Agent(model_on(kit, model), output_type=NativeOutput(City)).run("Norway's capital?")
    assert result.output == OSLO


@scenario(calls=2, model=OpenAIChatModel)
@scenario(calls=2, model=OpenAIResponsesModel)
async def invalid_output_is_asked_for_again(kit: Kit, model: Model) -> None:
    kit.fake.reply(tool_calls=[("final_result", {"name": "Oslo"})])
    kit.fake.reply(tool_calls=[("final_result", OSLO.model_dump())])
    result = await Agent(model_on(kit, model), output_type=City).run("Norway's capital?")
    assert result.output == OSLO
    assert_usage(kit, result.usage)


@scenario(calls=1, model=OpenAIChatModel)
@scenario(calls=1, model=OpenAIResponsesModel)
async def max_retries_of_one_request_goes_through_a_copy(kit: Kit, model: Model) -> None:
    for _ in range(3):
        kit.fake.error(503, headers={"retry-after-ms": "1"})
    kit.fake.reply("At last.")
    result = await Agent(model_on(kit, model)).run("Still there?", model_settings=ModelSettings(max_retries=3))
    assert result.output == "At last."
    assert kit.records[0].attempts == 4


@scenario(calls=1, model=OpenAIChatModel)
@scenario(calls=1, model=OpenAIResponsesModel)
async def streamed_max_retries_goes_through_a_copy(kit: Kit, model: Model) -> None:
    kit.fake.error(503, headers={"retry-after-ms": "1"}).reply("At last.")
    async with Agent(model_on(kit, model)).run_stream("Still?", model_settings=ModelSettings(max_retries=1)) as result:
        assert await result.get_output() == "At last."
    assert kit.records[0].attempts == 2


main()
