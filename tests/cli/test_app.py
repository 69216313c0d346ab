from __future__ import annotations

import runpy
import subprocess
import sys
from collections.abc import Iterator

import openai
import pytest
import typer
from cli.stored import environment, llmkit_process
from typer.testing import CliRunner

from llmkit import __version__
from llmkit.cli import main
from llmkit.cli.app import Commands
from llmkit.errors import CacheUnavailable


def run(code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-B", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)


def test_the_version_is_llmkits() -> None:
    done = llmkit_process("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"llmkit {__version__}\n", "")


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["cache", "-h"], ["cache", "warm", "--help"]])
def test_help_fits_80_columns(arguments: list[str]) -> None:
    done = llmkit_process(*arguments)
    assert done.returncode == 0
    assert "Usage: python -m llmkit" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_without_a_command_there_is_help() -> None:
    done = llmkit_process()
    assert done.returncode == 2
    assert "cache" in done.stdout + done.stderr


def test_an_unknown_command_is_a_usage_error() -> None:
    done = llmkit_process("cahce")
    assert done.returncode == 2
    assert "cahce" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_its_extra_it_says_what_to_install(missing: str) -> None:
    done = run(f"import sys; sys.modules[{missing!r}] = None\nfrom llmkit.cli import main; main()")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "The command line needs typer and rich: pip install 'llmkit[cli]'\n"


def test_another_module_that_is_missing_is_no_matter_of_the_extra() -> None:
    done = run("import sys; sys.modules['llmkit.cli.cache'] = None\nfrom llmkit.cli import main; main()")
    assert done.returncode == 1
    assert "ModuleNotFoundError: import of llmkit.cli.cache halted" in done.stderr


def test_llmkit_itself_loads_neither_typer_nor_rich() -> None:
    done = run("import sys, llmkit; print({'typer', 'rich'} & set(sys.modules))")
    assert done.stdout == "set()\n"
    done = run("import sys, llmkit.client; print('typer' in sys.modules)")  # structlog imports rich where it is
    assert done.stdout == "False\n"


@pytest.mark.parametrize("arguments", [["--version"], ["cache", "stats", "--store", "nothing.db"]])
def test_a_module_and_a_function_run_the_command_line(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["llmkit", *arguments])
    ends: list[object] = []
    for start in (main, lambda: runpy.run_module("llmkit", run_name="__main__")):
        with pytest.raises(SystemExit) as ended:
            start()
        ends.append((ended.value.code, *capsys.readouterr()))
    assert ends[0] == ends[1]
    assert ends[0] in [(0, f"llmkit {__version__}\n", ""), (1, "", "Error: there is no file nothing.db\n")]


def test_importing_the_module_runs_nothing() -> None:
    assert runpy.run_module("llmkit.__main__", run_name="not main")["main"] is main


@pytest.mark.parametrize(("missing", "ends"), [("rich", SystemExit), ("llmkit.cli.cache", ModuleNotFoundError)])
def test_what_is_missing_is_told_apart(
    missing: str, ends: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith(("llmkit.cli.", "rich"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ends):
        main()


def test_help_and_usage_errors_do_not_wait_for_the_sdk() -> None:
    done = run("import sys, llmkit.cli.app; print('openai' in sys.modules)")
    assert done.stdout == "False\n"


@pytest.fixture
def app() -> Iterator[typer.Typer]:
    app = typer.Typer(cls=Commands, pretty_exceptions_enable=False)

    @app.command()
    def store() -> None:
        raise CacheUnavailable("the file is locked")

    @app.command()
    def api() -> None:
        error = openai.OpenAIError("No key.")
        error.add_note("llmkit: set one.")
        raise error

    @app.command()
    def odd() -> None:
        error = CacheUnavailable("there is no file x\n\x1b[31mError: evil")
        error.add_note("llmkit: first.\n  second\x1b[31m")
        raise error

    @app.command()
    def bug() -> None:
        raise KeyError("a bug")

    return app


def test_an_error_of_llmkits_is_one_line_on_stderr(app: typer.Typer) -> None:
    result = CliRunner().invoke(app, ["store"])
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "Error: the file is locked\n")


def test_the_text_of_an_error_is_one_line_and_that_of_its_notes_are_some(app: typer.Typer) -> None:
    assert CliRunner().invoke(app, ["odd"]).stderr.splitlines() == [
        r"Error: there is no file x\n\x1b[31mError: evil",
        "llmkit: first.",
        r"  second\x1b[31m",
    ]


def test_an_error_of_the_sdk_comes_with_its_guidance(app: typer.Typer) -> None:
    result = CliRunner().invoke(app, ["api"])
    assert (result.exit_code, result.stderr) == (1, "Error: No key.\nllmkit: set one.\n")


def test_a_bug_is_not_hidden(app: typer.Typer) -> None:
    with pytest.raises(KeyError, match="a bug"):
        CliRunner().invoke(app, ["bug"], catch_exceptions=False)
