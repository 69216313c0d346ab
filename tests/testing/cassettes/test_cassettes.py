"""Recording, and what the plugin refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx2
import pytest

if TYPE_CHECKING:
    from testing.cassettes.conftest import Project


def test_a_recording_is_scrubbed_and_replays_for_another_host(
    project: Project, api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMKIT_RECORD_BASE_URL", api)
    monkeypatch.setenv("OPENAI_API_KEY", project.CANARY)
    project.write(project.POST).run("--record-mode=rewrite").assert_outcomes(passed=1)
    text = (project.folder / "test_post.yaml").read_text()
    assert "Bearer sk-redacted" in text
    assert "x-kept" in text
    for private in (project.CANARY, "Plan9", "session=private", "acme", "user-agent"):
        assert private not in text
    project.run().assert_outcomes(passed=1)


def test_a_recording_with_a_credential_fails_and_leaves_nothing_on_disk(
    project: Project, api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMKIT_RECORD_BASE_URL", api)
    asks = '    httpx2.post(recording_base_url + "/chat", json={"ask": "leak"})\n'
    project.write(f"@pytest.mark.vcr\ndef test_leak(recording_base_url):\n{asks}\ndef test_next(): pass\n")
    result = project.run("--record-mode=rewrite")
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*cassettes/test_it/test_leak.yaml:*: OpenAI API key", "Nothing was written."])
    assert project.CANARY not in result.stdout.str()
    assert not project.folder.exists()
    assert "network_like" not in repr(httpx2.HTTPTransport.handle_request)


def test_ci_refuses_to_record(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.write("def test_nothing(): pass")
    monkeypatch.setenv("CI", "true")
    result = project.run("--record-mode=once")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--record-mode is refused while CI is set*"])
    project.run().assert_outcomes(passed=1)
    monkeypatch.setenv("CI", "false")
    project.run("--record-mode=once").assert_outcomes(passed=1)


def test_a_mark_cannot_turn_recording_on(project: Project) -> None:
    result = project.write("@pytest.mark.vcr(record_mode='once')\ndef test_it(): pass").run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["record with --record-mode: *"])


def test_without_pytest_recording_the_extra_is_named(project: Project) -> None:
    result = project.write("def test_nothing(): pass").run("-p", "no:recording")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*pip install 'llmkit?testing?'*"])


def test_offline_the_client_is_pointed_at_the_real_api_with_a_key_that_opens_nothing(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMKIT_RECORD_BASE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("OPENAI_API_KEY", project.CANARY)
    fixtures = "recording_base_url, recording_api_key"
    pair = '("https://api.openai.com/v1", "sk-fake")'
    project.write(f"def test_offline({fixtures}):\n    assert ({fixtures}) == {pair}")
    project.run().assert_outcomes(passed=1)
    monkeypatch.delenv("LLMKIT_RECORD_BASE_URL")
    monkeypatch.delenv("OPENAI_API_KEY")
    project.run("--record-mode=once").assert_outcomes(passed=1)
