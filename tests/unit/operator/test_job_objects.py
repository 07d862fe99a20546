"""MLJobs in the Kubernetes API: what can be told without one."""

from __future__ import annotations

import pytest
from kubernetes.aio import client

from mljob_operator.adapters.kubernetes import Jobs
from mljob_operator.errors import StoreUnavailable

NOWHERE = "http://127.0.0.1:9"
"""Nothing listens there."""


async def test_an_mljob_of_a_namespace_that_is_not_watched_is_not_asked_for() -> None:
    """Two operators of one cluster may read the same topic; only one of them may act."""
    api = client.ApiClient(client.Configuration(host=NOWHERE))
    try:
        jobs = Jobs(api, ("team-a",))
        assert await jobs.get(("team-b", "churn")) is None
        with pytest.raises(StoreUnavailable):
            await jobs.get(("team-a", "churn"))
    finally:
        await api.close()
