from __future__ import annotations

import pytest
import typer.rich_utils


@pytest.fixture(autouse=True)
def plain_output(monkeypatch: pytest.MonkeyPatch) -> None:
    """80 columns without colours, also where the tests' own output has them, as in CI."""
    monkeypatch.setattr(typer.rich_utils, "FORCE_TERMINAL", None)
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("FORCE_COLOR", "LLMKIT_CACHE", "LLMKIT_LEDGER", "TERMINAL_WIDTH"):
        monkeypatch.delenv(name, raising=False)
