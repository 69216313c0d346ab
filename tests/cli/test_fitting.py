from __future__ import annotations

import pytest

from llmkit.cli.fitting import Column, cut, print_fitted

COLUMNS: tuple[Column[str], ...] = (
    Column(title="name", show=lambda name: name, text=True),
    Column(title="length", show=lambda name: f"{len(name):,}"),
    Column(title="first", show=lambda name: name[:1], text=True, rank=1),
    Column(title="doubled", show=lambda name: name * 2, text=True, rank=2),
)


def shown(names: list[str], capsys: pytest.CaptureFixture[str]) -> list[str]:
    print_fitted(COLUMNS, names)
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


def test_a_table_with_room_has_all_columns(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(["ab", "c"], capsys) == [
        "name  length  first  doubled",
        "ab         2  a      abab",
        "c          1  c      cc",
    ]


def test_columns_go_by_their_rank_and_then_names_are_cut(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    assert shown(["abcdefgh"], capsys) == ["name      length  first", "abcdefgh       8  a"]
    monkeypatch.setenv("COLUMNS", "36")
    assert shown(["n" * 40], capsys) == ["name                        length", f"{'n' * 25}…      40"]


def test_wide_characters_take_two_columns() -> None:
    assert cut("王小明王小明", 12) == "王小明王小明"
    assert cut("王小明王小明", 11) == "王小明王小…"
    assert cut("王小明王小明", 10) == "王小明王…"


def test_what_a_name_says_to_the_terminal_is_written_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(["[red]\x1b[2J"], capsys)[1].startswith(r"[red]\x1b[2J")
