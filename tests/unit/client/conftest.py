from __future__ import annotations

from collections.abc import Iterator

import pytest

from mljob import Client
from mljob.kubeconfig import ClusterConfig
from mljob.sync.transport import Transport
from tests.fakes.mljob_cluster import MLJobCluster


@pytest.fixture
def cluster() -> Iterator[MLJobCluster]:
    with MLJobCluster() as cluster:
        yield cluster


@pytest.fixture
def config(cluster: MLJobCluster) -> ClusterConfig:
    return ClusterConfig(cluster.url, namespace="team-a")


@pytest.fixture
def transport(config: ClusterConfig, quick_retries: None) -> Iterator[Transport]:
    with Transport(config) as transport:
        yield transport


@pytest.fixture
def client(transport: Transport) -> Client:
    return Client(transport=transport)


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mljob.retries._FIRST_SECONDS", 0.001)
