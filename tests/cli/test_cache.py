from __future__ import annotations

import json
import logging
import os
import pty
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis
import typer
from cli.stored import HOUR, NOW, chat, digests, entry, environment, filled, llmkit_process, read
from redis_servers import LocalRedis
from typer.testing import CliRunner, Result

from llmkit.cache.redis import RedisStore
from llmkit.cli.app import app

Run = Callable[..., Result]


@pytest.fixture
def store(tmp_path: Path) -> str:
    return filled(
        tmp_path / "cache.db",
        entry("aaaa1111aaaa", created_at=NOW - 50 * HOUR, expires_at=None, tags={"user": "alice"}),
        entry("aaaa1111bbbb", model="gpt-5", tags={"user": "alice", "tenant": 42}, body=chat("SECRET \x1b[2J")),
        entry(
            "cccc3333", operation="embeddings", model="text-embedding-3-small", body=b'{"data": []}', output_tokens=0
        ),
        hits=3,
        misses=1,
    )


@pytest.fixture
def run(store: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("LLMKIT_CACHE", store)

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["cache", *arguments])

    return run


def document(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    assert not result.stderr
    return json.loads(result.stdout)


def lines(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_stats_show_the_counters_and_a_line_for_each_model(run: Run) -> None:
    result = run("stats")
    assert result.exit_code == 0
    assert lines(result.stdout)[0] == ["entries", "3"]
    assert "hits     3 of 4 calls, 75.0%" in result.stdout
    assert [line[0] for line in lines(result.stdout)[-4:]] == ["model", "gpt-4o", "gpt-5", "text-embedding-3-small"]


def test_stats_are_json_for_machines(run: Run) -> None:
    stats = document(run("stats", "--json"))
    assert (stats["entries"], stats["hits"], stats["misses"], stats["hit_rate"]) == (3, 3, 1, 0.75)
    assert [of["model"] for of in stats["models"]] == ["gpt-4o", "gpt-5", "text-embedding-3-small"]


def test_stats_of_an_empty_cache_have_no_table(tmp_path: Path, run: Run) -> None:
    result = run("stats", "--store", filled(tmp_path / "empty.db"))
    assert result.exit_code == 0
    assert "model" not in result.stdout


def test_the_list_has_a_line_for_each_answer_the_newest_first(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    result = run("list")
    assert result.exit_code == 0
    assert not result.stderr
    assert lines(result.stdout) == [
        ["key", "model", "age", "expires", "size", "tokens", "tags"],
        ["cccc3333", "text-embedding-3-small", "2h", "3h", "12", "B", "1,200+0"],
        ["aaaa1111b", "gpt-5", "2h", "3h", "146", "B", "1,200+34", "user=alice", "tenant=42"],
        ["aaaa1111a", "gpt-4o", "2d", "never", "136", "B", "1,200+34", "user=alice"],
    ]


def test_on_80_columns_nothing_of_the_list_is_cut(run: Run) -> None:
    shown = run("list").stdout
    assert max(map(len, shown.splitlines())) == 80
    assert "…" not in shown
    for text in ("text-embedding-3-", "small", "aaaa1111b", "user=alice", "tenant=42", "1,200+34"):
        assert text in shown


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--model", "gpt-5"], ["aaaa1111bbbb"]),
        (["--tag", "user=alice"], ["aaaa1111bbbb", "aaaa1111aaaa"]),
        (["--tag", "user=alice", "--tag", "tenant=42"], ["aaaa1111bbbb"]),
        (["--prefix", "embeddings:"], ["cccc3333"]),
        (["--older-than", "1d"], ["aaaa1111aaaa"]),
        (["--older-than", "1d", "--model", "gpt-5"], []),
        (["--limit", "2"], ["cccc3333", "aaaa1111bbbb"]),
    ],
)
def test_a_list_may_be_of_some_answers(run: Run, options: list[str], found: list[str]) -> None:
    listed = document(run("list", "--json", *options))
    assert [one["key"].rpartition(":")[2] for one in listed["entries"]] == found
    assert listed["total"] == (3 if "--limit" in options else len(found))


def test_a_cut_list_says_how_many_there_are(run: Run) -> None:
    result = run("list", "--limit", "1")
    assert len(result.stdout.splitlines()) == 2
    assert result.stderr == "1 of 3 entries; --limit 3 shows all\n"


def test_a_list_of_nothing_says_so(run: Run) -> None:
    result = run("list", "--model", "gpt-6")
    assert (result.exit_code, result.stdout) == (0, "no entries\n")


@pytest.mark.parametrize("command", ["list", "stats", "show aaaa1111b"])
def test_no_answer_is_shown_unasked(run: Run, command: str) -> None:
    for more in ([], ["--json"]):
        assert "SECRET" not in run(*command.split(), *more).output


@pytest.mark.parametrize("key", ["chat.completions:gpt-5:aaaa1111bbbb", "chat.completions:gpt-5", "aaaa1111b"])
def test_show_finds_an_answer_by_a_beginning(run: Run, key: str) -> None:
    result = run("show", key)
    assert result.exit_code == 0
    assert lines(result.stdout)[0] == ["key", "chat.completions:gpt-5:aaaa1111bbbb"]
    assert "tags        user=alice tenant=42" in result.stdout


def test_show_prints_the_answer_when_asked_as_text_that_does_nothing_to_the_terminal(run: Run) -> None:
    result = run("show", "aaaa1111b", "--answer")
    assert result.stdout.endswith("\n\nSECRET \\x1b[2J\n")
    found = document(run("show", "aaaa1111b", "--answer", "--json"))
    assert (found["answer"], found["streamed"], found["cost"]) == ("SECRET \x1b[2J", False, "0.00334")


def test_a_beginning_that_several_keys_have_lists_them(run: Run) -> None:
    result = run("show", "aaaa1111", "--json")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines() == [
        "Error: 2 keys begin with 'aaaa1111':",
        "  chat.completions:gpt-4o:aaaa1111aaaa",
        "  chat.completions:gpt-5:aaaa1111bbbb",
    ]


def test_of_many_candidates_ten_are_listed(tmp_path: Path, run: Run) -> None:
    store = filled(tmp_path / "many.db", *(entry(f"abcd{number:04}") for number in range(1_012)))
    result = run("show", "abcd", "--store", store)
    assert len(result.stderr.splitlines()) == 12
    assert result.stderr.splitlines()[-1] == "  ... and 1,002 more"


def test_a_key_that_is_not_there_is_an_error(run: Run) -> None:
    result = run("show", "ffff")
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "Error: no key begins with 'ffff'\n")


