"""Credentials in cassettes."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from llmkit.testing.cassettes.secrets import find_secrets

if TYPE_CHECKING:
    from testing.cassettes.conftest import Project

CANARY = "sk-proj-c4n4ryc4n4ryc4n4ry"

CASSETTE = """\
interactions:
- request:
    body: 'BODY'
    headers:
      HEADER:
      - VALUE
    method: GET
    uri: https://api.openai.com/v1/models
  response:
    body: {string: '{}'}
    headers: {}
    status: {code: 200, message: OK}
version: 1
"""


def cassette(body: str = "", header: str = "accept", value: str = "'*/*'") -> str:
    return CASSETTE.replace("BODY", body).replace("HEADER", header).replace("VALUE", value)


@pytest.mark.parametrize("planted", ["test_get.yaml", "extra.yaml"])
def test_a_credential_in_a_cassette_fails_the_run_without_being_printed(project: Project, planted: str) -> None:
    project.write("@pytest.mark.vcr('extra.yaml')\ndef test_get():\n    httpx2.get('https://api.openai.com/v1/models')")
    project.folder.mkdir(parents=True)
    for name in ("test_get.yaml", "extra.yaml"):
        (project.folder / name).write_text(cassette(f"key {CANARY}" if name == planted else ""))
    result = project.run("--showlocals")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*cassettes/test_it/{planted}:3: OpenAI API key"])
    assert CANARY not in result.stdout.str()
    (project.folder / planted).write_text(cassette("key sk-fake"))
    project.run("--showlocals").assert_outcomes(passed=1)


def test_a_cassette_outside_the_project_is_named_in_full(
    project: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "extra.yaml"
    elsewhere.write_text(cassette(CANARY))
    result = project.write(f"@pytest.mark.vcr({str(elsewhere)!r})\ndef test_get(): pass").run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*{elsewhere}:3: OpenAI API key"])


@pytest.mark.parametrize(
    ("text", "kind", "line"),
    [
        (cassette("sk-abcdefgh12345678"), "OpenAI API key", 3),
        (cassette(r"key:\n" + CANARY), "OpenAI API key", 3),
        (cassette(r"\u00e9" + CANARY), "OpenAI API key", 3),
        (cassette(r"\xE9" + CANARY), "OpenAI API key", 3),
        (cassette("q=a%20" + CANARY), "OpenAI API key", 3),
        (cassette("use Bearer eyJhbGciOi.J9 now"), "bearer token", 3),
        (cassette(r"\nbearer\n eyJhbGciOi.J9 now".replace(r"\n e", "\n e")), "bearer token", 3),
        (cassette(header="authorization", value="Bearer abc"), "credential header", 5),
        (cassette(header="api-key", value="0123456789abcdef0123456789abcdef"), "credential header", 5),
        (cassette(header="set-cookie", value="session=1"), "credential header", 5),
        (cassette(header="openai-organization", value="org-AbCdEf123456"), "organization id", 6),
        (cassette(header="openai-project", value="proj_AbCdEf123456"), "project id", 6),
        (
            f"a: 1\nbody: !!binary |\n  {base64.b64encode(b'PNG ' + CANARY.encode()).decode()}\n  headers:\n",
            "OpenAI API key",
            2,
        ),
    ],
)
def test_each_kind_of_credential_is_found_on_its_line(text: str, kind: str, line: int) -> None:
    assert (kind, line) in [(finding.kind, finding.line) for finding in find_secrets(text)]


@pytest.mark.parametrize(
    "text",
    [
        cassette(header="authorization", value="Bearer sk-redacted"),
        cassette(header="authorization", value="Bearer sk-fake"),
        cassette("task-management, sk-fake, sk-redacted, Bearer authentication, org-chart-drawing, disk-encryption"),
        "body: !!binary |\n  abc\n",
    ],
)
def test_placeholders_and_prose_are_not_credentials(text: str) -> None:
    assert find_secrets(text) == []


def test_the_value_of_a_key_variable_is_a_credential_whatever_its_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "hunter2hunter2")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-fake")
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "short")
    found = find_secrets("first\nsk-fake short hunter2hunter2")
    assert [(finding.line, finding.kind) for finding in found] == [(2, "value of AZURE_OPENAI_API_KEY")]
    assert "hunter2" not in repr(found)
