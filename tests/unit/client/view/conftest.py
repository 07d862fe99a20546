"""A fake cluster with a showcase of MLJobs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mljob.kubeconfig import ClusterConfig
from tests.fakes.view_cluster import ViewCluster
from tests.view import showcase


@pytest.fixture
def view_cluster() -> Iterator[ViewCluster]:
    with ViewCluster() as cluster:
        showcase.fill(cluster)
        yield cluster


@pytest.fixture
def config(view_cluster: ViewCluster) -> ClusterConfig:
    return ClusterConfig(view_cluster.url, context="test", namespace="team-a")
