"""Fixtures of the chart's tests: helm, functions that render the chart, and a cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from devstack import binaries
from tests.chart import rendering
from tests.chart.cluster import Cluster
from tests.chart.rendering import Rendered

if TYPE_CHECKING:
    from devstack.stack import Stack


class Render(Protocol):
    """A function that renders the chart: `rendering.render` with the development stack's helm as
    its first argument.
    """

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
    """The helm of the development stack. If this machine has no helm, the fixture builds it."""
    return binaries.locate("helm")["helm"]


@pytest.fixture(scope="session")
def render(helm: Path) -> Render:
    return partial(rendering.render, helm)


@pytest.fixture(scope="session")
def refusal(helm: Path) -> Callable[[Mapping[str, Any]], str]:
    """A function that returns the message with which helm refuses values."""

    def refused(values: Mapping[str, Any]) -> str:
        with pytest.raises(rendering.RefusedError) as caught:
            rendering.render(helm, values)
        return str(caught.value)

    return refused


@pytest.fixture(scope="session")
def cluster(stack: Stack, helm: Path) -> Cluster:
    """The API server of the development stack, with the administrator's credentials."""
    return Cluster(stack.kubeconfig, binaries.locate("kubectl")["kubectl"], helm)
