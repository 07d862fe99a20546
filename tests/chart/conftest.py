from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from devstack import binaries
from tests.chart import rendering
from tests.chart.cluster import INSTANCES, MLJOBS, Cluster
from tests.chart.rendering import CRDS, Rendered

if TYPE_CHECKING:
    from devstack.stack import Stack


class Render(Protocol):
    """The type of the fixture ``render``, which calls `rendering.render`."""

    def __call__(
        self,
        values: Mapping[str, Any] | None = None,
        *,
        release: str = ...,
        namespace: str = ...,
        options: tuple[str, ...] = ...,
    ) -> Rendered: ...


@pytest.fixture(scope="session")
def helm() -> Path:
    return binaries.locate("helm")["helm"]


@pytest.fixture(scope="session")
def render(helm: Path) -> Render:
    return partial(rendering.render, helm)


@pytest.fixture(scope="session")
def refusal(helm: Path) -> Callable[[Mapping[str, Any]], str]:
    def refused(values: Mapping[str, Any]) -> str:
        with pytest.raises(rendering.RefusedError) as caught:
            rendering.render(helm, values)
        return str(caught.value)

    return refused


@pytest.fixture(scope="session")
def cluster(stack: Stack, helm: Path) -> Cluster:
    return Cluster(stack.kubeconfig, binaries.locate("kubectl")["kubectl"], helm)


@pytest.fixture(scope="module")
def crds(cluster: Cluster) -> None:
    if not cluster.exists("crd", MLJOBS):
        cluster.kubectl("apply", "--server-side", f"--filename={CRDS}")
    cluster.kubectl("wait", "--for=condition=Established", f"crd/{MLJOBS}", f"crd/{INSTANCES}", "--timeout=30s")
