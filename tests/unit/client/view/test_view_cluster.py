"""The fake Kubernetes API of the view's tests serves logs as mljob-api does."""

from __future__ import annotations

import pytest

from mljob import Client
from mljob.kubeconfig import ClusterConfig
from mljob.sync.transport import Transport
from tests.fakes.view_cluster import GrowingLog, ViewCluster
from tests.unit.client.statuses import running


@pytest.mark.parametrize(
    ("tail", "lines"),
    [(None, ["one", "two", "three"]), (0, []), (2, ["two", "three"]), (9, ["one", "two", "three"])],
)
def test_log_ends_with_at_most_the_given_number_of_lines(tail: int | None, lines: list[str]) -> None:
    with ViewCluster() as cluster, Transport(ClusterConfig(cluster.url, namespace="team-a")) as transport:
        cluster.put("train", status=running())
        cluster.logs["team-a/train/fit"] = GrowingLog("one", "two", "three")
        assert list(Client(transport=transport).get("train").logs("fit", tail=tail)) == lines
