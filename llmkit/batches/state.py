"""What a batch job must not forget: a small JSON file without any prompt, written before and after each step."""

from __future__ import annotations

import dataclasses
import json
import os
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

VERSION = 1


@dataclass(kw_only=True)
class PartState:
    """How far one batch file has come."""

    file_id: str | None = None
    asked: bool = False
    """The batch may exist: the request that creates it has been sent."""
    batch_id: str | None = None


@dataclass(kw_only=True)
class JobState:
    """How far a job has come."""

    version: int = VERSION
    job: str = field(default_factory=lambda: uuid.uuid4().hex)
    """In the metadata of its batches, by which they are found again."""
    fingerprint: str
    endpoint: str
    requests: int
    parts: list[PartState]

    def tag(self, number: int) -> str:
        """The name of one of its batches in the metadata."""
        return f"{self.job}-{number}"


def load_state(path: Path) -> JobState | None:
    """The job that `path` tells of, None when there is no such file; a ValueError when it is another kind of file."""
    try:
        found = json.loads(path.read_text())
        if found["version"] != VERSION:
            raise ValueError
        return JobState(**found | {"parts": [PartState(**part) for part in found["parts"]]})
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError):
        raise ValueError(f"state={str(path)!r} is not the state of a batch job; give another path") from None


def check_same_job(state: JobState, asked: JobState, path: Path) -> None:
    """Raise a ValueError when `state` is that of other requests than those `asked` for."""
    if state.fingerprint != asked.fingerprint:
        raise ValueError(
            f"state={str(path)!r} belongs to another job ({state.requests} requests to {state.endpoint}); "
            "give another path, or delete the file if you no longer want that job's results"
        )


def save_state(path: Path, state: JobState) -> None:
    """Replace the file in one step, so that a crash leaves the old or the new one."""
    draft = path.with_name(f"{path.name}.tmp")
    with draft.open("w") as file:
        json.dump(dataclasses.asdict(state), file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    with suppress(OSError):  # Windows opens no folders
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
