from __future__ import annotations

import pytest

from llmkit.telemetry.names import operation_name, says_openai, server


@pytest.mark.parametrize(
    ("base_url", "provider", "address", "port"),
    [
        ("https://api.openai.com/v1/", "openai", "api.openai.com", 443),
        ("https://eu.api.openai.com/v1/", "openai", "eu.api.openai.com", 443),
        ("https://me.openai.azure.com/openai/", "azure.ai.openai", "me.openai.azure.com", 443),
        ("https://me.services.ai.azure.com/models", "azure.ai.inference", "me.services.ai.azure.com", 443),
        (
            "https://generativelanguage.googleapis.com/v1beta/openai/",
            "gcp.gemini",
            "generativelanguage.googleapis.com",
            443,
        ),
        ("https://api.groq.com/openai/v1/", "groq", "api.groq.com", 443),
        ("https://api.x.ai/v1", "x_ai", "api.x.ai", 443),
        (
            "https://bedrock-runtime.eu-west-1.amazonaws.com/openai/v1",
            "aws.bedrock",
            "bedrock-runtime.eu-west-1.amazonaws.com",
            443,
        ),
        ("http://localhost:8000/v1/", "openai", "localhost", 8000),
        ("http://[::1]/v1/", "openai", "::1", 80),
        ("https://notopenai.com/", "openai", "notopenai.com", 443),
        ("https://max.ai/", "openai", "max.ai", 443),
    ],
)
def test_a_base_url_says_who_is_asked_and_where(base_url: str, provider: str, address: str, port: int) -> None:
    assert server(base_url) == {
        "gen_ai.provider.name": provider,
        "server.address": address,
        "server.port": port,
    }


def test_a_base_url_without_a_host_says_only_which_api_is_spoken() -> None:
    assert server("") == {"gen_ai.provider.name": "openai"}


def test_a_scheme_without_a_usual_port_has_none() -> None:
    assert "server.port" not in server("unix://host/v1")


def test_attributes_of_openai_belong_to_openai_and_azure() -> None:
    assert says_openai("https://api.openai.com/v1/")
    assert says_openai("https://me.openai.azure.com/")
    assert not says_openai("https://api.groq.com/openai/v1/")


@pytest.mark.parametrize(
    ("operation", "name"),
    [
        ("chat.completions", "chat"),
        ("responses", "chat"),
        ("completions", "text_completion"),
        ("embeddings", "embeddings"),
        ("images.generations", "generate_content"),
        ("audio.transcriptions", "generate_content"),
        ("vector_stores.search", "retrieval"),
        ("models.get", "models.get"),
    ],
)
def test_operations_have_the_names_of_the_conventions_or_their_own(operation: str, name: str) -> None:
    assert operation_name(operation) == name
