from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from llmkit.usage import writer


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads of writers that coverage sees: it follows those that `threading` starts."""

    def start(work: Callable[..., None], args: tuple[Any, ...]) -> None:
        threading.Thread(target=work, args=args, daemon=True).start()

    monkeypatch.setattr(writer, "start_new_thread", start)
