from __future__ import annotations

import asyncio
import logging
import socket
import sys
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
import redis.asyncio
from redis_servers import LocalRedis

from llmkit.errors import LLMKitError, RedisUnavailable
from llmkit.redis_server import RedisServer
from llmkit.runtime import ASYNC, SYNC
from llmkit.sync import drive
from llmkit.testing import virtual_time


def ping(client: Any) -> Any:
    return client.ping()


class Mute:
    """A server that greets, and then never answers."""

    def __init__(self) -> None:
        self.received = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0?protocol=2"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                while data := connection.recv(4096):
                    self.received += data
                    connection.sendall(b"+OK\r\n" * data.count(b"SETINFO"))


@pytest.fixture
def mute() -> Iterator[Mute]:
    with closing(Mute()) as server:
        yield server


async def test_commands_run_in_a_thread_of_an_async_client_and_in_place_of_a_sync_one(redis_url: str) -> None:
    server = RedisServer(redis_url)
    here = threading.get_ident()
    assert await server.run(ASYNC, lambda client: (client.ping(), threading.get_ident() != here)) == (True, True)
    assert drive(server.run(SYNC, lambda client: (client.ping(), threading.get_ident() == here))) == (True, True)


async def test_a_client_of_ones_own_is_used_as_it_is(redis_url: str) -> None:
    with closing(redis.Redis.from_url(redis_url)) as client:
        assert await RedisServer(client).run(ASYNC, lambda used: used is client)


@pytest.mark.parametrize(
    "server", [redis.asyncio.Redis(), object(), 6379], ids=["async client", "another object", "port"]
)
def test_what_is_no_server_is_refused(server: Any) -> None:
    with pytest.raises(TypeError, match=r"given as a URL or as a redis\.Redis, not as a .*; async clients use it, too"):
        RedisServer(server)


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf")])
def test_a_timeout_of_nothing_or_for_ever_is_refused(timeout: float) -> None:
    with pytest.raises(ValueError, match=f"^timeout={timeout} must be above 0 seconds, and finite$"):
        RedisServer("redis://127.0.0.1:1", timeout=timeout)


def test_a_url_of_another_kind_is_refused_by_redis() -> None:
    with pytest.raises(ValueError, match="the Redis URL cannot be read; write"):
        RedisServer("http://127.0.0.1:1")


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(LLMKitError, match=r"pip install 'llmkit\[redis\]'"):
        RedisServer("redis://127.0.0.1:1")


@pytest.mark.parametrize(
    "url",
    [
        "http://:s3cret@host",
        "redis://:s3cret/x@host",
        "redis://:[s3cret@host",
        "redis://user:123/s3cret@host",
        "redis://user:123?s3cret@host",
        "redis://user:123#s3cret@host",
        "redis://:a@b/s3cret@host",
        "unix://user:123/s3cret@/run/redis.sock",
        "redis://:s3cret@a..b",
        "redis://:s3cret@host?no_such_option=1",
        "rediss://:s3cret@host?ssl_cert_reqs=wrong",
    ],
)
def test_a_url_that_cannot_be_read_is_refused_without_a_word_of_it(url: str) -> None:
    with pytest.raises(ValueError, match="the Redis URL cannot be read; write") as caught:
        RedisServer(url)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("client", "name"),
    [
        (redis.Redis(unix_socket_path="/run/redis.sock", password="s3cret"), "Redis at /run/redis.sock"),
        (redis.Redis(connection_pool=redis.ConnectionPool()), "Redis"),
        ("unix://user:s3cret@/run/r@.sock", "Redis at /run/r@.sock"),
        ("rediss://:s3cret@[::1]:1/2?socket_keepalive=1", "Redis at ::1:1"),
        ("redis://:s3@cret@host", "Redis at host:6379"),
    ],
    ids=["socket", "unknown", "socket's URL", "TLS URL", "URL"],
)
async def test_a_failure_names_the_server_as_far_as_it_is_known(client: Any, name: str) -> None:
    def fail(_: Any) -> None:
        raise redis.ConnectionError

    with virtual_time() as clock, pytest.raises(RedisUnavailable, match=f"^{name} failed with ConnectionError$"):
        await RedisServer(client).run(clock, fail)


async def test_a_dead_server_is_an_error_that_is_logged_once_and_does_not_tell_the_password(
    local_redis: LocalRedis, caplog: pytest.LogCaptureFixture
) -> None:
    url = local_redis.url.replace("redis://", "redis://user:s3cret@")
    server, told = RedisServer(url), f"Redis at 127.0.0.1:{urlsplit(url).port} failed with ConnectionError"
    local_redis.kill()
    with virtual_time() as clock, caplog.at_level(logging.DEBUG, logger="llmkit"):
        for _ in range(2):
            with pytest.raises(RedisUnavailable, match=f"^{told}$") as caught:
                await server.run(clock, ping)
            assert caught.value.__suppress_context__
            clock.advance(1)
    assert caplog.messages == [told]
    assert "s3cret" not in caplog.text + repr(server) + str(vars(caught.value))


async def test_after_a_failure_the_server_is_left_alone_for_a_second(local_redis: LocalRedis) -> None:
    server, asked = RedisServer(local_redis.url), list[float]()
    local_redis.kill()
    with virtual_time() as clock:

        def command(client: Any) -> Any:
            asked.append(clock.monotonic())
            return client.ping()

        for _ in range(2):
            with pytest.raises(RedisUnavailable):
                await server.run(clock, command)
        clock.advance(0.9)
        with pytest.raises(RedisUnavailable, match="failed a moment ago and is left alone for a while"):
            await server.run(clock, command)
        assert asked == [0.0]
        local_redis.start()
        clock.advance(0.1)
        assert await server.run(clock, command)
        assert await server.run(clock, command)
        assert asked == [0.0, 1.0, 1.0]


