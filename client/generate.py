"""Generates the modules of ``mljob.sync`` out of the modules of ``mljob.aio``, with unasync:
``python client/generate.py [--check]``.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import unasync

SOURCE = Path(__file__).resolve().parent / "src" / "mljob" / "aio"
TARGET = SOURCE.parent / "sync"
BY_HAND = {"__init__.py", "runtime.py"}
"""The modules of ``mljob.sync`` that are written by hand, because they differ from ``mljob.aio`` in
more than names.
"""
NAMES = {
    "AsyncBaseTransport": "BaseTransport",
    "AsyncClient": "Client",
    "AsyncJob": "Job",
    "AsyncTransport": "Transport",
    "aclose": "close",
    "aclosing": "closing",
    "aiter_bytes": "iter_bytes",
    "aio": "sync",
    "anext": "next",
    "aiter": "iter",
}


def sync_modules() -> dict[str, str]:
    """Return the source code of the generated modules, by file name."""
    with tempfile.TemporaryDirectory() as scratch:
        source, target = Path(scratch, "aio"), Path(scratch, "sync")
        source.mkdir()
        names = sorted(path.name for path in SOURCE.glob("*.py") if path.name not in BY_HAND)
        for name in names:
            (source / name).write_text((SOURCE / name).read_text())
        rule = unasync.Rule(f"{source}/", f"{target}/", additional_replacements=NAMES)
        unasync.unasync_files([str(source / name) for name in names], [rule])
        for name in names:
            module = target / name
            module.write_text(f"# Generated from mljob.aio by client/generate.py.\n{module.read_text()}")
        config = SOURCE.parents[3] / "pyproject.toml"
        for command in (["check", "--select", "I,RUF022", "--fix"], ["format"]):
            ruff = [sys.executable, "-m", "ruff", *command, "--quiet", "--config", str(config), str(target)]
            subprocess.run(ruff, check=True)  # noqa: S603 - our own linter
        return {name: (target / name).read_text() for name in names}


def main(arguments: list[str]) -> int:
    """Write the generated modules, and delete generated modules without a source. With ``--check``,
    change nothing, print the paths of outdated modules to standard error, and return 1 if there are
    any.
    """
    wanted = sync_modules()
    present = {path.name: path.read_text() for path in TARGET.glob("*.py") if path.name not in BY_HAND}
    if "--check" in arguments:
        different = sorted(name for name in wanted.keys() | present.keys() if wanted.get(name) != present.get(name))
        for name in different:
            print(f"{TARGET / name} is not what mljob.aio says. Run make generate.", file=sys.stderr)
        return bool(different)
    for name in present.keys() - wanted.keys():
        (TARGET / name).unlink()
    for name, text in wanted.items():
        (TARGET / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
