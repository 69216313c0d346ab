from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What guidance says must not depend on the machine that runs the tests."""
    for name in [*os.environ]:
        if name.upper().endswith("_PROXY") or "OPENAI" in name.upper() or name.startswith("SSL_CERT"):
            monkeypatch.delenv(name)