async def test_a_server_that_stays_away_is_asked_less_and_less(local_redis: LocalRedis) -> None:
    server, asked = RedisServer(local_redis.url), list[float]()
    local_redis.kill()
    with virtual_time() as clock:

        def command(client: Any) -> Any:
            asked.append(clock.monotonic())
            return client.ping()

        while clock.monotonic() < 30:
            with pytest.raises(RedisUnavailable):
                await server.run(clock, command)
            clock.advance(0.5)
    assert asked == [0, 1, 3, 7, 15, 23]


async def test_commands_that_fail_together_are_one_failure(local_redis: LocalRedis) -> None:
    server = RedisServer(local_redis.url)
    local_redis.kill()

    async def ask() -> None:
        with pytest.raises(RedisUnavailable):
            await server.run(ASYNC, lambda client: client.ping())

    await asyncio.gather(*(ask() for _ in range(8)))
    assert server._pause.seconds == 1.0


async def test_when_it_dies_again_that_is_logged_again(
    local_redis: LocalRedis, caplog: pytest.LogCaptureFixture
) -> None:
    server = RedisServer(local_redis.url)
    with virtual_time() as clock:
        for _ in range(2):
            local_redis.kill()
            with pytest.raises(RedisUnavailable):
                await server.run(clock, ping)
            clock.advance(1)
            local_redis.start()
            assert await server.run(clock, ping)
    assert len(caplog.messages) == 2


async def test_a_connection_that_the_server_has_closed_meanwhile_is_opened_again(local_redis: LocalRedis) -> None:
    server = RedisServer(local_redis.url)
    assert await server.run(ASYNC, ping)
    local_redis.kill()
    local_redis.start()
    assert await server.run(ASYNC, ping)


async def test_a_command_without_an_answer_is_given_up_and_not_sent_again(mute: Mute) -> None:
    server = RedisServer(mute.url, timeout=0.1)
    with pytest.raises(RedisUnavailable, match="TimeoutError"):
        await server.run(ASYNC, lambda client: client.incr("sum"))
    assert mute.received.count(b"INCR") == 1


async def test_a_refused_command_does_not_stop_the_next_and_is_logged_once(
    redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    key = f"test-{uuid.uuid4().hex}"
    server = RedisServer(redis_url)
    await server.run(ASYNC, lambda client: client.set(key, "text", ex=60))
    for _ in range(2):
        with pytest.raises(RedisUnavailable, match="failed with ResponseError"):
            await server.run(ASYNC, lambda client: client.incr(key))
        assert await server.run(ASYNC, lambda client: client.get(key)) == b"text"
    assert [message.partition(" failed")[2] for message in caplog.messages] == [" with ResponseError"]


async def test_a_server_that_refuses_again_after_a_silence_has_answered(local_redis: LocalRedis) -> None:
    server = RedisServer(local_redis.url)
    local_redis.kill()
    with virtual_time() as clock:
        for _ in range(2):
            with pytest.raises(RedisUnavailable, match="ConnectionError"):
                await server.run(clock, ping)
            clock.advance(1 + server._pause.seconds)
        local_redis.start()
        with pytest.raises(RedisUnavailable, match="ResponseError"):
            await server.run(clock, lambda client: client.execute_command("NOSUCH"))
        local_redis.kill()
        with pytest.raises(RedisUnavailable, match="ConnectionError"):
            await server.run(clock, ping)
    assert server._pause.seconds == 1.0


@pytest.mark.parametrize(
    ("error", "pause"),
    [
        (redis.ConnectionError(), 1.0),
        (redis.AuthenticationError(), 1.0),
        (redis.BusyLoadingError(), 1.0),
        (redis.TimeoutError(), 1.0),
        (redis.exceptions.RedisClusterException(), 1.0),
        (ConnectionResetError(), 1.0),
        (redis.OutOfMemoryError(), 0.0),
        (redis.ReadOnlyError(), 0.0),
        (redis.exceptions.NoPermissionError(), 0.0),
        (redis.exceptions.ClusterDownError(""), 0.0),
        (redis.DataError(), 0.0),
    ],
    ids=lambda given: type(given).__name__ if isinstance(given, Exception) else str(given),
)
async def test_only_what_stops_every_command_is_waited_for(redis_url: str, error: Exception, pause: float) -> None:
    def fail(_: Any) -> None:
        raise error

    server = RedisServer(redis_url)
    with virtual_time() as clock, pytest.raises(RedisUnavailable, match=f"failed with {type(error).__name__}$"):
        await server.run(clock, fail)
    assert server._pause.seconds == pause


async def test_an_error_that_is_not_the_servers_is_raised_as_it_is(redis_url: str) -> None:
    server = RedisServer(redis_url)
    with pytest.raises(ZeroDivisionError):
        await server.run(ASYNC, lambda _: 1 // 0)
    assert await server.run(ASYNC, ping)


async def test_tasks_and_threads_share_a_server(redis_url: str) -> None:
    key = f"test-{uuid.uuid4().hex}"
    server = RedisServer(redis_url, timeout=10)

    def add(client: Any) -> Any:
        return client.pipeline().incr(key).expire(key, 60).execute()[0]

    found = await asyncio.gather(*(server.run(ASYNC, add) for _ in range(30)))
    with ThreadPoolExecutor(4) as threads:
        found += list(threads.map(lambda _: drive(server.run(SYNC, add)), range(30)))
    assert sorted(found) == list(range(1, 61))
