"""Every example runs; the Python blocks of each section of the README and the docs run, against FakeOpenAI."""

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
PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]
SECTIONS = {
    f"{page.name}: {section.splitlines()[0].strip('# ')}": "".join(
        re.findall(r"^```python\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    )
    for page in PAGES
    for section in page.read_text().split("\n## ")
}


def run_example(name: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "OPENAI_API_KEY"}
    script = PROJECT / "examples" / name
    return subprocess.run([sys.executable, script], capture_output=True, text=True, check=True, env=environment)


def test_every_example_has_a_test_here() -> None:
    names = {path.name for path in (PROJECT / "examples").glob("*.py")}
    assert names == {
        "approval.py",
        "batch_embeddings.py",
        "batch_job.py",
        "cache.py",
        "conversation.py",
        "fastapi_stream.py",
        "own_middleware.py",
        "production.py",
        "quickstart.py",
        "usage.py",
        "weather_tools.py",
    }


def test_the_ledger_of_the_usage_example_says_who_has_spent_what() -> None:
    done = run_example("usage.py")
    assert "alice: 2 calls, 12,900 tokens, 0.02876 USD" in done.stdout
    alice, bob = (line.split() for line in done.stdout.splitlines()[-2:])
    assert alice[:5] == ["alice", "$0.0288", "2", "12,900", "12,000"]
    assert (bob[0], bob[1], alice[-1]) == ("bob", "≥$0.0017", "1")


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


def test_a_hundred_embeddings_are_one_request() -> None:
    done = run_example("batch_embeddings.py")
    assert "100 vectors of 1536 dimensions, 1 HTTP request(s)" in done.stdout
    assert re.search(r"^\d+ tokens in 100 records$", done.stdout, re.MULTILINE)


def test_a_hundred_equal_calls_are_one_request() -> None:
    done = run_example("cache.py")
    assert done.stdout.count("{'Blue.'} and as a stream: Blue.") == 2
    assert "102 calls, 1 HTTP request(s), 99% hits" in done.stdout


def test_the_batch_job_goes_on_after_a_crash_and_is_paid_once() -> None:
    done = run_example("batch_job.py")
    assert "Stopped." in done.stdout
    assert "'Cold soup.': bad" in done.stdout
    assert "'': failed with 400 empty_array" in done.stdout
    assert "uploads and batches created: 2" in done.stdout


def test_the_production_stack_meets_each_trouble() -> None:
    done = run_example("production.py")
    assert (
        "gpt-4o with key ...bbbb: 2 attempts, waited 0.0 s; on the way: AuthenticationError 401; ended with"
        in done.stdout
    )
    assert re.search(r"gpt-4o-mini with key \.\.\.bbbb: 4 attempts, waited 3\.\d s;", done.stdout)
    assert "the budget daily_tokens of user 'bob' has no room for this call: 54 tokens of 150" in done.stdout
    assert "model_not_found: " in done.stdout
    assert "asking gpt-4o-mini" in done.stderr


def test_the_payment_is_approved_in_another_process_and_made_once() -> None:
    done = run_example("approval.py")
    assert "no terminal or no key" in done.stdout
    assert "Paid in all: 120.50 euros in 1 payment(s)." in done.stdout


@pytest.mark.parametrize("section", [title for title, code in SECTIONS.items() if code])
async def test_the_blocks_of_a_section_run(section: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    fake = FakeOpenAI()
    monkeypatch.setenv("OPENAI_API_KEY", "sk-fake")
    monkeypatch.setenv("OPENAI_API_KEYS", "sk-one-of-two, sk-two-of-two")
    monkeypatch.setattr(
        "httpx2.AsyncHTTPTransport.handle_async_request", fake.async_http_client()._transport.handle_async_request
    )
    namespace: dict[str, Any] = {"llmkit": llmkit, "pytest": pytest, "AsyncOpenAI": llmkit.AsyncOpenAI}
    namespace |= {"client": fake.async_client(), "__name__": "readme"}
    code = compile(SECTIONS[section], section, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    result = eval(code, namespace)
    if inspect.isawaitable(result):
        await result


def test_the_readme_has_blocks() -> None:
    assert len([code for code in SECTIONS.values() if code]) >= 9
