from __future__ import annotations

import csv
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from cli.stored import ROOT, environment, llmkit_process
from postgres_servers import LocalPostgres
from rich.cells import cell_len
from typer.testing import CliRunner, Result
from usage.report.ledgers import DAY, month, record, write

from llmkit.cli.app import app
from llmkit.record import CallRecord
from llmkit.usage.postgres import PostgresSink
from llmkit.usage.report.figures import Filter, as_json
from llmkit.usage.report.opening import opened
from llmkit.usage.report.query import report
from llmkit.usage.report.wording import share

Run = Callable[..., Result]
NOW = time.time()


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("ledger") / "usage.db"
    write(path, [*month(calls=400, until=NOW - 120), call()])  # one in the last hours, also on a Sunday
    return str(path)


@pytest.fixture
def run(ledger: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("LLMKIT_LEDGER", ledger)

    def run(*arguments: str, columns: int = 80) -> Result:
        monkeypatch.setenv("COLUMNS", str(columns))
        return CliRunner().invoke(app, ["usage", *arguments])

    return run


def lines(result: Result) -> list[str]:
    assert result.exit_code == 0, result.output
    assert not result.stderr
    return [line.rstrip() for line in result.stdout.splitlines()]


def document(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def only(tmp_path: Path, *records: CallRecord) -> str:
    write(tmp_path / "own.db", records)
    return str(tmp_path / "own.db")


def call(**facts: Any) -> CallRecord:
    given: dict[str, Any] = {"attempts": 1, "complete": True, "input_tokens": 1_000, "output_tokens": 234}
    return record(at=NOW - 60, latency=2.0, **{**given, "total_tokens": 1_234, "cost": Decimal("0.0123"), **facts})


def test_the_overview_says_what_was_called_spent_and_saved(tmp_path: Path, run: Run) -> None:
    path = only(
        tmp_path,
        call(tags={"user": "alice"}, cached_tokens=250, reasoning_tokens=34, predicted_tokens=1_000),
        call(tags={"user": "bob"}, cost=None, model="own-7b", estimated=True, complete=False),
        call(cache="hit", attempts=0, input_tokens=0, output_tokens=0, total_tokens=0, cost=Decimal(0)),
        call(
            cache="semantic",
            attempts=0,
            input_tokens=0,
            output_tokens=0,
            total_tokens=0,
            cost=Decimal(0),
            saved_input_tokens=10,
            saved_output_tokens=2,
            saved_cost=Decimal("0.5"),
        ),
        call(cache="hit", saved_input_tokens=1, attempts=0, total_tokens=0, input_tokens=0, output_tokens=0),
        call(cache="miss", attempts=3, retry_wait=1.5, limit_wait=2.5, time_to_first_token=0.5),
        record(at=NOW - 60, error="APIConnectionError", attempts=2, fallback=True, trimmed_messages=2),
        record(at=NOW - 60, error="BudgetExceeded"),
        record(at=NOW - 60, error="CancelledError"),
    )
    shown = lines(run(path, columns=160))
    facts = dict(zip((line[:13].rstrip() for line in shown[1:11]), (line[13:] for line in shown[1:11]), strict=True))
    assert shown[0].startswith("period       2")
    assert facts["calls"] == "9: 3 answered by a cache, 1 failed, 1 refused, 1 cut short, 1 cancelled"
    assert facts["tokens"] == "~3,702: ~3,000 input (8.3% cached), ~702 output (34 reasoning)"
    assert facts["cost"] == "≥$0.0369"
    assert (
        facts["cache"]
        == f"{share(0.75)}: 3 of 4 (1 by meaning); saved $0.5000 and 1 answer of unknown price, 13 tokens"
    )
    assert facts["latency"] == "p50 2.00 s, p90 2.00 s, p99 2.00 s; first token p50 500 ms, p99 500 ms"
    assert (
        facts["token count"]
        == f"exact in {share(1)}, within 1% in {share(1)} of 1; off by 0.00% on average, +0.0% at worst"
    )
    assert facts["extra"] == (
        "3 further attempts in 2 calls, 1.50 s between; 1 call waited 2.50 s for a rate limit; "
        "1 call answered by a fallback; 2 messages left out of 1 call"
    )
    assert "             estimated in 1 call, for which the server sent no figures (~)" in shown
    assert (
        "             not known for 1 call: install llmkit[prices] where they are made, "
        "or register_price their model (it holds for calls from then on)"
    ) in shown


def test_what_there_is_nothing_of_is_not_mentioned(tmp_path: Path, run: Run) -> None:
    shown = lines(run(only(tmp_path, record(at=NOW - 60, model=None)), "--since", "2h", columns=100))
    assert [line.split()[0] for line in shown[:4]] == ["period", "calls", "tokens", "cost"]
    assert (shown[1], shown[3]) == ("calls   1: 1 cut short", "cost    $0.0000")
    assert [line.split()[0] for line in shown[4:] if line][-2:] == ["model", "(none)"]


def test_bars_are_a_day_or_an_hour_and_never_wider_than_the_terminal(run: Run) -> None:
    for since, unit in (("30d", "a day"), ("24h", "an hour"), ("all", "a day"), ("2024-01-01", "days")):
        for columns in (60, 80, 120):
            shown = run("--since", since, columns=columns).stdout
            assert unit in " ".join(shown.split()).partition("a bar is ")[2][:20]
            assert max(map(cell_len, shown.splitlines())) <= columns


@pytest.mark.parametrize("columns", [60, 80, 120, 200])
def test_tables_fit_the_terminal(columns: int, run: Run) -> None:
    shown = lines(run(columns=columns))
    assert max(map(cell_len, shown)) <= columns
    headers = [line for line in shown if line.startswith(("model ", "user ", "feature ")) and "cost" in line]
    assert [header.split()[0] for header in headers] == ["model", "user", "feature"]
    assert all("calls" in header for header in headers)
    assert ("prompt cache" in headers[0]) == (columns >= 120)


def test_the_figures_are_those_of_the_report(ledger: str, run: Run) -> None:
    found = document(run("--since", "all", "--json"))
    with opened(ledger, since=0, until=0) as connection:
        assert found == json.loads(json.dumps(as_json(report(connection, Filter()))))
    table = lines(run("--since", "all", "--by", "user", columns=120))[1:]
    groups = found["by_tag"]["user"]["groups"]
    assert [line.split()[0] for line in table] == [group["name"] or "(none)" for group in groups]
    for line, group in zip(table, groups, strict=True):
        assert line.split()[1].lstrip("≥$") == f"{Decimal(group['totals']['cost']):.4f}"
        assert line.split()[3].lstrip("~") == f"{group['totals']['total_tokens']:,}"


@pytest.mark.parametrize("by", ["model", "operation", "key", "user", "feature"])
def test_one_table_of_a_breakdown(by: str, run: Run) -> None:
    shown = lines(run("--by", by))
    found = document(run("--by", by, "--json"))
    assert shown[0].split()[0] == found["by"] == by
    assert len(shown) == 1 + len(found["groups"])


def test_one_table_of_days_hours_or_errors(run: Run) -> None:
    days = lines(run("--by", "day", "--since", "5d"))
    assert [line.split()[0] for line in days] == ["day"] + [
        time.strftime("%Y-%m-%d", time.gmtime(time.time() - age * DAY)) for age in (4, 3, 2, 1, 0)
    ]
    hours = lines(run("--by", "hour", "--since", "5d", columns=100))
    assert hours[0].split()[0] == "hour"
    assert len(hours) > 96
    assert all(line.split()[0].endswith(":00") for line in hours[1:])
    assert len(document(run("--by", "day", "--since", "5d", "--json"))) == 5
    errors = document(run("--by", "error", "--json"))
    assert lines(run("--by", "error"))[1].split()[:2] == [errors[0]["error"], str(errors[0]["calls"])]


def test_lines_that_are_too_many_are_added_up(run: Run) -> None:
    everybody = document(run("--by", "user", "--json"))["groups"]
    shown = lines(run("--by", "user", "--top", "2"))
    assert len(shown) == 4
    assert shown[-1].startswith(f"({len(everybody) - 2} more)")
    assert int(shown[-1].split()[3]) == sum(group["totals"]["calls"] for group in everybody[2:])


def test_filters_are_said_and_hold(run: Run) -> None:
    chosen = ("--model", "gpt-4o", "--operation", "chat.completions", "--outcome", "ok", "--tag", "user=alice")
    shown = lines(run(*chosen, "--since", "all", columns=120))
    assert shown[1] == "only         model=gpt-4o operation=chat.completions outcome=ok user=alice"
    found = document(run(*chosen, "--since", "all", "--json"))
    assert found["filter"]["tags"] == {"user": "alice"}
    assert found["totals"]["calls"] == found["totals"]["ok"] > 0


def test_tags_that_are_neither_user_nor_feature_have_their_tables_then(tmp_path: Path, run: Run) -> None:
    path = only(tmp_path, call(tags={"team": "a", "city": "b", "floor": 3}), call(tags={"floor": 3}))
    headers = [line.split()[0] for line in lines(run(path)) if " cost " in line and not line.startswith("dearest")]
    assert headers == ["model", "floor", "city"]


@pytest.mark.parametrize(
    "name", ["\x1b[31mred\x07", "[bold red]b[/]", ":smile:", "a\nb", "\u202egnp.exe", "王" * 40, "👩‍👩‍👧" * 9]
)
@pytest.mark.parametrize("columns", [60, 120])
def test_no_name_breaks_or_colours_the_table(name: str, columns: int, tmp_path: Path, run: Run) -> None:
    path = only(tmp_path, call(tags={"user": name}, model=name), call(error=name, error_code=name, complete=False))
    shown = run(path, columns=columns).stdout
    assert not set(shown) & {"\x1b", "\x07", "\u202e", "\r"}
    users = shown.splitlines()[next(n for n, line in enumerate(shown.splitlines()) if line.startswith("user")) + 1]
    assert "$0.0123" in users
    assert max(map(cell_len, shown.splitlines())) <= columns


@pytest.mark.parametrize("arguments", [("--json",), ("--html", "x.html"), ()])
def test_a_ledger_without_calls(
    arguments: tuple[str, ...], tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run(only(tmp_path), *arguments)
    if arguments:
        assert done.exit_code == 0
    else:
        assert (done.exit_code, done.stdout) == (1, "")
        assert done.stderr == "Error: the ledger has no calls yet\n"


def test_what_is_no_ledger_is_one_line(tmp_path: Path, run: Run) -> None:
    (tmp_path / "text.db").write_text("Dear diary, today I was no database at all.\n" * 100)
    for path, said in ((tmp_path / "nothing.db", "there is no ledger"), (tmp_path / "text.db", "cannot be used")):
        done = run(str(path))
        assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (1, "", 1)
        assert done.stderr.startswith("Error: ")
        assert said in done.stderr
    assert not (tmp_path / "nothing.db").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--since", "yesterday"), "is no time"),
        (("--until", "soon"), "is no time"),
        (
            ("--since", "2026-11-05", "--until", "2026-11-01"),
            "--since 2026-11-05 is not before the end of the period, 2026-11-02",
        ),
        (("--outcome", "fialed"), "'fialed' is none; there are ok, cached, cut, cancelled, refused, failed"),
        (("--html", "-"), "a page goes to a file"),
        (("--html", "x.html", "--by", "user"), "it is for what is printed"),
        (("--export", "x.csv", "--by", "user"), "it is for what is printed"),
        (("--serve", "--by", "user"), "it is for what is printed"),
        (("--port", "80"), "it is of --serve"),
        (("--table", "metrics"), "only a postgresql:// ledger has one"),
        (("--tag", "alice"), "has no name and value"),
        (("--model", ""), "is empty"),
        (("--top", "0"), "greater than or equal to 1"),
    ],
)
def test_mistakes_in_options_are_usage_errors(arguments: tuple[str, ...], said: str, run: Run) -> None:
    done = run(*arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in " ".join(done.stderr.replace("\N{BOX DRAWINGS LIGHT VERTICAL}", "").split())


@pytest.mark.parametrize(
    ("ledger", "said"),
    [
        ("mysql://me:hunter2@db/calls", "a ledger is a file or a postgresql:// URL; this is another kind of URL"),
        ("postgresql://me:hunt#er2@db/calls", "the address of PostgreSQL cannot be read"),
        ("/dev/null", "/dev/null is no file"),
        ("/tmp", "/tmp is no file"),
    ],
)
def test_what_cannot_be_a_ledger_is_a_usage_error_that_shows_no_password(ledger: str, said: str, run: Run) -> None:
    done = run(ledger, columns=200)
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr
    assert "hunt" not in done.stderr


def test_what_no_call_fits_says_what_to_leave_out(tmp_path: Path, run: Run) -> None:
    done = run("--model", "gpt-9")
    assert (done.exit_code, done.stderr) == (1, "Error: no call fits; leave out a filter, or --since all\n")


def test_calls_may_be_in_another_table_of_postgres(local_postgres: LocalPostgres, run: Run) -> None:
    sink = PostgresSink(local_postgres.url, table="llm_calls")
    sink(call(tags={"user": "alice"}))
    assert sink.flush(timeout=None)
    sink.close()
    assert lines(run(local_postgres.url, "--table", "llm_calls", "--by", "user"))[1].split()[0] == "alice"
    done = run(local_postgres.url, "--table", "Calls")
    assert done.exit_code == 2
    done = run(local_postgres.url, "--table", "llm_calls", "--model", "gpt-9")
    assert done.stderr == "Error: no call fits; leave out a filter, or --since all\n"


def test_money_without_a_price_is_null_and_else_has_one_form(tmp_path: Path, run: Run) -> None:
    found = document(run(only(tmp_path, call(cost=None)), "--json"))
    assert found["totals"]["cost"] is None
    assert found["by_model"]["groups"][0]["totals"]["cost"] is None
    assert found["totals"]["saved_cost"] == "0.000000000"
    assert document(run("--json"))["totals"]["cost"][-10] == "."


def test_an_empty_tag_is_seen_and_a_long_one_leaves_the_columns_where_they_are(tmp_path: Path, run: Run) -> None:
    shown = lines(run(only(tmp_path, call(tags={"user": "", "note": "n" * 300})), columns=120))
    assert '""' in [line.split()[0] for line in shown if line]
    dearest = shown[next(number for number, line in enumerate(shown) if line.startswith("dearest")) + 1]
    assert "gpt-4o" in dearest
    assert f"user= note={'n' * 28}\N{HORIZONTAL ELLIPSIS}" in dearest


def test_without_a_ledger_it_says_how_to_name_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LLMKIT_LEDGER", raising=False)
    done = CliRunner().invoke(app, ["usage"])
    assert done.exit_code == 2
    assert "LLMKIT_LEDGER" in done.stderr


def test_the_argument_the_option_and_the_variable_name_the_ledger(ledger: str, tmp_path: Path, run: Run) -> None:
    own = only(tmp_path, call())
    for arguments in ((own,), ("--ledger", own), (own, "--ledger", ledger)):
        assert document(run(*arguments, "--json"))["totals"]["calls"] == 1
    assert document(run("--json", "--since", "all"))["totals"]["calls"] == 401


def test_an_unknown_tag_is_said_with_those_there_are(run: Run) -> None:
    done = run("--by", "usr")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: no call has a tag 'usr'; there are day, hour, error, ")
    assert "user" in done.stderr


def test_a_page_is_written(tmp_path: Path, run: Run) -> None:
    done = run("--html", str(tmp_path / "out.html"))
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", f"wrote {tmp_path / 'out.html'}\n")
    html = (tmp_path / "out.html").read_text()
    assert html.startswith("<!doctype html>")
    assert "<title>LLM usage of usage.db, " in html
    done = run("--html", str(tmp_path / "no" / "out.html"))
    assert (done.exit_code, done.stderr) == (
        1,
        f"Error: {tmp_path / 'no' / 'out.html'} cannot be written: No such file or directory\n",
    )


def test_a_document_is_printed_beside_a_page(tmp_path: Path, run: Run) -> None:
    done = run("--html", str(tmp_path / "out.html"), "--json")
    assert document(done)["totals"]["calls"] > 0
    assert (tmp_path / "out.html").exists()


def test_calls_are_exported(tmp_path: Path, run: Run) -> None:
    path = tmp_path / "out.csv"
    done = run("--export", str(path), "--tag", "user=alice", "--since", "all")
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert (done.exit_code, done.stderr) == (0, f"wrote {len(rows):,} calls to {path}\n")
    assert {json.loads(row["tags"])["user"] for row in rows} == {"alice"}
    found = document(run("--tag", "user=alice", "--since", "all", "--json"))["totals"]
    assert sum(Decimal(row["cost"] or 0) for row in rows) == Decimal(found["cost"])
    done = run("--export", str(tmp_path / "out.xls"))
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert ".csv, .jsonl or .parquet" in done.stderr


def test_a_page_is_served_until_ctrl_c(ledger: str) -> None:
    command = [sys.executable, "-P", "-B", "-m", "llmkit", "usage", ledger, "--serve", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment(), cwd=ROOT) as process:
        assert process.stderr is not None
        said = process.stderr.readline()
        with urlopen(said.split()[4]) as answer:
            assert answer.read().startswith(b"<!doctype html>")
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0


def test_a_port_that_is_taken_is_one_line(run: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = run("--serve", "--port", str(taken.getsockname()[1]))
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert "give another port" in done.stderr


def test_no_colour_when_it_is_not_wanted(ledger: str) -> None:
    assert "\x1b" not in llmkit_process("usage", ledger).stdout


def test_bars_are_plain_where_there_are_no_others(ledger: str) -> None:
    done = llmkit_process("usage", ledger, PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert "@" in next(line for line in done.stdout.splitlines() if "  max " in line)


def test_help_needs_no_sdk_and_fits() -> None:
    done = llmkit_process("usage", "--help")
    assert "--since" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
