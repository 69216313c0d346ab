"""A line of JSON for every call of the API: who asked for what, and what came of it; never what was said."""

from __future__ import annotations

import io
import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final, TextIO, cast
from urllib.parse import urlsplit

from llmkit.record import CallRecord
from llmkit.sqlite_file import is_address
from llmkit.usage import prices
from llmkit.usage.rows import as_json
from llmkit.usage.writer import Writer

_KNOWN: Final = (
    "model",
    "sent_model",
    "response_model",
    "key",
    "status_code",
    "error",
    "error_code",
    "request_id",
    "latency",
    "time_to_first_token",
    "attempts",
    "cache",
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "cached_tokens",
    "reasoning_tokens",
)
"""Fields of the record that are in the line when they are known."""
_FLAGS: Final = ("stream", "estimated", "fallback")
"""Those that are in it when they are true."""
_known: Final = attrgetter(*_KNOWN)


class AccessLog:
    """Appends a line of JSON for each call to a file, or to a stream such as `sys.stdout`.

    Also for calls that failed, were refused, cancelled or answered from a cache. Several processes may share the file,
    which is made for its owner alone; one that was rotated away is made anew. No call waits for the disk, and what
    cannot be written yet waits for it.

    `time` is when the call began, in UTC, and `outcome` is "ok", "cached", "cut" (not whole), "cancelled", "refused"
    (never sent) or "failed". `host` is the server asked, `key` the last four characters of the key, with a `KeyRing`
    only. The other names are those of `CallRecord`; what is unknown is left out. Latencies are seconds, `cost` US
    dollars.
    """

    def __init__(self, target: str | os.PathLike[str] | TextIO) -> None:
        prices.load_if_installed()
        if isinstance(target, str | os.PathLike):
            if is_address(target):  # which may hold a password
                raise ValueError("target is the address of a server; give the path of a file, or a stream of text")
            self._path = os.path.abspath(target)
            folder = os.path.dirname(self._path)
            if not os.path.isdir(folder) or os.path.isdir(self._path):
                raise ValueError(f"{self._path!r} cannot be a file; give a name in a folder that is there")
            self._target: object = self._path
            self._writer: Writer[str] = Writer(self._append, name=f"the access log {self._path}")
        elif callable(getattr(cast("object", target), "write", None)):
            self._stream = self._target = target
            self._writer = Writer(self._print, name="the access log")
        else:
            kind = type(target).__qualname__
            raise TypeError(f"target={target!r} is of type {kind}; give a path or a stream of text")

    def __repr__(self) -> str:
        return f"AccessLog({self._target!r})"

    def __call__(self, record: CallRecord) -> None:
        """Log the finished call."""
        self._writer.put(line(record))

    def flush(self, timeout: float | None = 5.0) -> bool:
        """Write what waits; whether that has worked within `timeout` seconds."""
        return self._writer.flush(timeout)

    def close(self) -> None:
        """Write what waits."""
        self._writer.close()

    def _append(self, lines: list[str]) -> None:
        # Opened each time, so that what rotates files needs no signal; appended at once, so that no line is torn.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
        file = os.open(self._path, flags, 0o600)
        try:
            _write_whole(file, "".join(lines).encode())
        finally:
            os.close(file)

    def _print(self, lines: list[str]) -> None:
        binary = getattr(self._stream, "buffer", None)
        self._stream.flush()
        if isinstance(getattr(binary, "raw", binary), io.FileIO):  # its buffers would keep a part of what has failed
            _write_whole(self._stream.fileno(), "".join(lines).encode())
            return
        self._stream.write("".join(lines))
        self._stream.flush()


def line(record: CallRecord) -> str:
    """The line of a finished call, with its end."""
    event: dict[str, Any] = {
        "time": _time(record.started_at),
        "outcome": record.outcome,
        "operation": record.operation,
    }
    if host := _host(record.sent_to or record.base_url):
        event["host"] = host
    for name, value in zip(_KNOWN, _known(record), strict=True):
        if value is not None:
            event[name] = round(value, 6) if isinstance(value, float) else value
    if record.tags:
        event["tags"] = record.tags
    if record.cost is not None:
        event["cost"] = float(record.cost)
    event.update({name: True for name in _FLAGS if getattr(record, name)})
    return as_json(event) + "\n"


def _time(seconds: float) -> str | None:
    with suppress(ValueError, OverflowError, OSError):  # no clock says such a thing, a record made by hand might
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return None


@lru_cache(maxsize=100)
def _host(base_url: str) -> str:
    return urlsplit(base_url).netloc.rpartition("@")[2]


def _write_whole(file: int, data: bytes) -> None:
    """Append all of it or nothing: the part that a full disk has taken is cut off again."""
    with _alone(file):
        end, left = os.fstat(file).st_size, memoryview(data)
        try:
            while left:
                left = left[os.write(file, left) :]
        except OSError:
            with suppress(OSError):  # a pipe takes nothing back
                os.ftruncate(file, end)
                os.lseek(file, len(left) - len(data), os.SEEK_CUR)
            raise


@contextmanager
def _alone(file: int) -> Generator[None, None, None]:
    """Keep the file's other writers out."""
    _lock(file, "LOCK_EX")
    try:
        yield
    finally:
        _lock(file, "LOCK_UN")  # closing it is not enough when a fork has it open, too


def _lock(file: int, kind: str) -> None:
    with suppress(ImportError, OSError):  # Windows has no such locks, and some disks of networks
        import fcntl

        fcntl.flock(file, getattr(fcntl, kind))