def test_an_answer_that_went_meanwhile_is_an_error(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmkit.cache.sqlite.SQLiteStore.get", lambda self, key, now: None)
    result = run("show", "cccc")
    assert (result.exit_code, result.stderr) == (1, "Error: it is there no longer, or cannot be read\n")


@pytest.mark.parametrize(
    ("options", "left"),
    [
        (["cccc3333"], ["aaaa1111aaaa", "aaaa1111bbbb"]),
        (["--model", "gpt-5"], ["aaaa1111aaaa", "cccc3333"]),
        (["--tag", "user=alice"], ["cccc3333"]),
        (["--prefix", "embeddings"], ["aaaa1111aaaa", "aaaa1111bbbb"]),
        (["--older-than", "1d"], ["aaaa1111bbbb", "cccc3333"]),
        (["--older-than", "1d", "--tag", "tenant=42"], ["aaaa1111aaaa", "aaaa1111bbbb", "cccc3333"]),
        (["cccc", "--model", "gpt-5"], ["aaaa1111aaaa", "aaaa1111bbbb", "cccc3333"]),
        (["--all"], []),
    ],
)
def test_what_is_meant_is_dropped(run: Run, store: str, options: list[str], left: list[str]) -> None:
    count = 3 - len(left)
    assert document(run("invalidate", *options, "--yes", "--json")) == {"matched": count, "dropped": count}
    assert digests(store) == left


def test_people_are_told_how_many_were_dropped(run: Run) -> None:
    assert run("invalidate", "--model", "gpt-5", "-y").stdout == "dropped 1 entry\n"
    assert run("invalidate", "--model", "gpt-5", "-y").stdout == "dropped 0 entries\n"


@pytest.mark.parametrize("options", [[], ["--yes"], ["--all", "--model", "gpt-5"], ["aaaa", "--all"]])
def test_nothing_given_or_too_much_drops_nothing(run: Run, store: str, options: list[str]) -> None:
    result = run("invalidate", *options)
    assert result.exit_code == 2
    assert "say which answers: KEY, --model" in result.stderr
    assert len(digests(store)) == 3


@pytest.mark.parametrize(
    ("command", "named"),
    [
        (["invalidate", "--prefix", "", "--yes"], "'--prefix': it is empty"),
        (["invalidate", "--model", "", "--yes"], "'--model': it is empty"),
        (["invalidate", "", "--yes"], "'KEY': it is empty"),
        (["invalidate", "--tag", "", "--yes"], "--tag: '' has no name and value"),
        (["list", "--prefix", ""], "'--prefix': it is empty"),
        (["show", ""], "'KEY': it is empty"),
    ],
)
def test_a_variable_that_is_not_set_does_not_mean_everything(
    run: Run, store: str, command: list[str], named: str
) -> None:
    result = run(*command)
    assert (result.exit_code, result.stdout) == (2, "")
    assert named in result.stderr
    assert len(digests(store)) == 3


def test_where_nobody_can_be_asked_nothing_is_dropped(run: Run, store: str) -> None:
    result = run("invalidate", "--all")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "it would drop 3 entries; say --yes where nobody can be asked" in result.stderr
    assert len(digests(store)) == 3


def test_nothing_to_drop_asks_nobody(run: Run) -> None:
    assert run("invalidate", "--model", "gpt-6").stdout == "dropped 0 entries\n"


@pytest.mark.parametrize(("answer", "said", "left"), [("y", "dropped 2 entries", 1), ("n", "dropped 0 entries", 3)])
def test_on_a_terminal_one_is_asked(store: str, answer: str, said: str, left: int) -> None:
    code, shown = in_terminal(["invalidate", "--tag", "user=alice"], store, question="[y/N]: ", answer=answer)
    assert "Drop 2 entries? [y/N]: " in shown
    assert said in shown
    assert code == 0
    assert len(digests(store)) == left


@pytest.mark.parametrize(("answer", "dropped"), [(True, 2), (False, 0)])
def test_the_answer_decides(run: Run, store: str, answer: bool, dropped: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr("llmkit.cli.cache._can_ask", lambda: True)
    monkeypatch.setattr(typer, "confirm", lambda text, err: asked.append(text) or answer)
    assert document(run("invalidate", "--tag", "user=alice", "--json")) == {"matched": 2, "dropped": dropped}
    assert asked == ["Drop 2 entries?"]


def in_terminal(arguments: list[str], store: str, *, question: str, answer: str) -> tuple[int, str]:
    """The exit code and the screen of a command that asks a question."""
    screen, keyboard = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-B", "-m", "llmkit", "cache", *arguments],
        stdin=keyboard,
        stdout=keyboard,
        stderr=keyboard,
        env=environment(LLMKIT_CACHE=store, TERM="xterm"),
    )
    os.close(keyboard)
    shown = ""
    try:
        while piece := read(screen):
            asked, shown = question in shown, shown + piece
            if question in shown and not asked:
                os.write(screen, f"{answer}\n".encode())
        return process.wait(timeout=60), shown
    finally:
        process.kill()
        os.close(screen)


@pytest.mark.parametrize("command", [["stats"], ["list"], ["show", "a"], ["invalidate", "--all", "--yes"]])
def test_a_file_that_is_not_there_is_not_made(tmp_path: Path, run: Run, command: list[str]) -> None:
    path = tmp_path / "typo.db"
    result = run(*command, "--store", str(path))
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", f"Error: there is no file {path}\n")
    assert not path.exists()


def test_a_file_of_something_else_is_one_clear_line(tmp_path: Path, run: Run) -> None:
    path = tmp_path / "other.db"
    path.write_text("no database at all, but long enough to be read as the header of one" * 10)
    result = run("stats", "--store", str(path))
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"Error: the cache {path} cannot be used: ")
    assert len(result.stderr.splitlines()) == 1


