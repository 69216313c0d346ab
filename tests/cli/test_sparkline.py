from __future__ import annotations

from llmkit.cli.sparkline import merged, sparkline


def test_bars_go_up_to_the_largest_and_nothing_is_blank() -> None:
    assert sparkline([0, 1, 4, 8]) == " ▂▅█"
    assert sparkline([1, 1_000_000]) == "▁█"
    assert sparkline([0, 1, 4, 8], plain=True) == " :+@"


def test_nothing_at_all_is_blank() -> None:
    assert sparkline([]) == ""
    assert sparkline([0, 0]) == "  "


def test_neighbours_are_added_up_where_there_is_no_room() -> None:
    assert merged([1, 2, 3, 4, 5], most=5) == (1, [1, 2, 3, 4, 5])
    assert merged([1, 2, 3, 4, 5], most=3) == (2, [3, 7, 5])
    assert merged([], most=3) == (1, [])
