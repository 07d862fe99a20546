"""Checks manifests against the schemas of several versions of Kubernetes. The checks run
kubeconform, and need no cluster.

The first check builds kubeconform from locked Go modules, takes the schemas from the wheel
``kubernetes-validate``, and keeps both in a cache. Later checks use the cache, and need no network.
By default kubeconform would download the schemas from a server, which some machines can't reach.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from devstack import bootstrap, golang, wheels
from devstack.caches import cache_directory, once
from devstack.golang import Program
from devstack.progress import step

KUBECONFORM = Program("kubeconform", "github.com/yannh/kubeconform/cmd/kubeconform")
VERSIONS = ("1.29.0", "1.37.0")
"""The oldest supported version of Kubernetes, and the newest one that has schemas."""

_SCHEMAS = "kubernetes-schemas"
_IN_WHEEL = Path("kubernetes_validate") / "kubernetes-json-schema"


def problems(manifests: Mapping[str, str], version: str, *, skip: tuple[str, ...] = ()) -> str:
    """Check objects strictly: an unknown field is a problem, and so is a kind without a schema.

    A call for many manifests takes little longer than a call for one. Most of the time is needed
    for compiling the schemas, and kubeconform compiles each kind's schema only once.

    Args:
        manifests: A dict that maps the name of each manifest to a YAML text with one or more
            objects. Each text is written to a temporary file with this name, so that the messages
            contain the name.
        version: One of ``VERSIONS``.
        skip: Kinds that are not checked, such as `MLJob`, because Kubernetes has no schemas
            for them.

    Returns:
        kubeconform's messages about the objects with a problem. Each message begins with the path
        of the temporary file. An empty text if no object has a problem. If kubeconform fails
        without a message, the text has kubeconform's exit code.

    Raises:
        MissingToolError: kubeconform can't be built, or the schemas can't be installed.
        subprocess.TimeoutExpired: kubeconform took longer than 60 seconds.
    """
    location = _schemas() / f"v{version}" / "{{ .ResourceKind }}{{ .KindSuffix }}.json"
    command = [
        str(golang.built("kubeconform", KUBECONFORM)),
        "-strict",
        "-kubernetes-version",
        version,
        "-schema-location",
        str(location),
        *(["-skip", ",".join(skip)] if skip else []),
    ]
    with TemporaryDirectory() as folder:
        for name, text in manifests.items():
            (Path(folder) / f"{name}.yaml").write_text(text, encoding="utf-8")
        done = subprocess.run([*command, folder], capture_output=True, text=True, timeout=60, check=False)
    said = f"{done.stdout}{done.stderr}".strip()
    return said or ("" if done.returncode == 0 else f"kubeconform ended with {done.returncode}")


def _schemas() -> Path:
    """Return a folder in the cache that has one subfolder for each version in ``VERSIONS``, with
    the schemas of this version of Kubernetes. If the cache lacks the schemas, copy them from the
    wheel ``kubernetes-validate``.
    """
    locked = hashlib.sha256((bootstrap.REQUIREMENTS / f"{_SCHEMAS}.txt").read_bytes()).hexdigest()[:12]

    def make(target: Path) -> None:
        source = wheels.installed(_SCHEMAS) / _IN_WHEEL
        with step(_SCHEMAS, f"copying the schemas of {len(VERSIONS)} versions"):
            for version in VERSIONS:
                folder = target / f"v{version}"
                folder.mkdir(parents=True)
                for file in (source / f"v{version}-local-strict").glob("*.json"):
                    # $id and the references are addresses on a server. Without $id, a reference is
                    # the name of a file beside this one.
                    text = file.read_text(encoding="utf-8").replace('"/api/_definitions.json#', '"_definitions.json#')
                    schema = json.loads(text)
                    schema.pop("$id", None)
                    (folder / file.name).write_text(json.dumps(schema), encoding="utf-8")

    return once(cache_directory() / f"{_SCHEMAS}-files-{locked}", "copying the schemas of Kubernetes", make)
