from __future__ import annotations

import json

import pytest

from llmkit.cli.output import print_facts, print_json, print_table, say


def test_a_table_has_numbers_to_the_right_and_takes_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("name", "count"), [("[red]a[/red]", "1"), (":smile:", "1,000")], numbers=("count",))
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == [
        "name          count",
        "[red]a[/red]      1",
        ":smile:       1,000",
    ]


def test_text_in_tables_does_nothing_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("name",), [("\x1b[2J",)])
    print_facts([("tags", "\x1b]0;title\x07")])
    say("\x9b2J")
    shown = capsys.readouterr()
    assert shown.out.split() == ["name", r"\x1b[2J", "tags", r"\x1b]0;title\x07"]
    assert shown.err == "\\x9b2J\n"


def test_no_name_makes_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("name",), [("a\nb",)])
    print_facts([("tags", "c\nd")])
    say("e\nf", "g")
    shown = capsys.readouterr()
    assert [line.rstrip() for line in shown.out.splitlines()] == ["name", r"a\nb", r"tags  c\nd"]
    assert shown.err == "e\\nf\ng\n"


def test_a_long_table_is_as_wide_as_its_text(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    rows = [(f"key {number}", f"{number:,}", "\x1b tags" * 9) for number in range(1_001)]
    print_table(("name", "count", "tags"), rows, numbers=("count",))
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == 1_002
    assert shown[0] == "name      count  tags"
    assert shown[-1] == "key 1000  1,000  " + r"\x1b tags" * 9
    assert shown[1].startswith("key 0         0  ")


def test_facts_are_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    print_facts([("key", "chat:1"), ("a long name", "x")])
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == ["key          chat:1", "a long name  x"]


def test_json_holds_whatever_an_answer_may_have(capsys: pytest.CaptureFixture[str]) -> None:
    document = {"answer": "\ud83d \x9b ü"}
    print_json(document)
    printed = capsys.readouterr().out
    assert printed.isascii()
    assert json.loads(printed) == document
