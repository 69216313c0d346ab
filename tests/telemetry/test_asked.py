from __future__ import annotations

from typing import Any

import pytest

from llmkit.telemetry.asked import asked, at_start

OPENAI = "https://api.openai.com/v1/"


def of(operation: str, body: dict[str, Any], *, base_url: str = OPENAI, stream: bool = False) -> dict[str, Any]:
    return asked(operation, body, base_url=base_url, stream=stream)


def test_a_span_begins_with_what_samplers_look_at() -> None:
    assert at_start("chat.completions", "gpt-4o", base_url=OPENAI) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "server.address": "api.openai.com",
        "server.port": 443,
    }
    assert "gen_ai.request.model" not in at_start("models.get", None, base_url=OPENAI)


def test_the_settings_of_a_chat_are_told_and_nothing_of_its_texts() -> None:
    body = {
        "model": "gpt-4o",
        "messages": [{"role": "user", "content": "secret"}],
        "tools": [{"type": "function", "function": {"name": "secret"}}],
        "temperature": 0,
        "top_p": 0.5,
        "top_k": 40,
        "frequency_penalty": 1,
        "presence_penalty": -1,
        "max_tokens": 5,
        "max_completion_tokens": 10,
        "seed": 7,
        "n": 3,
        "stop": ["a", "b"],
        "reasoning_effort": "low",
        "response_format": {"type": "json_schema", "json_schema": {"name": "secret"}},
        "service_tier": "flex",
        "user": "secret",
        "metadata": {"secret": "secret"},
    }
    assert of("chat.completions", body, stream=True) == {
        "gen_ai.request.temperature": 0.0,
        "gen_ai.request.top_p": 0.5,
        "gen_ai.request.top_k": 40,
        "gen_ai.request.frequency_penalty": 1.0,
        "gen_ai.request.presence_penalty": -1.0,
        "gen_ai.request.max_tokens": 10,
        "gen_ai.request.seed": 7,
        "gen_ai.request.choice.count": 3,
        "gen_ai.request.stop_sequences": ["a", "b"],
        "gen_ai.request.stream": True,
        "gen_ai.request.reasoning.level": "low",
        "gen_ai.output.type": "json",
        "openai.api.type": "chat_completions",
        "openai.request.service_tier": "flex",
    }


def test_the_settings_of_a_responses_call_have_the_same_names() -> None:
    body = {
        "input": "secret",
        "instructions": "secret",
        "max_output_tokens": 9,
        "reasoning": {"effort": "high"},
        "text": {"format": {"type": "text"}},
        "conversation": {"id": "conv_1"},
        "previous_response_id": "resp_1",
        "service_tier": "auto",
    }
    assert of("responses", body) == {
        "gen_ai.request.max_tokens": 9,
        "gen_ai.request.reasoning.level": "high",
        "gen_ai.request.previous_response.id": "resp_1",
        "gen_ai.output.type": "text",
        "gen_ai.conversation.id": "conv_1",
        "openai.api.type": "responses",
    }
    assert of("responses", {"conversation": "conv_2"})["gen_ai.conversation.id"] == "conv_2"


def test_the_settings_of_embeddings_are_told() -> None:
    assert of("embeddings", {"input": "secret", "encoding_format": "base64", "dimensions": 256}) == {
        "gen_ai.request.encoding_formats": ["base64"],
        "gen_ai.embeddings.dimension.count": 256,
    }


@pytest.mark.parametrize(
    ("operation", "body", "kind"),
    [
        ("images.generations", {"prompt": "secret", "response_format": "b64_json"}, "image"),
        ("audio.speech", {"input": "secret", "response_format": "mp3"}, "speech"),
        ("chat.completions", {"audio": {"voice": "alloy"}}, "speech"),
        ("chat.completions", {"response_format": {"type": "json_object"}}, "json"),
        ("chat.completions", {"response_format": {"type": "grammar"}}, None),
        ("chat.completions", {}, None),
    ],
)
def test_the_kind_of_output_is_told_when_it_was_asked_for(
    operation: str, body: dict[str, Any], kind: str | None
) -> None:
    assert of(operation, body).get("gen_ai.output.type") == kind


def test_one_choice_is_the_usual_and_not_told() -> None:
    assert "gen_ai.request.choice.count" not in of("chat.completions", {"n": 1})


def test_odd_values_are_left_out() -> None:
    body = {"temperature": "hot", "seed": True, "stop": [1], "n": "2", "reasoning": 3, "conversation": 4, "top_k": 0.5}
    assert of("chat.completions", body) == {"openai.api.type": "chat_completions"}


def test_other_providers_get_no_attributes_of_openais() -> None:
    assert of("chat.completions", {"service_tier": "flex"}, base_url="https://api.groq.com/openai/v1/") == {}
