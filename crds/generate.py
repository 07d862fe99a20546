"""Writes the CRDs from the models in ``mljob_contract`` (``make generate``). With ``--check``
(``make verify``) the command fails if a CRD differs from its models.
"""

from __future__ import annotations

import difflib
import sys
from pathlib import Path
from typing import Any

import yaml

from .airflowinstances import airflow_instances
from .mljobs import mljobs

ROOT = Path(__file__).resolve().parent.parent
TARGETS = (
    ROOT / "crds",
    ROOT / "charts" / "mljob-operator" / "files" / "crds",
    ROOT / "client" / "src" / "mljob" / "lint" / "crds",
)
HEADER = "# Generated from contract/ by `make generate`. Do not edit.\n"


class _Plain(yaml.SafeDumper):
    """A YAML dumper that writes repeated values in full, because anchors are hard to read."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def main() -> int:
    """Write the CRDs' files and return 0. With ``--check``, compare the files with the models, and
    return 1 if a file differs.
    """
    check = "--check" in sys.argv[1:]
    drift = False
    for resource in (mljobs(), airflow_instances()):
        text = HEADER + yaml.dump(resource.definition(), Dumper=_Plain, sort_keys=False, width=120, allow_unicode=True)
        for folder in TARGETS:
            target = folder / f"{resource.name}.yaml"
            current = target.read_text() if target.exists() else ""
            if current == text:
                continue
            drift = True
            if check:
                sys.stdout.writelines(
                    difflib.unified_diff(current.splitlines(True), text.splitlines(True), str(target.name), "generated")
                )
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text)
                print(f"wrote {target.relative_to(ROOT)}")
    if check and drift:
        print("A CRD differs from contract/: run `make generate` and commit the result.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
