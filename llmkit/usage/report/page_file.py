"""A page in a file."""

from __future__ import annotations

import os
from pathlib import Path


def write_page(path: str | os.PathLike[str], html: str) -> None:
    """Put a page at `path`, for its owner alone to read.

    Whoever opens it sees the old one or the new one, never a part. Raises `OSError`.
    """
    target = Path(path).resolve()  # a link stays one
    beside = target.with_name(f".llmkit-{os.getpid()}-{target.name}"[:255])
    try:
        beside.unlink(missing_ok=True)  # that of a process that was killed
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(html)
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)
