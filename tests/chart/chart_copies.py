"""Copies of the chart whose CRD a test can change and delete."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.chart.cluster import Cluster, unique
from tests.chart.rendering import CHART, CRD, INSTANCE_CRD


@dataclass(frozen=True)
class ChartCopy:
    """A copy of the chart in which the CRD of MLJobs has an API group of its own, and the CRD of
    AirflowInstances is missing. So a test can change or delete the copy's CRD without an effect on
    the MLJobs of other tests.
    """

    path: Path
    crd: str

    def change(self, old: str, new: str) -> None:
        file = self.path / "files" / "crds" / CRD.name
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))

    def change_version(self, version: str) -> None:
        file = self.path / "Chart.yaml"
        file.write_text(
            re.sub(r"^(version|appVersion): .*$", rf'\1: "{version}"', file.read_text(), flags=re.MULTILINE)
        )


@contextmanager
def chart_copy(cluster: Cluster, tmp_path: Path) -> Iterator[ChartCopy]:
    group = f"{unique('test')}.mljob.dev"
    path = tmp_path / "chart"
    shutil.copytree(CHART, path)
    (path / "files" / "crds" / INSTANCE_CRD.name).unlink()
    copied = ChartCopy(path, f"mljobs.{group}")
    copied.change("group: mljob.dev", f"group: {group}")
    copied.change("name: mljobs.mljob.dev", f"name: mljobs.{group}")
    # The short name and the category of the real CRD must stay unique, also while this CRD is being
    # deleted.
    copied.change("    - mlj\n", f"    - {unique('mlj')}\n")
    copied.change("    - ml\n", f"    - {unique('ml')}\n")
    yield copied
    cluster.kubectl("delete", "crd", copied.crd, "--ignore-not-found", "--wait=false")
