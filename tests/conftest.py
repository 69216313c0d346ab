from __future__ import annotations

import pytest

from llmkit.tokens import vocabulary

pytest_plugins = ["llmkit.testing.cassettes", "pytester"]


@pytest.fixture(scope="session", autouse=True)
def loaded_vocabularies() -> None:
    """Counting is on from the first call of a test run, whichever test comes first."""
    for model in ("gpt-4", "gpt-4o"):
        vocabulary.load(model)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"