def test_a_redis_that_is_down_is_one_clear_line_without_its_password(local_redis: LocalRedis, run: Run) -> None:
    local_redis.kill()
    result = run("stats", "--store", f"redis://:hunter2@127.0.0.1:{local_redis.port}/0")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"Error: Redis at 127.0.0.1:{local_redis.port} failed with ConnectionError\n"
    assert "hunter2" not in result.output


def test_a_redis_is_looked_into_like_a_file(local_redis: LocalRedis, run: Run) -> None:
    store = RedisStore(local_redis.url)
    store.put(entry("cccc3333"), now=NOW)
    assert document(run("list", "--json", "--store", local_redis.url))["total"] == 1
    assert document(run("invalidate", "--all", "-y", "--json", "--store", local_redis.url))["dropped"] == 1


def test_a_redis_with_another_programs_counters_is_looked_into(local_redis: LocalRedis, run: Run) -> None:
    with closing(redis.Redis.from_url(local_redis.url)) as client:
        client.hset("{llmkit:cache}:counters", "hits", "theirs")
    assert document(run("stats", "--json", "--store", local_redis.url))["hits"] == 0


@pytest.mark.parametrize(
    "url",
    [
        "redis://:hunter2@a..b",
        "redis://:hunter2@host?hunter2=1",
        "redis://user:123/hunter2@host",
        "rediss://:hunter2@host?ssl_cert_reqs=hunter2",
        "~nobody-of-this-name/cache.db",
    ],
)
def test_an_address_that_cannot_be_used_is_a_usage_error_without_its_password(run: Run, url: str) -> None:
    result = run("stats", "--store", url)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Invalid value for --store: " in result.stderr
    assert "hunter2" not in result.output


