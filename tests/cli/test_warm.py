from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cli.stored import digests, environment, filled, llmkit_process, read
from typer.testing import CliRunner, Result

from llmkit.cache.sqlite import SQLiteStore
from llmkit.cache.warming import Warmed
from llmkit.cli.app import app
from llmkit.testing import FakeOpenAI

Run = Callable[..., Result]


def ask(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "gpt-4o", "messages": [{"role": "user", "content": text}], **more}


def file_of(path: Path, *requests: object) -> str:
    path.write_text("".join(f"{json.dumps(request)}\n" for request in requests))
    return str(path)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeOpenAI]:
    fake = FakeOpenAI()
    with fake.serve() as url:
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
        yield fake


@pytest.fixture
def store(tmp_path: Path) -> str:
    return filled(tmp_path / "cache.db")


@pytest.fixture
def run(store: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("LLMKIT_CACHE", store)

    def run(*arguments: str, stdin: str | bytes | None = None) -> Result:
        return CliRunner().invoke(app, ["cache", "warm", *arguments], input=stdin)

    return run


def test_warming_says_what_came_of_the_requests(fake: FakeOpenAI, run: Run, store: str, tmp_path: Path) -> None:
    requests = file_of(tmp_path / "r.jsonl", ask("one"), ask("two"), ask("one"), ask("varies", temperature=1))
    result = run(requests)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "2 made, 1 already there, 1 not kept, 0 failed\n"
    assert len(digests(store)) == 2
    assert run(requests).stdout == "0 made, 3 already there, 1 not kept, 0 failed\n"
    assert len(fake.requests) == 4


def test_warming_says_it_in_json(fake: FakeOpenAI, run: Run, tmp_path: Path) -> None:
    fake.error(401)
    result = run(file_of(tmp_path / "r.jsonl", ask("one"), ask("two")), "--json", "--concurrency", "1")
    assert result.exit_code == 1
    assert not result.stderr
    assert json.loads(result.stdout) == {
        "made": 1,
        "present": 0,
        "not_kept": 0,
        "failed": 1,
        "errors": {"AuthenticationError": 1},
        "hints": {"AuthenticationError": "Pass its key as api_key=, or correct base_url if OpenAI was meant."},
        "asked": 2,
        "interrupted": False,
    }


def test_failures_are_named_with_what_to_do_and_nothing_else(fake: FakeOpenAI, run: Run, tmp_path: Path) -> None:
    fake.error(401, message="sk-canary is wrong").error(401)
    result = run(file_of(tmp_path / "r.jsonl", ask("CANARY one"), ask("CANARY two"), ask("CANARY three")))
    assert result.exit_code == 1
    assert result.stdout == "1 made, 0 already there, 0 not kept, 2 failed\n"
    assert result.stderr == (
        "2 AuthenticationError: Pass its key as api_key=, or correct base_url if OpenAI was meant.\n"
    )


def test_lines_may_be_of_a_batch_file_and_come_from_stdin(fake: FakeOpenAI, run: Run, store: str) -> None:
    line = {"custom_id": "1", "method": "POST", "url": "/v1/responses", "body": {"model": "gpt-4o", "input": "Hi"}}
    result = run("-", stdin="\n" + json.dumps({**line, "tags": {"user": "alice"}}) + "\n\n")
    assert result.stdout == "1 made, 0 already there, 0 not kept, 0 failed\n"
    kept = SQLiteStore(store)
    assert [(one.operation, dict(one.tags)) for one in kept.entries(now=0.0)] == [("responses", {"user": "alice"})]
    kept.close()


def test_answers_hold_for_the_ttl(fake: FakeOpenAI, run: Run, store: str, tmp_path: Path) -> None:
    run(file_of(tmp_path / "1.jsonl", ask("one")), "--ttl", "2d")
    run(file_of(tmp_path / "2.jsonl", ask("two")))
    kept = SQLiteStore(store)
    assert [one.expires_at and one.expires_at - one.created_at for one in kept.entries(now=0.0)] == [172_800, 3_600]
    kept.close()


def test_a_pace_may_be_set(fake: FakeOpenAI, run: Run, tmp_path: Path) -> None:
    requests = file_of(tmp_path / "r.jsonl", ask("one"), ask("two"))
    assert run(requests, "--requests-per-minute", "60000").stdout.startswith("2 made")
    assert run(requests, "--requests-per-minute", "0").exit_code == 2


def test_bad_lines_are_named_before_anything_is_sent(fake: FakeOpenAI, run: Run, tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    good = json.dumps(ask("one")).encode()
    path.write_bytes(
        b"\n".join(
            [good, b'{"model": CANARY}', b"", b'{"a": "CANARY\xff"}', b"[1]", b"[" * 100_000, b'{"messages": []}']
        )
    )
    result = run(str(path))
    assert (result.exit_code, result.stdout) == (2, "")
    shown = " ".join(result.stderr.replace("│", " ").split())
    assert "nothing was sent line 2: it is not JSON: Expecting value at character 11" in shown
    assert "line 4: it is not JSON in UTF-8 line 5: it is a list, not an object: write a body" in shown
    assert "line 6: it is not JSON in UTF-8 line 7: it has no 'model', which chat.completions needs" in shown
    assert "CANARY" not in result.output
    assert not fake.requests


def test_no_tag_makes_a_line(fake: FakeOpenAI, run: Run) -> None:
    result = run("-", stdin=json.dumps(ask("one", tags={"a\n\x1b[31mline 9": [1]})) + "\n")
    assert result.exit_code == 2
    assert r"line 1: tag a\n\x1b[31mline 9 is a list" in result.stderr


def test_of_many_bad_lines_ten_are_named(fake: FakeOpenAI, run: Run) -> None:
    result = run("-", stdin="{}\n" * 1_012)
    assert "line 10:" in result.stderr
    assert "line 11:" not in result.stderr
    assert "... and 1,002 more" in result.stderr


@pytest.mark.parametrize("options", [["--ttl", "1"], ["--ttl", "0h"], ["--concurrency", "0"]])
def test_impossible_options_are_usage_errors(fake: FakeOpenAI, run: Run, tmp_path: Path, options: list[str]) -> None:
    assert run(file_of(tmp_path / "r.jsonl", ask("one")), *options).exit_code == 2
    assert not fake.requests


def test_a_file_is_made_only_if_asked_for(fake: FakeOpenAI, run: Run, tmp_path: Path) -> None:
    path, requests = tmp_path / "new.db", file_of(tmp_path / "r.jsonl", ask("one"))
    result = run(requests, "--store", str(path))
    assert (result.exit_code, result.stderr) == (1, f"Error: there is no file {path}\n")
    assert not path.exists()
    assert run(requests, "--store", str(path), "--create").exit_code == 0
    assert len(digests(str(path))) == 1


def test_a_store_that_fails_does_so_before_anything_is_paid_for(fake: FakeOpenAI, run: Run, tmp_path: Path) -> None:
    result = run(file_of(tmp_path / "r.jsonl", ask("one")), "--store", "redis://127.0.0.1:9/0")
    assert result.exit_code == 1
    assert result.stderr == "Error: Redis at 127.0.0.1:9 failed with ConnectionError\n"
    assert not fake.requests


def test_a_missing_key_is_explained_without_a_traceback(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY"):
        monkeypatch.delenv(name, raising=False)
    result = run(file_of(tmp_path / "r.jsonl", ask("one")))
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: Missing credentials.")
    assert "What to do: export OPENAI_API_KEY=... before the program starts" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_pipe_gets_no_bar(fake: FakeOpenAI, store: str, tmp_path: Path) -> None:
    more = {"OPENAI_BASE_URL": os.environ["OPENAI_BASE_URL"], "OPENAI_API_KEY": "sk-canary", "LLMKIT_CACHE": store}
    done = llmkit_process("cache", "warm", file_of(tmp_path / "r.jsonl", ask("one")), **more)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "1 made, 0 already there, 0 not kept, 0 failed\n"


def test_an_interrupted_run_says_what_was_done(
    fake: FakeOpenAI, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def interrupted(
        client: object, requests: object, *, on_progress: Callable[[Warmed], object], **_: object
    ) -> None:
        on_progress(Warmed(made=1))
        raise KeyboardInterrupt

    monkeypatch.setattr("llmkit.cache.warming.warm", interrupted)
    requests = file_of(tmp_path / "r.jsonl", ask("one"), ask("two"))
    result = run(requests)
    assert (result.exit_code, result.stdout) == (130, "1 made, 0 already there, 0 not kept, 0 failed\n")
    assert result.stderr == "interrupted after 1 of 2 requests; what was made is kept\n"
    document = json.loads(run(requests, "--json").stdout)
    assert (document["made"], document["asked"], document["interrupted"]) == (1, 2, True)


def test_a_terminal_gets_a_bar_and_ctrl_c_keeps_what_was_made(store: str, tmp_path: Path) -> None:
    requests = file_of(tmp_path / "r.jsonl", *(ask(str(number)) for number in range(500)))
    with FakeOpenAI(delay=0.05).serve() as url:
        screen, terminal = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-B", "-m", "llmkit", "cache", "warm", requests, "--concurrency", "2"],
            stdin=terminal,
            stdout=subprocess.PIPE,
            stderr=terminal,
            text=True,
            env=environment(LLMKIT_CACHE=store, OPENAI_BASE_URL=url, OPENAI_API_KEY="sk-canary", TERM="xterm"),
        )
        os.close(terminal)
        shown = ""
        try:
            while len(digests(store)) < 5 and (piece := read(screen)):
                shown += piece
            process.send_signal(signal.SIGINT)
            while piece := read(screen):
                shown += piece
            said, _ = process.communicate(timeout=60)
        finally:
            process.kill()
            os.close(screen)
    assert process.returncode == 130
    made = int(said.split()[0])
    assert said == f"{made} made, 0 already there, 0 not kept, 0 failed\n"
    assert "warming" in shown
    assert f"interrupted after {made} of 500 requests; what was made is kept" in shown
    assert 5 <= made <= len(digests(store)) < 500
