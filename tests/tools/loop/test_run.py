"""run_tools over both APIs, streaming and not."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionMessage
from pydantic import BaseModel
from tools.loop.loops import (
    QUESTION,
    WAYS,
    Way,
    all_of,
    check_history,
    final_of,
    of_type,
    outputs,
    results_of,
    user,
    ways,
)

import llmkit
from llmkit import CallRecord, UsageLog
from llmkit.context import trim_messages
from llmkit.testing import FakeOpenAI
from llmkit.tools.approval import Deny
from llmkit.tools.call import ToolCall
from llmkit.tools.context import ToolContext
from llmkit.tools.definition import declared, tool
from llmkit.tools.errors import InvalidAnswer
from llmkit.tools.loop.errors import IncompleteAnswer, ToolLoopLimit, UnknownUsage
from llmkit.tools.loop.run import run_tools
from llmkit.tools.registry import ToolRegistry

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 40


def get_weather(city: str) -> str:
    """Current weather for a city."""
    return f"18 degrees in {city}"


async def get_time(city: str) -> str:
    """The time in a city."""
    return f"noon in {city}"


@tool(needs_approval=True)
def pay(amount: int) -> str:
    """Pay an amount."""
    return f"paid {amount}"


def two_tools_then_answer() -> FakeOpenAI:
    fake = FakeOpenAI()
    fake.reply("Let me see.", tool_calls=[("get_weather", {"city": "Paris"}), ("get_time", {"city": "Paris"})])
    return fake.reply("It is 18 degrees at noon.")


class Weather(BaseModel):
    city: str
    degrees: int


@ways
async def test_the_steps_tell_texts_calls_results_usage_and_the_answer(way: Way) -> None:
    fake = two_tools_then_answer()
    steps = await all_of(way.run(fake, tools=[get_weather, get_time]))
    kinds = [step.type for index, step in enumerate(steps) if not index or steps[index - 1].type != step.type]
    call = ["tool_call_started", "tool_arguments"]
    whole = ["text_delta", *call, "tool_call_finished", *call, "tool_call_finished"]
    assert kinds == [
        *(["text_delta", *call, *call, "tool_call_finished"] if way.stream else whole),
        "usage",
        "tool_result",
        "text_delta",
        "usage",
        "final",
    ]
    assert "".join(step.text for step in of_type(steps, "text_delta") if step.step == 1) == "Let me see."
    assert [step.text for step in results_of(steps)] == ["18 degrees in Paris", "noon in Paris"]


@ways
async def test_the_answer_comes_with_the_whole_history_and_all_usage(way: Way) -> None:
    fake = two_tools_then_answer()
    steps = await all_of(way.run(fake, tools=[get_weather, get_time]))
    final, first, second = steps[-1], *of_type(steps, "usage")
    assert (final.text, final.refusal, final.finish_reason) == ("It is 18 degrees at noon.", None, "stop")
    assert final.messages[0] == user(QUESTION)
    check_history(final.messages)
    assert outputs(final.messages) == ["18 degrees in Paris", "noon in Paris"]
    assert way.sent(fake) == final.messages[: len(way.sent(fake))]
    assert final.usage == first.usage + second.usage == second.total
    assert final.usage.calls == 2
    assert final.usage.total_tokens > 0
    assert final.reply.usage.total_tokens == second.usage.total_tokens
    assert [step.step for step in of_type(steps, "usage")] == [1, 2]


@ways
async def test_the_arguments_of_a_call_are_told_as_they_grow(way: Way) -> None:
    fake = two_tools_then_answer()
    steps = await all_of(way.run(fake, tools=[get_weather, get_time]))
    [first, _] = of_type(steps, "tool_call_finished")
    told = [step for step in of_type(steps, "tool_arguments") if step.call_id == first.call.id]
    assert "".join(step.delta for step in told) == first.call.arguments
    assert told[-1].partial == {"city": "Paris"}
    if way.stream:
        assert {"city": "Par"} in [step.partial for step in told]
    started = of_type(steps, "tool_call_started")
    assert [(step.call_id, step.name) for step in started] == [
        (step.call.id, step.call.name) for step in of_type(steps, "tool_call_finished")
    ]


@ways
async def test_a_plain_answer_is_one_call(way: Way) -> None:
    fake = FakeOpenAI().reply("Hello.")
    final = await final_of(way.run(fake))
    assert final.text == "Hello."
    assert "tools" not in fake.requests[0].body
    assert "tool_choice" not in fake.requests[0].body


@ways
async def test_whatever_a_tool_does_the_model_reads_of_it_and_goes_on(way: Way) -> None:
    def breaks() -> str:
        raise RuntimeError("secret")

    fake = FakeOpenAI()
    fake.reply(tool_calls=[("breaks", {}), ("nowhere", {}), ("get_weather", "{"), ("get_weather", {"city": "Rome"})])
    fake.reply("Sorry.")
    steps = await all_of(way.run(fake, tools=[get_weather, breaks]))
    assert [step.error for step in results_of(steps)] == ["exception", "unknown_tool", "invalid_json", None]
    assert "secret" not in json.dumps(steps[-1].messages)
    check_history(steps[-1].messages)


@ways
async def test_arguments_cut_by_the_token_bound_are_answered_as_invalid(way: Way) -> None:
    fake = FakeOpenAI()
    fake.reply(tool_calls=[("get_weather", '{"city": "Par')], finish_reason="length")
    fake.reply("Done.")
    steps = await all_of(way.run(fake, tools=[get_weather]))
    assert [step.error for step in results_of(steps)] == ["invalid_json"]
    assert steps[-1].text == "Done."


@ways
async def test_what_the_caller_gave_is_not_changed(way: Way) -> None:
    given: list[Any] = [{"role": "user", "content": [{"type": "input_text", "text": QUESTION}]}]
    if way.api == "chat":
        given = [{"role": "user", "content": [{"type": "text", "text": QUESTION}]}]
    before = json.dumps(given)
    tools: list[Any] = [get_weather, get_time]
    registry = ToolRegistry(tools)
    fake = two_tools_then_answer()
    arguments: dict[str, Any] = {
        "model": "gpt-4o",
        "stream": way.stream,
        "messages" if way.api == "chat" else "input": given,
    }
    final = await final_of(run_tools(fake.async_client(middleware=[]), tools=registry, **arguments))
    final.messages[0]["content"][0]["text"] = "changed"
    assert json.dumps(given) == before
    assert tools == [get_weather, get_time]
    assert registry.names == ["get_weather", "get_time"]


async def test_messages_of_the_sdk_can_be_given_as_they_came() -> None:
    fake = FakeOpenAI().reply("Hi.").reply("Hi again.").reply("Yes.").reply("Yes again.")
    client = fake.async_client(middleware=[])
    reply = await client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "Hi"}])
    messages: list[Any] = [user("Hi"), reply.choices[0].message, user("Again")]
    assert (await final_of(run_tools(client, model="gpt-4o", messages=messages))).text == "Hi again."
    assert fake.requests[-1].body["messages"][1] == {"role": "assistant", "content": "Hi."}
    response = await client.responses.create(model="gpt-4o", input="Hi")
    items: list[Any] = [user("Hi"), *response.output, user("Again")]
    assert (await final_of(run_tools(client, model="gpt-4o", input=iter(items)))).text == "Yes again."
    assert fake.requests[-1].body["input"][1]["content"][0]["text"] == "Yes."


@ways
async def test_nothing_waits_for_anybody(way: Way) -> None:
    fake = FakeOpenAI().reply(tool_calls=[("pay", {"amount": 3})]).reply("Not paid.")
    steps = await all_of(way.run(fake, tools=[pay]))
    assert [step.error for step in results_of(steps)] == ["denied"]
    assert steps[-1].text == "Not paid."


def test_tools_without_a_function_are_refused_where_nobody_could_answer_for_them() -> None:
    elsewhere = declared("elsewhere", parameters={"type": "object", "properties": {}})
    client = FakeOpenAI().async_client()
    with pytest.raises(TypeError, match=r"elsewhere: nothing runs it here.*not its \.params"):
        run_tools(client, model="gpt-4o", input="Hi", tools=[pay, elsewhere])
    with pytest.raises(TypeError, match="pay: nothing runs it here"):
        run_tools(client, model="gpt-4o", input="Hi", tools=ToolRegistry([pay]).params)


@ways
async def test_a_hook_decides_about_calls_that_need_approval(way: Way) -> None:
    def approve(call: ToolCall) -> Any:
        return json.loads(call.arguments)["amount"] < 5 or Deny("too much")

    fake = FakeOpenAI().reply(tool_calls=[("pay", {"amount": 3}), ("pay", {"amount": 7})]).reply("Paid once.")
    steps = await all_of(way.run(fake, tools=[pay], approve=approve))
    small, large = results_of(steps)
    assert (small.text, small.error) == ("paid 3", None)
    assert large.error == "denied"
    assert "too much" in large.text


@ways
async def test_the_hook_of_a_registry_holds_too(way: Way) -> None:
    fake = FakeOpenAI().reply(tool_calls=[("pay", {"amount": 3})]).reply("Paid.")
    registry = ToolRegistry([pay], approve=lambda _: True)
    assert outputs((await final_of(way.run(fake, tools=registry))).messages) == ["paid 3"]


@ways
async def test_dependencies_and_the_id_of_the_call_reach_the_tool(way: Way) -> None:
    seen: list[tuple[str, str]] = []

    async def note(text: str, context: ToolContext[dict[str, str]]) -> str:
        seen.append((context.call_id, context.dependencies["user"]))
        return text

    fake = FakeOpenAI().reply(tool_calls=[("note", {"text": "hi"})]).reply("Noted.")
    steps = await all_of(way.run(fake, tools=[note], dependencies={"user": "alice"}))
    assert seen == [(of_type(steps, "tool_call_finished")[0].call.id, "alice")]


@pytest.mark.parametrize("way", [way for way in WAYS if way.api == "chat"], ids=["whole", "stream"])
async def test_images_follow_the_results_of_all_calls_in_chat(way: Way) -> None:
    def draw() -> bytes:
        return PNG

    fake = FakeOpenAI().reply(tool_calls=[("draw", {}), ("get_weather", {"city": "Rome"})]).reply("Nice.")
    final = await final_of(way.run(fake, tools=[draw, get_weather]))
    assert [message["role"] for message in final.messages] == ["user", "assistant", "tool", "tool", "user", "assistant"]
    assert final.messages[4]["content"][1]["type"] == "image_url"
    check_history(final.messages)


# --- structured answers ---


@ways
async def test_the_answer_is_an_instance_of_the_type_asked_for(way: Way) -> None:
    fake = FakeOpenAI().reply(tool_calls=[("get_weather", {"city": "Paris"})])
    fake.reply('{"city": "Paris", "degrees": 18}')
    final = await final_of(way.run(fake, tools=[get_weather], response_format=Weather))
    assert final.parsed == Weather(city="Paris", degrees=18)
    body = fake.requests[0].body
    wanted = body["response_format"]["json_schema"] if way.api == "chat" else body["text"]["format"]
    assert wanted["schema"]["properties"].keys() == {"city", "degrees"}


@ways
async def test_a_refusal_is_no_instance(way: Way) -> None:
    fake = FakeOpenAI().reply(refusal="I cannot say.")
    steps = await all_of(way.run(fake, response_format=Weather))
    assert (steps[-1].parsed, steps[-1].refusal, steps[-1].text) == (None, "I cannot say.", "")
    assert "".join(step.text for step in of_type(steps, "refusal_delta")) == "I cannot say."


@ways
@pytest.mark.parametrize("reason", ["length", "content_filter"])
async def test_an_answer_that_was_cut_is_an_error_that_has_its_text(way: Way, reason: str) -> None:
    fake = FakeOpenAI().reply('{"city": "Pa', finish_reason=reason)
    with pytest.raises(IncompleteAnswer, match=rf"no whole Weather \(finish_reason='{reason}'\)") as caught:
        await all_of(way.run(fake, response_format=Weather))
    assert (caught.value.text, caught.value.finish_reason) == ('{"city": "Pa', reason)


@ways
async def test_an_answer_of_another_shape_is_an_error(way: Way) -> None:
    fake = FakeOpenAI().reply('{"city": "Paris"}')
    with pytest.raises(InvalidAnswer):
        await all_of(way.run(fake, response_format=Weather))


@ways
async def test_a_cut_answer_without_a_type_is_the_answer(way: Way) -> None:
    final = await final_of(way.run(FakeOpenAI().reply("Once upon", finish_reason="length")))
    assert (final.text, final.finish_reason) == ("Once upon", "length")


@ways
async def test_a_format_as_a_dict_goes_to_the_api_as_it_is(way: Way) -> None:
    fake = FakeOpenAI().reply("{}")
    wanted = {"type": "json_object"}
    more: dict[str, Any] = {} if way.api == "chat" else {"text": {"verbosity": "low"}}
    final = await final_of(way.run(fake, response_format=wanted, **more))
    assert (final.text, final.parsed) == ("{}", None)
    sent = fake.requests[0].body
    assert (
        sent["response_format"] == wanted if way.api == "chat" else sent["text"] == {"format": wanted, **more["text"]}
    )


# --- ceilings ---


@ways
async def test_a_model_that_never_answers_is_stopped_and_nothing_is_lost(way: Way) -> None:
    fake = FakeOpenAI()
    for _ in range(4):
        fake.reply(tool_calls=[("get_weather", {"city": "Paris"})])
    with pytest.raises(ToolLoopLimit, match=r"max_steps=3 is reached\. Raise max_steps") as caught:
        await all_of(way.run(fake, tools=[get_weather], max_steps=3))
    assert len(fake.requests) == 3
    error = caught.value
    assert (error.limit, error.value, error.usage.calls) == ("max_steps", 3, 3)
    check_history(error.messages)
    assert outputs(error.messages) == ["18 degrees in Paris"] * 3


@ways
async def test_tokens_of_all_calls_are_bounded(way: Way) -> None:
    fake = two_tools_then_answer()
    with pytest.raises(ToolLoopLimit, match="max_tokens=5 is reached") as caught:
        await all_of(way.run(fake, tools=[get_weather, get_time], max_tokens=5))
    assert len(fake.requests) == 1
    assert len(outputs(caught.value.messages)) == 2


@ways
@pytest.mark.parametrize("bound", [0.000001, "0.000001", Decimal("0.000001")])
async def test_the_cost_of_all_calls_is_bounded(way: Way, bound: Any) -> None:
    fake = two_tools_then_answer()
    with pytest.raises(ToolLoopLimit, match=r"has cost 0\.\d+ USD .* max_cost=0\.000001 is reached") as caught:
        await all_of(way.run(fake, tools=[get_weather, get_time], max_cost=bound))
    assert caught.value.value == Decimal("0.000001")


@ways
async def test_ceilings_that_are_far_away_are_no_matter(way: Way) -> None:
    fake = two_tools_then_answer()
    final = await final_of(way.run(fake, tools=[get_weather, get_time], max_tokens=10**6, max_cost=5, max_steps=2))
    assert final.usage.cost is not None


@ways
async def test_a_cost_that_nobody_knows_is_not_taken_for_nothing(way: Way) -> None:
    fake = two_tools_then_answer()
    with pytest.raises(UnknownUsage, match="the price of a call of 'house-model' is not known"):
        await all_of(way.run(fake, model="house-model", tools=[get_weather, get_time], max_cost=1))


# --- tool_choice and other options ---


@ways
@pytest.mark.parametrize("choice", ["required", "get_weather"])
async def test_a_forced_call_is_forced_once(way: Way, choice: str) -> None:
    fake = two_tools_then_answer()
    await all_of(way.run(fake, tools=[get_weather, get_time], tool_choice=choice))
    named = (
        {"type": "function", "function": {"name": choice}}
        if way.api == "chat"
        else {"type": "function", "name": choice}
    )
    assert fake.requests[0].body["tool_choice"] == ("required" if choice == "required" else named)
    assert fake.requests[1].body["tool_choice"] == "auto"


@ways
async def test_options_go_into_every_request(way: Way) -> None:
    fake = two_tools_then_answer()
    options = {"temperature": 0.5, "parallel_tool_calls": False, "top_p": openai.omit}
    await all_of(way.run(fake, tools=[get_weather, get_time], tool_choice="none", **options))
    for request in fake.requests:
        assert request.body["temperature"] == 0.5
        assert request.body["parallel_tool_calls"] is False
        assert request.body["tool_choice"] == "none"
        assert "top_p" not in request.body


def test_a_tool_choice_that_is_no_tool_names_those_that_are() -> None:
    fake = FakeOpenAI()
    with pytest.raises(ValueError, match=r"tool_choice='get_wether' is no tool .*: get_weather, get_time$"):
        WAYS[0].run(fake, tools=[get_weather, get_time], tool_choice="get_wether")
    listed: Any = ["get_weather"]
    with pytest.raises(ValueError, match=r"tool_choice=\['get_weather'\] is no tool"):
        WAYS[0].run(fake, tools=[get_weather], tool_choice=listed)
    with pytest.raises(ValueError, match=r"\(there are no tools\)"):
        WAYS[0].run(fake, tool_choice="get_wether")
    with pytest.raises(ValueError, match="needs tools to choose from"):
        WAYS[0].run(fake, tool_choice="required")


def test_arguments_that_make_no_loop_are_refused_at_once() -> None:
    fake = FakeOpenAI()
    client = fake.async_client(middleware=[])
    with pytest.raises(TypeError, match="give messages= for Chat or input= for Responses, not neither"):
        run_tools(client, model="gpt-4o")
    with pytest.raises(TypeError, match="not both"):
        run_tools(client, model="gpt-4o", messages=[], input="Hi")
    with pytest.raises(TypeError, match="messages= is a list"):
        run_tools(client, model="gpt-4o", messages="Hi")
    with pytest.raises(TypeError, match="input= is a list, not a int"):
        run_tools(client, model="gpt-4o", input=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match="OpenAI is a sync client; a loop needs an AsyncOpenAI"):
        run_tools(fake.client(), model="gpt-4o", input="Hi")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match="is a str; give an AsyncOpenAI"):
        run_tools("client", model="gpt-4o", input="Hi")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    whole: Any = ChatCompletion.construct(object="chat.completion", choices=[])
    one: Any = ChatCompletionMessage(role="assistant", content="Hi")
    refused: list[tuple[str, dict[str, Any]]] = [
        ("messages= is a list, not a dict; put messages=", {"messages": user("Hi")}),
        ("messages= is a list, not a ChatCompletionMessage", {"messages": one}),
        ("messages has 'Hi', which is no message", {"messages": ["Hi"]}),
        (r"messages has a whole chat.completion; give its .choices\[0\].message", {"messages": [whole]}),
        ("text_format= is called response_format= here", {"input": "Hi", "text_format": Weather}),
        ("approve=True cannot be called", {"input": "Hi", "approve": True}),
        ("checkpoint='state.json' cannot be called", {"input": "Hi", "checkpoint": "state.json"}),
    ]
    for text, arguments in refused:
        with pytest.raises(TypeError, match=text):
            run_tools(client, model="gpt-4o", **arguments)
    with pytest.raises(ValueError, match="n=2: a loop follows one answer"):
        run_tools(client, model="gpt-4o", messages=[user("Hi")], n=2)


# --- the client ---


@ways
async def test_the_sdks_own_client_will_do(way: Way) -> None:
    fake = two_tools_then_answer()
    client = openai.AsyncOpenAI(api_key="sk-fake", base_url=fake.base_url, http_client=fake.async_http_client())
    steps = run_tools(client, tools=[get_weather, get_time], **way.arguments)
    assert (await final_of(steps)).text == "It is 18 degrees at noon."


@ways
async def test_tags_and_middleware_see_each_call(way: Way) -> None:
    records: list[CallRecord] = []
    fake = two_tools_then_answer()
    client = fake.async_client(middleware=[UsageLog(sinks=[records.append])])
    with llmkit.tags(user="alice"):
        await all_of(run_tools(client, tools=[get_weather, get_time], **way.arguments))
    assert [record.tags["user"] for record in records] == ["alice", "alice"]


@pytest.mark.parametrize("operation", ["chat.completions", "responses"])
async def test_the_history_can_be_trimmed(operation: str) -> None:
    way = next(way for way in WAYS if way.api == operation.split(".")[0])
    fake = FakeOpenAI()
    for _ in range(3):
        fake.reply(tool_calls=[("get_weather", {"city": "Paris"}), ("get_weather", {"city": "Rome"})])
    fake.reply("Done.")
    final = await final_of(way.run(fake, tools=[get_weather]))
    more = [*final.messages, user("And now?")]
    kept = trim_messages(more, max_tokens=40, model="gpt-4o", operation=operation)
    assert len(kept) < len(more)
    check_history(kept)
