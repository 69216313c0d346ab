"""A page in a file."""

from __future__ import annotations

import os
from pathlib import Path


def write_page(path: str | os.PathLike[str], html: str) -> None:
    """Put a page at `path`; whoever opens it sees the old one or the new one, never a part. Raises `OSError`."""
    target = Path(path).resolve()  # a link stays one
    beside = target.with_name(f".llmkit-{os.getpid()}-{target.name}"[:255])
    try:
        beside.write_text(html, encoding="utf-8")
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)
