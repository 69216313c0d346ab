from __future__ import annotations

import io
import sys

import pytest

from llmkit.batches.progress import Bar, progress_for


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_bar_draws_over_itself_and_ends_its_line_once() -> None:
    written = io.StringIO()
    bar = Bar(written)
    for done, failed in ((0, 0), (1, 1), (3, 1), (3, 1)):
        bar(done, failed, 4)
    assert written.getvalue() == (
        f"\rbatch [{' ' * 30}] 0/4\rbatch [{'#' * 15}{' ' * 15}] 2/4, 1 failed\rbatch [{'#' * 30}] 4/4, 1 failed\n"
    )


def test_a_bar_is_for_terminals_only(monkeypatch: pytest.MonkeyPatch) -> None:
    for stderr, wanted, drawn in ((Terminal(), True, True), (Terminal(), False, False), (io.StringIO(), True, False)):
        monkeypatch.setattr(sys, "stderr", stderr)
        progress_for(wanted)(1, 0, 2)
        assert bool(stderr.getvalue()) is drawn


def test_a_function_is_taken_as_it_is() -> None:
    assert progress_for(print) is print
