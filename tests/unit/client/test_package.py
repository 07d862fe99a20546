from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import mljob

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = """
import json, sys
from mljob import AsyncClient, Client, Job, JobFailed
print(json.dumps(sorted(sys.modules)))
"""


def test_import_loads_no_heavy_library() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    modules = json.loads(done.stdout)

    heavy = {
        "kopf",
        "confluent_kafka",
        "kubernetes",
        "pandas",
        "airflow",
        "httpx2",
        "pydantic",
        "yaml",
        "asyncio",
        "rich",
    }
    assert heavy & set(modules) <= {"asyncio"}


def test_names_of_the_package_are_there() -> None:
    for name in mljob.__all__:
        assert getattr(mljob, name).__name__ == name
    assert not hasattr(mljob, "Nothing")


def test_sync_half_is_what_is_generated_from_the_asyncio_half() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "client" / "generate.py"), "--check"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr


def test_modules_of_both_halves_are_the_same() -> None:
    folders = (ROOT / "client" / "src" / "mljob" / half for half in ("aio", "sync"))
    first, second = ({file.name for file in folder.glob("*.py")} for folder in folders)

    assert first == second
    for name in first - {"__init__.py"}:
        generated = (ROOT / "client" / "src" / "mljob" / "sync" / name).read_text()
        assert "await" not in generated
        assert "asyncio" not in generated.replace("for asyncio", "") or name == "client.py"
