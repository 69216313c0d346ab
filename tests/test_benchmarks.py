"""Every benchmark runs and checks what it gets; how fast it was is not asked here."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

PROJECT = Path(__file__).parent.parent
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peak memory is read from Linux's /proc")


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    script = PROJECT / "benchmarks" / "run.py"
    return subprocess.run([sys.executable, script, *arguments], capture_output=True, text=True, timeout=300)


@pytest.fixture
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(PROJECT / "benchmarks"))
    import benchmark

    return benchmark


def test_every_benchmark_runs_and_its_lines_are_written_to_the_tables(tmp_path: Path) -> None:
    document = tmp_path / "performance.md"
    document.write_text((PROJECT / "docs" / "performance.md").read_text())
    done = run("--rounds", "1", "--factor", "0.002", "--scale", "--write", document)
    assert done.returncode == 0, done.stdout + done.stderr
    printed = [line for line in done.stdout.splitlines() if line.startswith("| ")]
    written = document.read_text()
    assert len(printed) >= 30
    assert all(
        re.fullmatch(r"\| .+ \| (less|more) \| .+ \| .+ \| (\*\*.+\*\* \[.+-.+\]|-) \|", line) for line in printed[1:]
    )
    assert all(line in written for line in printed)
    assert "0.002 of the usual number of calls" in written
    assert written.startswith((PROJECT / "docs" / "performance.md").read_text().split("<!-- table -->")[0])
    assert written.endswith((PROJECT / "docs" / "performance.md").read_text().split("<!-- end of scale -->")[1])


def test_the_raw_sdk_beside_itself_shows_the_noise() -> None:
    done = run("--self", "--rounds", "1", "--factor", "0.01", "--only", "chat-1")
    assert done.returncode == 0, done.stderr
    assert "| raw SDK | raw SDK again |" in done.stdout
    assert done.stdout.count("CPU a call") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "chat-2"], "there is no benchmark 'chat-2'; choose from chat-1, chat-20,"),
        (["--only", "chat-1", "--write", "x.md"], "--write wants the whole table"),
    ],
)
def test_a_wrong_command_line_says_what_is_right(arguments: list[str], message: str) -> None:
    done = run(*arguments)
    assert done.returncode != 0
    assert message in done.stderr


def test_a_wrong_answer_is_an_error_that_shows_both(benchmarks: ModuleType) -> None:
    benchmarks.check("Paris", "Paris")
    with pytest.raises(benchmarks.WrongAnswer, match="the client gave 'Pari', the server sent 'Paris'"):
        benchmarks.check("Pari", "Paris")


def test_the_texts_are_the_same_in_each_process_and_differ_from_each_other(benchmarks: ModuleType) -> None:
    assert benchmarks.text("a").split()[:3] == benchmarks.text("a").split()[:3]
    assert benchmarks.text("a") != benchmarks.text("b")
    assert [part["role"] for part in benchmarks.conversation(4, "a")] == ["system", "user", "assistant", "user"]


def test_the_full_stack_weathers_a_storm() -> None:
    script = PROJECT / "benchmarks" / "chaos.py"
    done = subprocess.run(
        [sys.executable, script, "--calls", "180", "--at-once", "60"], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2_000:]
    assert done.stdout.endswith("0 faults\n")


def test_what_each_layer_costs_is_printed() -> None:
    script = PROJECT / "benchmarks" / "layers.py"
    done = subprocess.run([sys.executable, script, "--rounds", "1"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert len(re.findall(r"^\| `.+` \| -?\d+ \|$", done.stdout, re.MULTILINE)) == 8


@pytest.mark.parametrize("script", ["cache_stores.py", "vector_indexes.py"])
def test_what_is_run_by_hand_says_how(script: str) -> None:
    command = [sys.executable, PROJECT / "benchmarks" / script]
    asked = subprocess.run([*command, "--help"], capture_output=True, text=True, timeout=60)
    assert (asked.returncode, asked.stderr) == (0, "")
    assert f"python benchmarks/{script} [redis://...]" in asked.stdout
    assert subprocess.run([*command, "--hepl"], capture_output=True, timeout=60).returncode == 2
