"""Paths, keys, and requests that the API rejects."""

from __future__ import annotations

import httpx2
import openai
import pytest

from llmkit.testing import FakeOpenAI

USER = {"role": "user", "content": "Hello"}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CALLS = {"role": "assistant", "content": None, "tool_calls": [CALL, {**CALL, "id": "c2"}]}


def result(call_id: str) -> dict[str, str]:
    return {"role": "tool", "tool_call_id": call_id, "content": "r"}


def rejection(client: openai.OpenAI, path: str, body: object) -> openai.BadRequestError:
    with pytest.raises(openai.BadRequestError) as caught:
        client.post(path, cast_to=object, body=body)
    return caught.value


def test_legacy_completions_answer_and_stream(fake: FakeOpenAI, sdk: openai.OpenAI) -> None:
    fake.reply("once upon")
    reply = sdk.completions.create(model="m", prompt="Tell", n=2)
    assert [choice.text for choice in reply.choices] == ["once upon", "once upon"]
    assert (reply.id, reply.choices[0].finish_reason) == ("cmpl-fake-1", "stop")
    chunks = list(sdk.completions.create(model="m", prompt="Tell", stream=True, stream_options={"include_usage": True}))
    assert "".join(choice.text for chunk in chunks for choice in chunk.choices) == "You said: Tell"
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage.prompt_tokens == 1


def test_models_are_listed_and_any_name_is_known(sdk: openai.OpenAI) -> None:
    assert "gpt-4o" in [model.id for model in sdk.models.list()]
    assert sdk.models.retrieve("ft:gpt-4o:me").id == "ft:gpt-4o:me"


def test_azure_paths_name_the_model(fake: FakeOpenAI) -> None:
    with openai.AzureOpenAI(
        api_key="k",
        api_version="2024-10-21",
        azure_endpoint="https://me.openai.azure.com",
        http_client=fake.http_client(),
    ) as client:
        reply = client.chat.completions.create(model="my-gpt", messages=[USER])
        client.models.list()
    assert reply.model == "my-gpt"
    first, second = fake.requests
    assert (first.path, first.query) == (
        "/openai/deployments/my-gpt/chat/completions",
        {"api-version": "2024-10-21"},
    )
    assert (first.headers["api-key"], second.path) == ("k", "/openai/models")


def test_the_deployment_is_the_model_of_a_body_without_one(fake: FakeOpenAI) -> None:
    with fake.http_client() as client:
        url = "https://me.test/openai/deployments/my-gpt/chat/completions"
        reply = client.post(url, json={"messages": [USER]}, headers={"api-key": "k"}).json()
    assert reply["model"] == "my-gpt"


@pytest.mark.parametrize("path", ["/nonsense", "/chat"])
def test_unknown_paths_are_not_found(sdk: openai.OpenAI, path: str) -> None:
    with pytest.raises(openai.NotFoundError, match=f"FakeOpenAI does not serve POST /v1{path}; queue an answer"):
        sdk.post(path, cast_to=object, body={})


def test_an_endpoint_that_is_not_served_takes_a_queued_response(fake: FakeOpenAI, sdk: openai.OpenAI) -> None:
    message = "FakeOpenAI does not serve POST /v1/audio/speech; queue an answer for it with respond()"
    with pytest.raises(openai.NotFoundError) as caught:
        sdk.audio.speech.create(model="tts-1", voice="alloy", input="Hello")
    assert caught.value.body["message"] == message
    fake.respond(httpx2.Response(200, content=b"sound"))
    assert sdk.audio.speech.create(model="tts-1", voice="alloy", input="Hello").content == b"sound"


def test_the_bare_host_is_not_found(fake: FakeOpenAI) -> None:
    with fake.http_client() as client:
        assert client.get("https://fake.test/", headers={"api-key": "k"}).status_code == 404


