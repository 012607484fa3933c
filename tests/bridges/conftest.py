"""A real PostgreSQL, for the programs that keep their faces in one."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

_PLACES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


def _program(name: str) -> str | None:
    found = next((str(place / name) for place in _PLACES if (place / name).exists()), None)
    return found or shutil.which(name)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Address of a server that the test has started, without the name of a database."""
    pytest.importorskip("psycopg", reason="psycopg is in the extra bridges")
    initdb, server = _program("initdb"), _program("postgres")
    if initdb is None or server is None:
        # .ci/run installs it.
        assert "CI" not in os.environ, "there is no PostgreSQL: apt-get install postgresql"
        pytest.skip("there is no PostgreSQL: apt-get install postgresql")
    # initdb refuses root.
    user = pwd.getpwnam("postgres").pw_name if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="nsrfc-pg-"))
    if user is not None:
        shutil.chown(folder, user)
    data = folder / "data"
    made = [initdb, "-D", str(data), "-U", "tester", "-A", "trust", "-E", "UTF8", "--no-sync"]
    subprocess.run(made, check=True, capture_output=True, user=user, cwd=folder)
    options = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={folder}", "-c", "fsync=off"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [server, "-D", str(data), *options], user=user, cwd=folder, stdout=log, stderr=log
        )
    address = f"postgresql://tester@/postgres?host={folder}"
    try:
        _wait(address, process, folder / "log")
        yield f"postgresql://tester@/{{}}?host={folder}"
    finally:
        process.send_signal(signal.SIGQUIT)  # what it has need not be kept
        process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def _wait(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    import time

    import psycopg

    for _ in range(300):
        try:
            psycopg.connect(address).close()
            return
        except psycopg.OperationalError:
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
    raise AssertionError(log.read_text())


@pytest.fixture
def database(postgres: str, request: pytest.FixtureRequest) -> str:
    """Address of an empty database of its own."""
    import psycopg

    name = f"d{abs(hash(request.node.nodeid))}"
    with psycopg.connect(postgres.format("postgres"), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
    return postgres.format(name)