def test_an_answer_for_ever_and_a_day_is_shown(tmp_path: Path, run: Run) -> None:
    store = filled(tmp_path / "far.db", entry("aaaa", expires_at=NOW + 9e12))
    assert "9999-12-31T23:59:59Z" in run("show", "aaaa", "--store", store).stdout
    [listed] = document(run("list", "--json", "--store", store))["entries"]
    assert listed["expires_at"] == "9999-12-31T23:59:59Z"


def test_no_name_makes_a_line_of_its_own(tmp_path: Path, run: Run) -> None:
    evil = "x\n\x1b[31mError: evil"
    store = filled(tmp_path / "odd.db", entry("aaaa1", model=evil, tags={"a": evil}), entry("aaaa2", model=evil))
    missing = run("stats", "--store", f"{tmp_path}/{evil}.db")
    assert missing.stderr == f"Error: there is no file {tmp_path}/x\\n\\x1b[31mError: evil.db\n"
    said = [run(*command, "--store", store).output for command in (["stats"], ["list"], ["show", "chat"])]
    assert not any("\x1b" in text or "\nError: evil" in text for text in said)
    assert len(said[2].splitlines()) == 3


def test_a_damaged_answer_is_warned_of_in_one_line(tmp_path: Path, run: Run) -> None:
    store = filled(tmp_path / "bad.db", entry("aaaa"), entry("bbbb"))
    with closing(sqlite3.connect(store)) as file, file:
        file.execute("UPDATE entries SET head = x'00', key = 'chat' || char(10) || 'x' WHERE key LIKE '%aaaa'")
    result = run("list", "--store", store)
    assert result.exit_code == 0
    assert result.stderr.startswith(f"the cache {store}: the entry chat\\nx is left out: ")
    assert len(result.stderr.splitlines()) == 1
    assert not logging.getLogger("llmkit").handlers


def test_a_process_prints_tables_without_colours_where_nobody_looks(store: str) -> None:
    listed = llmkit_process("cache", "list", "--store", store)
    assert (listed.returncode, listed.stderr) == (0, "")
    assert "\x1b" not in listed.stdout
    assert len(listed.stdout.splitlines()) >= 4
    stats = llmkit_process("cache", "stats", "--json", LLMKIT_CACHE=store)
    assert json.loads(stats.stdout)["entries"] == 3
