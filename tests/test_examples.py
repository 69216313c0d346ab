"""Every example runs; the Python blocks of each section of the README run, against FakeOpenAI."""

from __future__ import annotations

import ast
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import llmkit
from llmkit.testing import FakeOpenAI

PROJECT = Path(__file__).parent.parent
SECTIONS = [
    "".join(re.findall(r"^```python\n(.*?)^```", section, re.MULTILINE | re.DOTALL))
    for section in (PROJECT / "README.md").read_text().split("\n## ")
]


def run_example(name: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "OPENAI_API_KEY"}
    script = PROJECT / "examples" / name
    return subprocess.run([sys.executable, script], capture_output=True, text=True, check=True, env=environment)


def test_every_example_has_a_test_here() -> None:
    names = {path.name for path in (PROJECT / "examples").glob("*.py")}
    assert names == {
        "approval.py",
        "conversation.py",
        "fastapi_stream.py",
        "own_middleware.py",
        "quickstart.py",
        "weather_tools.py",
    }


def test_the_quickstart_says_that_it_runs_on_the_fake_and_logs_each_call() -> None:
    done = run_example("quickstart.py")
    assert "No OPENAI_API_KEY: running on the embedded FakeOpenAI" in done.stdout
    assert "Paris is the capital of France." in done.stdout
    assert "the second got through" in done.stdout
    assert 'get_weather({"city":"Paris"}) -> 18 degrees and light rain in Paris' in done.stdout
    assert "Take an umbrella" in done.stdout
    assert done.stderr.count("OpenAI tokens: prompt=") == 5
    assert '"attempts": 2' in done.stderr
    assert '"user": "alice"' in done.stderr


def test_own_middleware_reroutes_and_counts() -> None:
    done = run_example("own_middleware.py")
    assert "models asked: ['gpt-4o-mini']" in done.stdout
    assert re.search(r"tokens: \{'alice': \d+, 'bob': \d+\}", done.stdout)


def test_the_conversation_runs_a_tool_and_is_loaded_again() -> None:
    done = run_example("conversation.py")
    assert "get_weather('Paris')" in done.stdout
    assert "2 turns, 3 calls" in done.stdout


def test_the_weather_tools_answer_with_a_forecast() -> None:
    done = run_example("weather_tools.py")
    assert "No OPENAI_API_KEY" in done.stdout
    assert "Forecast(warmest='Paris', difference=11" in done.stdout
    assert "3 calls of the model, 8 messages" in done.stdout


def test_the_payment_is_approved_in_another_process_and_made_once() -> None:
    done = run_example("approval.py")
    assert "no terminal or no key" in done.stdout
    assert "Paid in all: 120.50 euros in 1 payment(s)." in done.stdout


@pytest.mark.parametrize("number", [number for number, code in enumerate(SECTIONS) if code])
async def test_the_blocks_of_a_readme_section_run(number: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    fake = FakeOpenAI()
    monkeypatch.setenv("OPENAI_API_KEY", "sk-fake")
    monkeypatch.setattr(
        "httpx2.AsyncHTTPTransport.handle_async_request", fake.async_http_client()._transport.handle_async_request
    )
    namespace: dict[str, Any] = {"llmkit": llmkit, "pytest": pytest, "AsyncOpenAI": llmkit.AsyncOpenAI}
    namespace |= {"client": fake.async_client(), "__name__": "readme"}
    code = compile(SECTIONS[number], f"README section {number}", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    result = eval(code, namespace)
    if inspect.isawaitable(result):
        await result


def test_the_readme_has_blocks() -> None:
    assert len([code for code in SECTIONS if code]) >= 6
