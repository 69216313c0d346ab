from __future__ import annotations

import pytest

pytest_plugins = ["llmkit.testing.cassettes", "pytester"]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"