def test_a_wrong_method_is_not_allowed(sdk: openai.OpenAI) -> None:
    with pytest.raises(openai.APIStatusError, match="HINT") as caught:
        sdk.get("/chat/completions", cast_to=object)
    assert caught.value.status_code == 405


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer "}, {"api-key": " "}])
def test_a_request_without_a_key_is_refused(fake: FakeOpenAI, headers: dict[str, str]) -> None:
    with fake.http_client() as client:
        answer = client.get(f"{fake.base_url}/models", headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")


@pytest.mark.parametrize("content", [b"{", b"[1]", b"\xff"])
def test_a_body_that_is_no_json_object_is_refused(fake: FakeOpenAI, content: bytes) -> None:
    with fake.http_client() as client:
        answer = client.post(f"{fake.base_url}/responses", content=content, headers={"api-key": "k"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, None)
    assert fake.requests[0].content == content


def test_an_empty_body_lacks_its_model(fake: FakeOpenAI) -> None:
    with fake.http_client() as client:
        answer = client.post(f"{fake.base_url}/responses", headers={"api-key": "k"})
    assert answer.json()["error"]["param"] == "model"


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/chat/completions", {"messages": [USER]}, "model"),
        ("/chat/completions", {"model": "m"}, "messages"),
        ("/chat/completions", {"model": "m", "messages": "Hello"}, "messages"),
        ("/chat/completions", {"model": "m", "messages": []}, "messages"),
        ("/chat/completions", {"model": "m", "messages": [USER, {"role": "robot"}]}, "messages[1].role"),
        ("/chat/completions", {"model": "m", "messages": ["Hello"]}, "messages[0].role"),
        ("/responses", {"model": "m"}, "input"),
        ("/responses", {"model": "m", "input": 3}, "input"),
        ("/embeddings", {"model": "m"}, "input"),
        ("/completions", {"model": "m"}, "prompt"),
    ],
)
def test_a_malformed_request_is_rejected_by_the_name_of_its_field(
    sdk: openai.OpenAI, path: str, body: object, param: str
) -> None:
    assert rejection(sdk, path, body).param == param


@pytest.mark.parametrize(
    "history",
    [
        [USER, CALLS, result("c2"), result("c1"), USER],
        [USER, CALLS, result("c1"), result("c2"), CALLS, result("c1"), result("c2")],
        [USER, {"role": "assistant", "content": "Hi", "tool_calls": None}, USER],
    ],
)
def test_complete_tool_turns_are_accepted(sdk: openai.OpenAI, history: list[object]) -> None:
    assert sdk.chat.completions.create(model="m", messages=history).choices


@pytest.mark.parametrize("history", [[USER, result("c1")], [CALLS, result("c9")], [CALLS, USER, result("c1")]])
def test_a_tool_result_without_its_call_is_rejected(sdk: openai.OpenAI, history: list[object]) -> None:
    error = rejection(sdk, "/chat/completions", {"model": "m", "messages": history})
    assert error.param.startswith("messages")


@pytest.mark.parametrize("history", [[CALLS], [CALLS, result("c1")], [CALLS, result("c1"), USER]])
def test_tool_calls_without_all_results_are_rejected(sdk: openai.OpenAI, history: list[object]) -> None:
    error = rejection(sdk, "/chat/completions", {"model": "m", "messages": history})
    assert error.param == "messages"
    assert "c2" in error.message


@pytest.mark.parametrize(
    ("path", "field", "fits", "too_long"),
    [
        ("/chat/completions", "messages", [USER], [{"role": "user", "content": "Hello Hello"}]),
        ("/responses", "input", "Hello", "Hello Hello"),
    ],
)
def test_a_prompt_over_the_limit_exceeds_the_context(path: str, field: str, fits: object, too_long: object) -> None:
    fake = FakeOpenAI(max_prompt_tokens=8)
    with openai.OpenAI(api_key="k", base_url=fake.base_url, http_client=fake.http_client()) as client:
        client.post(path, cast_to=object, body={"model": "m", field: fits})
        error = rejection(client, path, {"model": "m", field: too_long})
    assert (error.code, error.param) == ("context_length_exceeded", field)
    assert "8 tokens" in error.message
