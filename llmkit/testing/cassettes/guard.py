"""Decides what is written to disk: no credential, and no half recording over a good one."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from llmkit.testing.cassettes.secrets import find_secrets

if TYPE_CHECKING:
    from collections.abc import Callable


class Recordings:
    """What a test has recorded so far: leaks found in it, and rewritten cassettes that wait for the test's end."""

    def __init__(self) -> None:
        self._leaks: list[str] = []
        self._rewritten: dict[Path, Callable[[], None] | None] = {}

    def leak(self, message: str) -> None:
        """Note a credential, which fails the test at its end."""
        self._leaks.append(message)

    def rewrite(self, path: Path, save: Callable[[], None] | None) -> None:
        """Replace the cassette at `path` if the test passes; without `save` nothing was recorded for it."""
        self._rewritten[path] = save

    def finish(self, *, passed: bool) -> list[str]:
        """Replace the cassettes of a test that passed, and return its leaks."""
        rewritten, leaks = self._rewritten, self._leaks
        self._rewritten, self._leaks = {}, []
        complete = passed and not leaks
        for path, save in rewritten.items():
            if save is None and complete:
                path.unlink(missing_ok=True)  # the test asks for nothing any more
            elif save is not None and (complete or not path.exists()):
                save()
        return leaks


class GuardedPersister:
    """pytest-recording's own persister, behind a look for credentials."""

    def __init__(self, persister: Any, *, root: Path, recordings: Recordings, rewrites: bool) -> None:
        self._persister = persister
        self._root = root
        self._recordings = recordings
        self._rewrites = rewrites

    def load_cassette(self, cassette_path: str, serializer: Any) -> Any:
        """Load a cassette and its extra ones; one that is rewritten counts as not there."""
        if self._rewrites:
            self._recordings.rewrite(Path(cassette_path), None)
            cassette_path = ""
        for path in map(Path, (cassette_path, *self._persister.extra_paths)):
            if path.is_file() and (leak := self._leak(path, path.read_text("utf-8"))):
                pytest.fail(leak, pytrace=False)
        return self._persister.load_cassette(cassette_path, serializer)

    def save_cassette(self, cassette_path: str, cassette_dict: Any, serializer: Any) -> None:
        """Save a cassette without credentials: at once, or at the end of the test when it is rewritten."""
        vcr_serialize: Any = importlib.import_module("vcr.serialize")  # vcrpy has no types
        text: str = vcr_serialize.serialize(cassette_dict, serializer)
        if leak := self._leak(Path(cassette_path), text):
            # Not raised while vcrpy saves: it would leave the transports patched.
            self._recordings.leak(f"{leak}\nNothing was written.")
            return

        def save() -> None:
            self._persister.save_cassette(cassette_path, cassette_dict, serializer)

        if self._rewrites:
            self._recordings.rewrite(Path(cassette_path), save)
        else:
            save()

    def _leak(self, path: Path, text: str) -> str | None:
        if not (found := find_secrets(text)):
            return None
        shown = path.relative_to(self._root) if path.is_relative_to(self._root) else path
        return "\n".join(
            (
                "A cassette holds what looks like a credential:",
                *(f"  {shown}:{finding.line}: {finding.kind}" for finding in found),
                "Scrub it with vcr_config (filter_headers, before_record_request, before_record_response),",
                "record again, and revoke the credential if the file was ever committed.",
            )
        )
