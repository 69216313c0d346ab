"""A pytest plugin that records conversations with an LLM once and replays them without a network.

Put `pytest_plugins = ["llmkit.testing.cassettes"]` in the top `conftest.py` and mark a test with
`@pytest.mark.vcr`. Every test then runs offline (loopback excepted); `pytest --record-mode=rewrite`
records. A request replays only for the same method, path, query and body; no credential is kept, and
the run fails when one is found; streams arrive in chunks cut at arbitrary bytes.
"""

from __future__ import annotations

import importlib
import logging
import os
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from llmkit.testing._cassette_bodies import json_body, scrub_request, scrub_response
from llmkit.testing._cassette_replay import network_like
from llmkit.testing._cassette_secrets import find_secrets

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

OPENAI_URL = "https://api.openai.com/v1"
FAKE_KEY = "sk-fake"
LOOPBACK = [r"127(\.\d+){3}$", r"localhost$", r"::1$", r"/"]  # the last is a Unix socket

_leaks = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Block the network for every test, and refuse to record in CI."""
    if not config.pluginmanager.has_plugin("recording"):
        raise pytest.UsageError("llmkit.testing.cassettes needs pytest-recording: pip install 'llmkit[testing]'")
    in_ci = os.environ.get("CI", "").lower() not in ("", "0", "false")
    if in_ci and config.getoption("--record-mode") not in (None, "none"):
        raise pytest.UsageError(
            "--record-mode is refused while CI is set: record on your machine and commit the cassettes"
        )
    config.option.block_network = True
    config.stash[_leaks] = []
    # vcrpy logs each response before it is scrubbed; pytest would show that under a failed test.
    logging.getLogger("vcr").setLevel(logging.WARNING)


@pytest.hookimpl(optionalhook=True)  # unknown without pytest-recording, which `pytest_configure` explains
def pytest_recording_configure(config: pytest.Config, vcr: Any) -> None:
    """Teach each VCR to compare bodies and to look for credentials."""
    vcr.register_matcher(json_body.__name__, json_body)
    vcr.register_persister(_GuardedPersister(vcr.persister, config))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    """Fail the test whose recording held a credential."""
    yield
    # Not raised while vcrpy saves: it would leave the transports patched.
    if leaks := item.config.stash[_leaks]:
        message = "\n".join(leaks)
        leaks.clear()
        pytest.fail(message, pytrace=False)


@pytest.fixture(scope="session")
def vcr_config() -> dict[str, Any]:
    """Extend with `{**vcr_config, ...}` in a fixture of the same name that takes it as argument."""
    return {
        "match_on": ["method", "path", "query", json_body.__name__],
        "before_record_request": scrub_request,
        "before_record_response": scrub_response,
        "filter_query_parameters": ["api-key", "api_key"],
        "decode_compressed_response": True,
    }


@pytest.fixture(scope="module")
def vcr_cassette_dir(request: pytest.FixtureRequest) -> str:
    """Where a module's cassettes are: `cassettes/<test module>` in pytest's root directory."""
    return str(request.config.rootpath / "cassettes" / request.path.stem)


@pytest.fixture
def allowed_hosts(allowed_hosts: list[str] | None) -> list[str]:
    """Hosts a test may reach while offline: this machine, unless `--allowed-hosts` or a mark says more."""
    return [*LOOPBACK, *(allowed_hosts or ())]


@pytest.fixture
def recut_sizes(request: pytest.FixtureRequest) -> Sequence[int] | None:
    """Sizes in bytes of a replayed stream's chunks, repeated; the same in every run. None turns it off."""
    chance = random.Random(request.node.nodeid)  # noqa: S311 - variety, not secrecy
    return [chance.choice((1, 2, 3, 7, 37, 200)) for _ in range(16)]


@pytest.fixture(scope="session")
def recording_base_url(record_mode: str) -> str:
    """`base_url` for a client under test: LLMKIT_RECORD_BASE_URL while recording, else OpenAI's."""
    return (record_mode != "none" and os.environ.get("LLMKIT_RECORD_BASE_URL")) or OPENAI_URL


@pytest.fixture(scope="session")
def recording_api_key(record_mode: str) -> str:
    """`api_key` for a client under test: OPENAI_API_KEY while recording, else one that opens nothing."""
    return (record_mode != "none" and os.environ.get("OPENAI_API_KEY")) or FAKE_KEY


@pytest.fixture(autouse=True)
def replayed_transports(request: pytest.FixtureRequest, vcr: Any, record_mode: str) -> Iterator[None]:
    """Put chunks and clear failures on top of what vcrpy patched; nothing to do in a test without vcr."""
    if vcr is None:
        yield
        return
    if record_mode == "none" and vcr.record_mode.value != "none":
        pytest.fail("record with --record-mode: a record_mode in a mark or in vcr_config is refused", pytrace=False)
    sizes: Sequence[int] | None = request.getfixturevalue("recut_sizes")
    with network_like(sizes, request.node.nodeid):
        yield


class _GuardedPersister:
    """pytest-recording's own persister, behind a look for credentials."""

    def __init__(self, persister: Any, config: pytest.Config) -> None:
        self._persister = persister
        self._config = config

    def load_cassette(self, cassette_path: str, serializer: Any) -> Any:
        for path in map(Path, (cassette_path, *self._persister.extra_paths)):
            if path.is_file() and (leak := self._leak(path, path.read_text("utf-8"))):
                pytest.fail(leak, pytrace=False)
        return self._persister.load_cassette(cassette_path, serializer)

    def save_cassette(self, cassette_path: str, cassette_dict: Any, serializer: Any) -> None:
        vcr_serialize: Any = importlib.import_module("vcr.serialize")  # vcrpy has no types
        text: str = vcr_serialize.serialize(cassette_dict, serializer)
        if leak := self._leak(Path(cassette_path), text):
            self._config.stash[_leaks].append(f"{leak}\nNothing was written.")
            return
        self._persister.save_cassette(cassette_path, cassette_dict, serializer)

    def _leak(self, path: Path, text: str) -> str | None:
        if not (found := find_secrets(text)):
            return None
        shown = path.relative_to(self._config.rootpath) if path.is_relative_to(self._config.rootpath) else path
        return "\n".join(
            (
                "A cassette holds what looks like a credential:",
                *(f"  {shown}:{finding.line}: {finding.kind}" for finding in found),
                "Scrub it with vcr_config (filter_headers, before_record_request, before_record_response),",
                "record again, and revoke the credential if the file was ever committed.",
            )
        )
