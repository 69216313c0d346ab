from __future__ import annotations

from pathlib import Path
from typing import Any

import openai
import pytest

import llmkit
from llmkit.guidance import explain

OPENAIS: list[Any] = [llmkit.OpenAI, llmkit.AsyncOpenAI]
AZURES: list[Any] = [llmkit.AzureOpenAI, llmkit.AsyncAzureOpenAI]


def complaint(client: Any) -> openai.OpenAIError:
    with pytest.raises(openai.OpenAIError) as caught:
        client()
    return caught.value


def note_of(client: Any) -> str:
    (note,) = complaint(client).__notes__
    return note


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("client", OPENAIS)
def test_a_client_without_a_key_says_which_variable_it_looked_for(client: Any) -> None:
    note = note_of(client)
    assert "neither api_key= nor OPENAI_API_KEY is given" in note
    assert "not set in the environment of this process" in note
    assert "export OPENAI_API_KEY=..." in note
    assert "llmkit.testing.FakeOpenAI()" in note


@pytest.mark.parametrize("client", AZURES)
def test_an_azure_client_looks_for_azures(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
    note = note_of(client)
    assert "export AZURE_OPENAI_API_KEY=..." in note
    assert "OPENAI_API_KEY is set, but the name looked for is AZURE_OPENAI_API_KEY." in note
    assert "canary" not in note


@pytest.mark.parametrize("name", ["OPENAI_KEY", "OPEN_AI_KEY", "OPENAI_TOKEN", "AZURE_OPENAI_API_KEY"])
def test_a_look_alike_that_is_set_is_named_without_its_value(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "sk-canary")
    note = note_of(llmkit.OpenAI)
    assert f"{name} is set, but the name looked for is OPENAI_API_KEY." in note
    assert "canary" not in note


def test_a_variable_that_is_set_and_empty_is_told() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AZURE_OPENAI_API_KEY", "")
        error = openai.OpenAIError("Missing credentials. Please pass one of `api_key`, `azure_ad_token`, ...")
        assert explain(error).why == "AZURE_OPENAI_API_KEY is set, but empty."


def test_an_env_file_that_nobody_has_loaded_is_pointed_out(empty_folder: Path) -> None:
    (empty_folder / ".env").write_text("OPENAI_API_KEY=sk-canary")
    note = note_of(llmkit.AsyncOpenAI)
    assert "There is a .env file here that nobody has loaded" in note
    assert "canary" not in note


def test_the_same_is_there_as_data() -> None:
    explanation = explain(complaint(llmkit.OpenAI))
    assert explanation.kind == "missing_key"
    assert explanation.retryable is False


def test_another_complaint_of_the_constructor_is_left_alone() -> None:
    with pytest.raises(openai.OpenAIError) as caught:
        llmkit.AzureOpenAI(api_key="sk-fake", azure_ad_token="t")
    assert not hasattr(caught.value, "__notes__")


async def test_a_key_missing_at_a_call_is_explained_too() -> None:
    records: list[llmkit.CallRecord] = []
    client = llmkit.AsyncOpenAI(admin_api_key="sk-admin", middleware=[llmkit.UsageLog(sinks=[records.append])])
    with pytest.raises(TypeError) as caught:
        await client.chat.completions.create(model="gpt-4o", messages=[])
    (note,) = caught.value.__notes__
    assert "neither api_key= nor OPENAI_API_KEY" in note
    assert records[0].hint is not None
