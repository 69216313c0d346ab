"""llmkit inside openai-agents: runs, streamed runs, tools and the runner's own retries."""

from __future__ import annotations

import openai
from agents import (
    Agent,
    ModelRetrySettings,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    retry_policies,
    set_tracing_disabled,
)
from pydantic import BaseModel
from scenario import Kit, main, scenario

set_tracing_disabled(True)
Model = type[OpenAIChatCompletionsModel] | type[OpenAIResponsesModel]


class City(BaseModel):
    name: str
    people: int


@function_tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


def weather_agent(kit: Kit, model: Model) -> Agent:
    """An agent whose model asks for the tool, then answers."""
    kit.fake.reply(tool_calls=[("weather", {"city": "Oslo"})]).reply("Sunny, as ever.")
    return Agent("forecaster", model=model("gpt-test", kit.async_client()), tools=[weather])


def assert_tool_was_answered(kit: Kit) -> None:
    assert "sunny in Oslo" in str(kit.fake.requests[-1].body)


@scenario(calls=2, model=OpenAIChatCompletionsModel)
@scenario(calls=2, model=OpenAIResponsesModel)
async def run_calls_the_tool(kit: Kit, model: Model) -> None:
    result = await Runner.run(weather_agent(kit, model), "Weather in Oslo?")
    assert result.final_output == "Sunny, as ever."
    usage = result.context_wrapper.usage
    assert (usage.requests, usage.input_tokens, usage.output_tokens) == (2, *kit.tokens)
    assert_tool_was_answered(kit)


@scenario(calls=2, model=OpenAIChatCompletionsModel)
@scenario(calls=2, model=OpenAIResponsesModel)
async def streamed_run_calls_the_tool(kit: Kit, model: Model) -> None:
    result = Runner.run_streamed(weather_agent(kit, model), "Weather in Oslo?")
    raw = [event.data async for event in result.stream_events() if event.type == "raw_response_event"]
    assert "".join(event.delta for event in raw if event.type == "response.output_text.delta") == "Sunny, as ever."
    assert result.final_output == "Sunny, as ever."
    assert all(record.stream for record in kit.records)
    assert_tool_was_answered(kit)


@scenario(calls=1, model=OpenAIChatCompletionsModel)
@scenario(calls=1, model=OpenAIResponsesModel)
async def output_type_is_parsed(kit: Kit, model: Model) -> None:
    kit.fake.reply('{"name": "Oslo", "people": 700000}')
    agent = Agent("geographer", model=model("gpt-test", kit.async_client()), output_type=City)
    result = await Runner.run(agent, "Norway's capital?")
    assert result.final_output == City(name="Oslo", people=700_000)


@scenario(calls=2, failed=1, model=OpenAIChatCompletionsModel)
@scenario(calls=2, failed=1, model=OpenAIResponsesModel)
async def runner_replays_with_a_client_that_never_retries(kit: Kit, model: Model) -> None:
    kit.fake.error(503).reply("At last.")
    agent = Agent(
        "patient",
        model=model("gpt-test", kit.async_client(max_retries=0)),
        model_settings=ModelSettings(
            retry=ModelRetrySettings(
                max_retries=1, backoff={"initial_delay": 0}, policy=retry_policies.http_status([503])
            )
        ),
    )
    result = await Runner.run(agent, "Still there?")
    assert result.final_output == "At last."
    assert [record.status_code for record in kit.records] == [503, None]


@scenario(calls=1, failed=1, client={}, replays=0, requests=3)
@scenario(calls=1, failed=1, client={"max_retries": 0}, replays=0, requests=1)
@scenario(calls=1, failed=1, client={"max_retries": 4}, replays=0, requests=5)
@scenario(calls=4, failed=4, client={"max_retries": 0}, replays=3, requests=4)
@scenario(calls=4, failed=4, client={}, replays=3, requests=6)
async def retries_of_the_runner_and_of_the_client_do_not_multiply(
    kit: Kit, client: dict[str, int], replays: int, requests: int
) -> None:
    for _ in range(20):
        kit.fake.error(503, headers={"retry-after-ms": "1"})
    retry = ModelRetrySettings(
        max_retries=replays, backoff={"initial_delay": 0}, policy=retry_policies.http_status([503])
    )
    model = OpenAIChatCompletionsModel("gpt-test", kit.async_client(**client))
    agent = Agent("patient", model=model, model_settings=ModelSettings(retry=retry if replays else None))
    try:
        await Runner.run(agent, "Still there?")
    except openai.InternalServerError:
        assert len(kit.fake.requests) == requests, len(kit.fake.requests)
    else:
        raise AssertionError("the API was down")


main()
