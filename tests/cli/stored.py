"""A cache file to look into, and how tests call the command line."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import llmkit
from llmkit.cache.entry import Entry
from llmkit.cache.sqlite import SQLiteStore

ROOT = Path(llmkit.__file__).parent.parent
NOW = time.time()
HOUR = 3_600


def chat(text: str) -> bytes:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    return json.dumps({"object": "chat.completion", "choices": [choice]}).encode()


def entry(digest: str, **facts: Any) -> Entry:
    given: dict[str, Any] = {
        "operation": "chat.completions",
        "model": "gpt-4o",
        "body": chat("Paris."),
        "created_at": NOW - 2 * HOUR,
        "expires_at": NOW + 3.5 * HOUR,
        "input_tokens": 1_200,
        "output_tokens": 34,
        "cost": Decimal("0.00334"),
    }
    given |= facts
    return Entry(key=f"{given['operation']}:{given['model']}:{digest}", **given)


def filled(path: Path, *entries: Entry, **counts: int) -> str:
    """A cache file with these entries and counters; its path."""
    store = SQLiteStore(path)
    for one in entries:
        store.put(one, now=NOW)
    if counts:
        store.add(counts)
    store.close()
    return str(path)


def digests(path: str) -> list[str]:
    """The ends of the keys that are there, oldest first."""
    store = SQLiteStore(path)
    found = [one.key.rpartition(":")[2] for one in store.entries(now=NOW)]
    store.close()
    return found


def environment(**more: str) -> dict[str, str]:
    """That of a process without a cache and a key of its own, on 80 columns, without colours."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "SYSTEMROOT") if name in os.environ}
    return {**kept, "PYTHONPATH": str(ROOT), "COLUMNS": "80", **more}


def llmkit_process(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-B", "-m", "llmkit", *arguments],
        capture_output=True,
        text=True,
        env=environment(**more),
        stdin=subprocess.DEVNULL,
        check=False,
    )


def read(screen: int) -> str:
    """What is shown next; "" at the end, or when nothing is shown for a minute."""
    if not select.select([screen], [], [], 60)[0]:
        return ""
    try:
        return os.read(screen, 4_096).decode(errors="replace")
    except OSError:  # the process has ended
        return ""
