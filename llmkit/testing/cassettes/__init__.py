"""A pytest plugin that records conversations with an LLM once and replays them without a network.

Put `pytest_plugins = ["llmkit.testing.cassettes"]` in the top `conftest.py` and mark a test with
`@pytest.mark.vcr`. Every test then runs offline (loopback excepted); `pytest --record-mode=rewrite`
records, and replaces a cassette only when its test passed. A request replays only for the same method,
path, query and body; no credential is kept, and the run fails when one is found; streams arrive in chunks
cut at arbitrary bytes.
"""

from __future__ import annotations

import logging
import os
import random
from typing import TYPE_CHECKING, Any

import pytest

from llmkit.testing.cassettes.bodies import json_body, scrub_request, scrub_response
from llmkit.testing.cassettes.folders import cassette_folder
from llmkit.testing.cassettes.guard import GuardedPersister, Recordings
from llmkit.testing.cassettes.replay import network_like

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

OPENAI_URL = "https://api.openai.com/v1"
FAKE_KEY = "sk-fake"
LOOPBACK = [r"127(\.\d+){3}$", r"localhost$", r"::1$", r"/"]  # the last is a Unix socket

_recordings = pytest.StashKey[Recordings]()
_passed = pytest.StashKey[bool]()


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
    config.stash[_recordings] = Recordings()
    # vcrpy logs each response before it is scrubbed; pytest would show that under a failed test.
    logging.getLogger("vcr").setLevel(logging.WARNING)


@pytest.hookimpl(optionalhook=True)  # unknown without pytest-recording, which `pytest_configure` explains
def pytest_recording_configure(config: pytest.Config, vcr: Any) -> None:
    """Teach each VCR to compare bodies and to look for credentials."""
    vcr.register_matcher(json_body.__name__, json_body)
    rewrites = config.getoption("--record-mode") == "rewrite" and vcr.record_mode != "none"
    recordings = config.stash[_recordings]
    vcr.register_persister(
        GuardedPersister(vcr.persister, root=config.rootpath, recordings=recordings, rewrites=rewrites)
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember whether the test itself passed."""
    report = yield
    item.stash[_passed] = report.when == "call" and report.passed
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    """Replace the cassette of a test that passed, and fail the test whose recording held a credential."""
    recordings = item.config.stash[_recordings]
    try:
        yield
    except BaseException as error:
        for leak in recordings.finish(passed=False):
            error.add_note(leak)
        raise
    if leaks := recordings.finish(passed=item.stash.get(_passed, False)):
        pytest.fail("\n".join(leaks), pytrace=False)


@pytest.fixture(scope="session")
def record_mode(record_mode: str) -> str:
    """How cassettes are opened; to rewrite is to add to none, because pytest-recording would delete the old one."""
    return "new_episodes" if record_mode == "rewrite" else record_mode


@pytest.fixture
def vcr_markers(request: pytest.FixtureRequest, vcr_markers: list[pytest.Mark]) -> list[pytest.Mark]:
    """The `vcr` marks of a test, none of which may turn recording on."""
    if vcr_markers:
        settings = [request.getfixturevalue("vcr_config"), *(mark.kwargs for mark in vcr_markers)]
        if any(each.get("record_mode", "none") != "none" for each in settings):
            pytest.fail("record with --record-mode: a record_mode in a mark or in vcr_config is refused", pytrace=False)
    return vcr_markers


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
    """Where a module's cassettes are: `tests/a/test_x.py` has `cassettes/a/test_x`, if `tests` is in `testpaths`."""
    config = request.config
    return str(cassette_folder(request.path, root=config.rootpath, testpaths=config.getini("testpaths")))


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
def replayed_transports(request: pytest.FixtureRequest, vcr: Any) -> Iterator[None]:
    """Put chunks and clear failures on top of what vcrpy patched; nothing to do in a test without vcr."""
    if vcr is None:
        yield
        return
    sizes: Sequence[int] | None = request.getfixturevalue("recut_sizes")
    with network_like(sizes, request.node.nodeid):
        yield
