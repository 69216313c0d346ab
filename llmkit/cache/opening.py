"""A cache's store by its address, as a command line or a setting gives it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from llmkit.errors import CacheUnavailable

if TYPE_CHECKING:
    from llmkit.cache.store import CacheStore

_REDIS: Final = ("redis://", "rediss://", "unix://")
_FILES: Final = (".db", ".sqlite", ".sqlite3")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(//)?")


def open_store(url: str, *, create: bool = True) -> CacheStore:
    """The store at `url`: "cache.db" or "sqlite:cache.db" is a file, "redis://host:6379/0" a server.

    A file may also end in ".sqlite" or ".sqlite3", and have any name behind "sqlite:"; a server may be "rediss://" or
    "unix://". Without `create` a file that is not there is not made but a `CacheUnavailable`. Any other text is a
    ValueError, which does not repeat a password.
    """
    if url.startswith(_REDIS):
        from llmkit.cache.redis import RedisStore

        return RedisStore(url)
    path = _path(url)
    if not create and not os.path.exists(path):
        raise CacheUnavailable(f"there is no file {path}")
    from llmkit.cache.sqlite import SQLiteStore

    return SQLiteStore(path)


def _path(url: str) -> Path:
    if url.startswith("sqlite:") and not url.startswith("sqlite://"):
        return _at_home(url.removeprefix("sqlite:"))
    if "://" in url or not url.endswith(_FILES):
        raise ValueError(
            f"{_shown(url)!r} is no cache; write sqlite:cache.db, sqlite:/folder/cache.db, a file that ends in "
            f"{', '.join(_FILES)}, or redis://:password@host:6379/0"
        )
    return _at_home(url)


def _at_home(path: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ValueError(f"{path!r} begins with the home folder of a user who has none") from None


def _shown(url: str) -> str:
    """What may be printed of it: a URL may hold a password."""
    scheme = _SCHEME.match(url)
    if scheme is not None:
        return f"{scheme[0]}..."
    return "..." if "@" in url else url
