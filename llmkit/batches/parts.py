"""The batch files of a job: written beside its state, split where one model, size or number ends."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from llmkit.batches.lines import Line, line_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The API's, of one batch: https://platform.openai.com/docs/guides/batch."""

    requests: int = 50_000
    bytes: int = 200_000_000
    inputs: int = 50_000
    """Texts to embed."""


OPENAIS: Final = Limits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One batch file."""

    path: Path
    indexes: list[int] = field(repr=False)
    """Of the request on each line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """All files of a job."""

    files: list[Part]
    requests: int
    fingerprint: str
    """Of the endpoint and every line: only the same requests in the same order have it."""


class _OpenPart:
    """A file that is being written, under another name until it is whole."""

    def __init__(self, path: Path) -> None:
        self.part = Part(path=path, indexes=[])
        self._draft = path.with_name(f"{path.name}.tmp")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        self._file: BinaryIO = os.fdopen(os.open(self._draft, flags, 0o600), "wb")  # prompts: for the owner only
        self._bytes = self._inputs = 0

    def takes(self, line: Line, limits: Limits) -> bool:
        return (
            len(self.part.indexes) < limits.requests
            and self._bytes + len(line.content) <= limits.bytes
            and self._inputs + line.inputs <= limits.inputs
        )

    def add(self, line: Line) -> None:
        self._file.write(line.content)
        self.part.indexes.append(line.index)
        self._bytes += len(line.content)
        self._inputs += line.inputs

    def finish(self) -> None:
        self._file.close()
        self._draft.replace(self.part.path)

    def discard(self) -> None:
        self._file.close()
        for path in (self._draft, self.part.path):
            with suppress(FileNotFoundError):
                path.unlink()


def write_parts(requests: Iterable[object], *, endpoint: str, state: Path, limits: Limits = OPENAIS) -> Parts:
    """Check all requests and write them to `STATE.part-0.jsonl` and so on; nothing is left when one is refused."""
    files: list[_OpenPart] = []
    latest: dict[str, _OpenPart] = {}  # of each model: a batch has one
    digest, count = hashlib.sha256(f"{endpoint} {limits}".encode()), 0  # other limits make other files
    try:
        for count, request in enumerate(requests, 1):
            line = _checked(line_of(count - 1, request, endpoint=endpoint), limits)
            if line.model not in latest or not latest[line.model].takes(line, limits):
                latest[line.model] = _OpenPart(state.with_name(f"{state.name}.part-{len(files)}.jsonl"))
                files.append(latest[line.model])
            latest[line.model].add(line)
            digest.update(line.content)
        for file in files:
            file.finish()
    except BaseException:
        for file in files:
            file.discard()
        raise
    return Parts(files=[file.part for file in files], requests=count, fingerprint=digest.hexdigest())


def _checked(line: Line, limits: Limits) -> Line:
    if len(line.content) > limits.bytes or line.inputs > limits.inputs:
        size = f"{len(line.content)} bytes and {line.inputs} inputs"
        raise ValueError(f"requests[{line.index}] is larger than a batch may be: {size}; split it")
    return line
