"""A rewritten cassette replaces the old one when its test passed, and only then."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from testing.cassettes.conftest import Project

ASK = """
@pytest.mark.vcr
def test_it(recording_base_url):
    httpx2.post(recording_base_url + "/chat", json={"ask": "PROMPT"})
"""
REWRITE = "--record-mode=rewrite"


@pytest.fixture
def old(project: Project, api: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cassette that was recorded when all was well."""
    monkeypatch.setenv("LLMKIT_RECORD_BASE_URL", api)
    project.write(ASK.replace("PROMPT", "old")).run(REWRITE).assert_outcomes(passed=1)
    return project.cassette("test_it")


def test_a_test_that_passes_replaces_its_cassette(project: Project, old: Path) -> None:
    project.write(ASK.replace("PROMPT", "new")).run(REWRITE).assert_outcomes(passed=1)
    assert "new" in old.read_text()
    assert '"old"' not in old.read_text()
    project.run().assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("ending", "outcomes"),
    [
        ("assert False", {"failed": 1}),
        ("pytest.skip()", {"skipped": 1}),
        ("pytest.xfail()", {"xfailed": 1}),
    ],
)
def test_a_test_that_does_not_pass_keeps_its_old_cassette(
    project: Project, old: Path, ending: str, outcomes: dict[str, int]
) -> None:
    before = old.read_bytes()
    project.write(f"{ASK.replace('PROMPT', 'new')}    {ending}\n").run(REWRITE).assert_outcomes(**outcomes)
    assert old.read_bytes() == before


def test_a_fixture_that_fails_keeps_the_old_cassette(project: Project, old: Path) -> None:
    before = old.read_bytes()
    setup = "@pytest.fixture(autouse=True)\ndef broken(vcr):\n    assert False\n"
    project.write(setup + ASK).run(REWRITE).assert_outcomes(errors=1)
    assert old.read_bytes() == before
    teardown = "@pytest.fixture(autouse=True)\ndef broken():\n    yield\n    assert False\n"
    project.write(teardown + ASK.replace("PROMPT", "new")).run(REWRITE).assert_outcomes(passed=1, errors=1)
    assert old.read_bytes() == before


def test_an_interrupted_run_keeps_the_old_cassette(project: Project, old: Path) -> None:
    before = old.read_bytes()
    result = project.write(f"{ASK.replace('PROMPT', 'new')}    pytest.exit('stop')\n").run(REWRITE)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert old.read_bytes() == before


def test_a_credential_keeps_the_old_cassette(project: Project, old: Path) -> None:
    before = old.read_bytes()
    result = project.write(ASK.replace("PROMPT", "leak")).run(REWRITE)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["Nothing was written."])
    assert old.read_bytes() == before


def test_a_credential_is_told_of_beside_an_error_of_a_fixture(project: Project, old: Path) -> None:
    before = old.read_bytes()
    after = "def test_next(): pass\n"
    fixture = (
        "@pytest.fixture(autouse=True)\ndef broken(request):\n    yield\n    assert request.node.name != 'test_it'\n"
    )
    result = project.write(fixture + ASK.replace("PROMPT", "leak") + after).run(REWRITE)
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*Nothing was written."])
    assert project.CANARY not in result.stdout.str()
    assert old.read_bytes() == before


def test_a_test_that_asks_nothing_any_more_loses_its_cassette(project: Project, old: Path) -> None:
    project.write("@pytest.mark.vcr\ndef test_it(): assert False").run(REWRITE).assert_outcomes(failed=1)
    assert old.exists()
    project.write("@pytest.mark.vcr\ndef test_it(): pass").run(REWRITE).assert_outcomes(passed=1)
    assert not old.exists()


def test_a_first_recording_is_written_even_when_its_test_fails(project: Project, old: Path) -> None:
    old.unlink()
    project.write(ASK + "    assert False\n").run(REWRITE).assert_outcomes(failed=1)
    assert "PROMPT" in old.read_text()


def test_other_modes_add_to_a_cassette_whatever_becomes_of_the_test(project: Project, old: Path) -> None:
    failing = ASK.replace("PROMPT", "new") + "    assert False\n"
    project.write(failing).run("--record-mode=new_episodes").assert_outcomes(failed=1)
    assert '"old"' in old.read_text()
    assert '"new"' in old.read_text()


def test_extra_cassettes_still_play_while_one_is_rewritten(project: Project, old: Path) -> None:
    old.rename(old.with_name("extra.yaml"))
    extra = ASK.replace("PROMPT", "old").replace("mark.vcr", "mark.vcr('extra.yaml')")
    project.write(
        extra.replace("(recording_base_url)", "(recording_base_url, vcr)") + "    assert vcr.play_count == 1\n"
    )
    project.run(REWRITE).assert_outcomes(passed=1)


def test_a_mark_that_records_is_refused_before_it_can_delete(project: Project, old: Path) -> None:
    before = old.read_bytes()
    result = project.write(ASK.replace("mark.vcr", "mark.vcr(record_mode='rewrite')")).run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["record with --record-mode: *"])
    assert old.read_bytes() == before


def test_a_mark_can_keep_a_cassette_from_being_rewritten(project: Project, old: Path) -> None:
    before = old.read_bytes()
    marked = ASK.replace("PROMPT", "old").replace("mark.vcr", "mark.vcr(record_mode='none')")
    project.write(marked).run(REWRITE).assert_outcomes(passed=1)
    assert old.read_bytes() == before
