from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

import pytest

from llmkit.errors import LedgerUnavailable, LLMKitError
from llmkit.testing import VirtualClock
from llmkit.usage.report.serve import PageServer, serve

PROGRAM = """
import sys
from llmkit.usage.report.serve import serve
serve(lambda: "<p>hello", port=0)
print("ended")
"""


@contextmanager
def serving(
    make_page: Callable[[], str], *, host: str = "127.0.0.1", clock: Callable[[], float] = lambda: 0.0
) -> Generator[PageServer]:
    with PageServer(make_page, host=host, port=0, clock=clock) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def visit(
    server: PageServer, path: str = "/", *, method: str = "GET", host: str | None = None
) -> tuple[int, dict[str, str], str]:
    connection = http.client.HTTPConnection(str(server.server_address[0]), server.server_port, timeout=10)
    connection.request(method, path, headers={"Host": f"localhost:{server.server_port}" if host is None else host})
    answer = connection.getresponse()
    found = answer.status, dict(answer.getheaders()), answer.read().decode()
    connection.close()
    return found


def test_a_page_that_is_made_at_once_is_made_anew_for_each_visit() -> None:
    numbers = iter("12")
    with serving(lambda: f"<p>{next(numbers)} \N{SNOWMAN}") as server:
        assert visit(server)[::2] == (200, "<p>1 \N{SNOWMAN}")
        assert visit(server)[::2] == (200, "<p>2 \N{SNOWMAN}")


def test_a_page_that_takes_long_is_kept_for_nine_times_as_long() -> None:
    clock, made = VirtualClock(start=1000.0), iter("12345")

    def make_page() -> str:
        clock.advance(7.0)
        return f"<p>{next(made)}"

    def seen(seconds: float) -> str:
        clock.advance(seconds)
        return visit(server)[2]

    with serving(make_page, clock=clock.monotonic) as server:
        assert [seen(after) for after in (0.0, 0.0, 31.5, 31.0, 0.5, 62.5, 3600.0)] == [
            *("<p>1", "<p>1", "<p>1", "<p>1"),  # at 62.5 seconds, of 63
            *("<p>2", "<p>2"),
            "<p>3",
        ]


def test_nothing_is_kept_and_nobody_frames_it() -> None:
    with serving(lambda: "<p>") as server:
        headers = visit(server)[1]
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Content-Security-Policy"] == "frame-ancestors 'none'"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Server"].strip() == "llmkit"


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [("/favicon.ico", "GET", 404), ("/?x=1", "GET", 404), ("/../etc/passwd", "GET", 404), ("/", "POST", 501)],
)
def test_there_is_one_page_and_it_is_only_read(path: str, method: str, status: int) -> None:
    with serving(lambda: "<p>secret") as server:
        found = visit(server, path, method=method)
    assert found[0] == status
    assert "secret" not in found[2]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "", "127.0.0.1:1", "localhost.:{port}"])
def test_a_site_whose_name_points_here_gets_nothing(host: str) -> None:
    made: list[str] = []
    with serving(lambda: made.append("") or "<p>secret") as server:  # type: ignore[func-returns-value]
        assert visit(server, host=host.format(port=server.server_port))[0] == 421
    assert made == []


def test_every_name_of_this_machine_is_served() -> None:
    with serving(lambda: "<p>") as server:
        for name in ("localhost", "127.0.0.1"):
            assert visit(server, host=f"{name}:{server.server_port}")[0] == 200
            assert visit(server, host=name)[0] == 200  # as with port 80


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="needs IPv6")
def test_ipv6_has_brackets() -> None:
    with serving(lambda: "<p>", host="::1") as server:
        assert server.url == f"http://[::1]:{server.server_port}/"
        assert visit(server, host=f"[::1]:{server.server_port}")[0] == 200


def test_a_page_that_cannot_be_made_does_not_end_the_server(caplog: pytest.LogCaptureFixture) -> None:
    pages = iter([LedgerUnavailable("usage.db is locked"), ValueError("my secret"), "<p>again"])

    def make_page() -> str:
        if isinstance(page := next(pages), Exception):
            raise page
        return page

    with serving(make_page) as server:
        status, _, text = visit(server)
        assert (status, text) == (500, "The page could not be made; the terminal says why.\n")
        assert visit(server)[0] == 500
        assert visit(server)[::2] == (200, "<p>again")
    assert caplog.messages == [
        "the page could not be made: usage.db is locked",
        "the page could not be made: ValueError",
    ]


def test_a_visitor_who_says_nothing_or_hangs_up_keeps_nobody_waiting(capfd: pytest.CaptureFixture[str]) -> None:
    with serving(lambda: "<p>") as server:
        address = ("127.0.0.1", server.server_port)
        with socket.create_connection(address), socket.create_connection(address) as other:
            other.sendall(b"GET / HT")
            assert visit(server)[0] == 200
            other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset, which is an error
        assert visit(server)[0] == 200
    assert capfd.readouterr() == ("", "")


def test_pages_are_made_one_at_a_time() -> None:
    inside, most = 0, 0
    both = threading.Barrier(2)

    def make_page() -> str:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        time.sleep(0.001)  # another thread would come in here
        inside -= 1
        return "<p>"

    with serving(make_page) as server:

        def come() -> None:
            both.wait()
            for _ in range(20):
                assert visit(server)[0] == 200

        threads = [threading.Thread(target=come) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert most == 1


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(LLMKitError, match=rf"cannot listen on 127\.0\.0\.1:{port}: Address already in use; give"):
            serve(lambda: "", port=port)


def test_a_port_that_cannot_be_is_named() -> None:
    with pytest.raises(LLMKitError, match="cannot listen on localhost:70000: there is no such port"):
        serve(lambda: "", host="localhost", port=70_000)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.4", "::"])
def test_only_this_machine_is_served(host: str) -> None:
    with pytest.raises(ValueError, match=f"host='{host}' can be reached from elsewhere"):
        serve(lambda: "", host=host, port=0)


def test_a_host_is_an_address() -> None:
    with pytest.raises(ValueError, match=r"'example\.org' does not appear to be an IPv4 or IPv6 address"):
        serve(lambda: "", host="example.org", port=0)


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
def test_ctrl_c_ends_it_without_a_traceback() -> None:
    command = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        assert program.stderr is not None
        said = program.stderr.readline()
        found = re.fullmatch(r"The page is at http://127\.0\.0\.1:(\d+)/ until Ctrl-C\.\n", said)
        assert found is not None, said
        with socket.create_connection(("127.0.0.1", int(found[1]))):  # a visitor that stays keeps nobody
            program.send_signal(signal.SIGINT)
            out, errors = program.communicate(timeout=30)
    assert (out, errors, program.returncode) == ("ended\n", "\n", 0)


def test_ctrl_c_is_an_end_like_any_other(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(self: PageServer) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(PageServer, "serve_forever", interrupted)
    serve(lambda: "", port=0)
    assert re.fullmatch(r"The page is at http://127\.0\.0\.1:\d+/ until Ctrl-C\.\n\n", capsys.readouterr().err)
