"""Makes the Python environments: `.venv` (operator, tools, tests) and `.venv-airflow` (Airflow), from the locks; and if asked for
`.venv-airflow-oldest`, with the oldest Airflow that is supported, or `.venv-docs`, which builds the documentation.

Runs on a bare Python 3.11+: standard library only. pip installs one pinned wheel, uv, into the cache; uv does the
rest from the hash-pinned files in `requirements/`, hardlinking from its cache, so that a second clone takes seconds.
A stamp in each environment makes a call that has nothing to do return at once.
"""

from __future__ import annotations

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - this is the one file that an older Python may get to run
    sys.exit(
        f"Python 3.11 or newer is needed; this is {sys.version.split()[0]}. Name another: make PYTHON=python3.12 ..."
    )

import hashlib
import json
import os
import ssl
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from devstack.caches import cache_directory, locked, once  # noqa: E402
from devstack.progress import say, step  # noqa: E402

REQUIREMENTS = ROOT / "requirements"
ENVIRONMENT = ROOT / ".venv"
AIRFLOW_ENVIRONMENT = ROOT / ".venv-airflow"
OLDEST_AIRFLOW_ENVIRONMENT = ROOT / ".venv-airflow-oldest"
"""Made where it is asked for alone: by `make test`, and with `AIRFLOW=oldest`."""

NEWEST, OLDEST = "newest", "oldest"
AIRFLOW_ENVIRONMENTS = {NEWEST: AIRFLOW_ENVIRONMENT, OLDEST: OLDEST_AIRFLOW_ENVIRONMENT}
"""The Airflows that a stack can be run with."""

MEMBERS = ("contract", "operator")
"""Installed editable beside the development tools."""

DOCS_ENVIRONMENT = ROOT / ".venv-docs"
"""What builds the site of the documentation; made where it is asked for alone, by `make docs`."""

AIRFLOW_MEMBERS = ("contract", "airflow-provider")
"""Installed editable beside Airflow; nothing of the operator."""


class BootstrapError(Exception):
    """An environment can't be made; the message says what to install or allow."""


SYSTEM_CERTIFICATES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
"""Where systems keep the certificates that they trust, a company's own among them: Debian, Fedora, SUSE, Alpine and macOS."""


def system_certificates() -> str | None:
    """The file with the certificates that the system trusts; None where it has none."""
    candidates = (ssl.get_default_verify_paths().cafile, *SYSTEM_CERTIFICATES)
    return next((path for path in candidates if path and os.path.exists(path)), None)


def pip_environment() -> dict[str, str]:
    """pip's: an older pip trusts certificates of its own, without a company's. On macOS, where the file lacks the company's too, pip's default stays."""
    environment = dict(os.environ)
    trusted = environment.get("SSL_CERT_FILE") or system_certificates()
    if trusted and sys.platform != "darwin":
        environment.setdefault("PIP_CERT", trusted)
    return environment


def uv_environment() -> dict[str, str]:
    """What uv needs to find: its cache, and the certificates to trust."""
    environment = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}
    environment["UV_CACHE_DIR"] = str(cache_directory() / "uv-cache")
    environment["UV_NO_CONFIG"] = "1"
    environment["UV_PYTHON_DOWNLOADS"] = "never"
    if named := environment.get("PIP_CERT"):
        environment.setdefault("SSL_CERT_FILE", named)
    if system_certificates() is not None:
        # uv has certificates of its own, without a company's. A system that has none keeps uv to these.
        environment.setdefault("UV_SYSTEM_CERTS", "true")
    index = environment.get("PIP_INDEX_URL")
    if index:
        environment.setdefault("UV_DEFAULT_INDEX", index)
    return environment


def run(command: list[str], what: str, environment: dict[str, str] | None = None, cwd: Path = ROOT) -> str:
    """Run a command quietly; if it fails, say what it was for and show what it said."""
    done = subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = "\n".join(f"    {line}" for line in (done.stdout + done.stderr).strip().splitlines()[-25:])
        raise BootstrapError(f"{what} failed:\n{said}")
    return done.stdout


def base_python() -> str:
    """The interpreter behind an activated environment: environments are not stacked on one another."""
    return str(getattr(sys, "_base_executable", None) or sys.executable)


def uv() -> str:
    """The pinned uv in the cache, installed there by pip if it isn't yet."""
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


def fingerprint(paths: list[Path]) -> str:
    """What an environment was made from; another fingerprint means that it has to be made again."""
    # Resolved: python3 and python3.11 are one interpreter, whichever name bootstrap was called by.
    digest = hashlib.sha256(f"{sys.version_info[:2]} {os.path.realpath(base_python())}".encode())
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def ensure(environment: Path, lock: Path, members: tuple[str, ...]) -> None:
    """Bring one environment to what its lock and its members say."""
    stamp = environment / "mljob-stamp.json"
    present = [ROOT / member for member in members if (ROOT / member / "pyproject.toml").exists()]
    wanted = {
        "lock": fingerprint([lock]),
        "members": {member.name: fingerprint([member / "pyproject.toml"]) for member in present},
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
            stamp.write_text(json.dumps({"lock": wanted["lock"]}))
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
    """Resolve `requirements/*.in` again; operator first, since it constrains the development environment."""
    installer, variables = uv(), uv_environment()
    for name in (
        "uv", "go", "jdk", "kubectl", "maven", "build", "operator", "msk", "dev", "docs", "airflow", "airflow-oldest",
    ):  # fmt: skip
        # What kubectl is packed into needs a library of a hundred megabytes, which nobody calls here.
        alone = ["--no-deps"] if name == "kubectl" else []
        overrides = REQUIREMENTS / f"{name}.overrides"
        overridden = ["--override", overrides.name] if overrides.exists() else []
        with step(f"requirements/{name}.txt", "resolving"):
            run([installer, "pip", "compile", "--quiet", "--generate-hashes", "--universal", "--python-version", "3.11", "--no-header",
                 "--no-emit-index-url", "--no-emit-find-links", *alone, *overridden, f"{name}.in", "-o", f"{name}.txt"],
                f"Resolving {name}.in", variables, cwd=REQUIREMENTS)  # fmt: skip


def main(arguments: list[str]) -> int:
    """`bootstrap.py [lock | newest | oldest | docs]`."""
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
