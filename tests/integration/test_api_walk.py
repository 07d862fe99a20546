"""A walk over the API: objects from the CRDs' own schemas are applied, edited and rolled back, on a real Kubernetes API, with the real operator before
a simulated Airflow. Each comes to what it comes to without the detour, none surprises the operator, and none is in another one's way.

``WALK_OBJECTS`` walks with more of them, ``WALK_SEED`` with others.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from kubernetes.aio import client, config

from devstack.stack import Stack
from mljob_contract import airflow_instance, mljob
from tests.live.installation import Installation
from tests.live.kubectl import Kubectl
from tests.walk import instances, mljobs
from tests.walk.airflow import SUCCEEDS, WorkingAirflow
from tests.walk.users import SIDE_BY_SIDE, Object, Users, side_by_side, unseen
from tests.walk.way import Way, created

log = logging.getLogger(__name__)

OBJECTS = int(os.environ.get("WALK_OBJECTS", "500"))
INSTANCES = max(10, OBJECTS // 12)
SEED = int(os.environ.get("WALK_SEED", "1"))
WITHIN = 120 + OBJECTS // 2
"""Seconds that anything may take that is waited for."""
CREDENTIALS = "mljob-system"
"""Where the Secrets of AirflowInstances are."""

pytestmark = pytest.mark.timeout(6 * WITHIN)

Outcome = Callable[[Object], dict[str, Any]]


@pytest.fixture(scope="module")
def airflow() -> Iterator[WorkingAirflow]:
    airflow = WorkingAirflow()
    with airflow.at_work():
        yield airflow


@pytest.fixture
async def administrator(stack: Stack) -> AsyncIterator[client.ApiClient]:
    configuration = client.Configuration()
    configuration.connection_pool_maxsize = SIDE_BY_SIDE
    await config.load_kube_config(str(stack.kubeconfig), client_configuration=configuration)
    api = client.ApiClient(configuration)
    yield api
    await api.close()


async def step(users: Users, ways: list[Way], to: str) -> None:
    """Apply one of each object's specs; one that the API server does not let it change to is left as it is."""
    await side_by_side(users.apply(way.name, getattr(way, to)) for way in ways)


async def there_and_back(users: Users, ways: list[Way], between: Callable[[], Any]) -> None:
    """Edit all, and roll them back: those that are hasty at once, the others when the operator has acted on the edit."""
    hasty, patient = ([way for way in ways if way.hasty is kind] for kind in (True, False))
    await between()
    await step(users, hasty, "second")
    await step(users, hasty, "first")
    await users.until(lambda found: unseen(found), "to be seen")
    await step(users, patient, "second")
    await between()
    await users.until(lambda found: unseen(found), "to be seen edited")
    await step(users, patient, "first")
    await between()


def differences(one: dict[str, Object], other: dict[str, Object], outcome: Outcome) -> dict[str, Any]:
    """What is not the same in two walks' objects, by name."""
    found = {}
    for name in one.keys() & other.keys():
        was, is_now = outcome(one[name]), outcome(other[name])
        if differing := {
            field: (was.get(field), is_now.get(field)) for field in is_now if was.get(field) != is_now[field]
        }:
            found[name] = differing
    return found


def surprises(operator: Installation) -> list[dict[str, Any]]:
    """What the operator calls an error."""
    return [record for record in operator.operator.records() if record["level"] in ("error", "critical")]


class TestMLJobs:
    @pytest.fixture
    def operator(self, airflow: WorkingAirflow, installation: Callable[..., Installation]) -> Installation:
        return installation(
            "walk",
            MLJOB_AIRFLOW_URL=airflow.url,
            MLJOB_AIRFLOW_USER=airflow.user,
            MLJOB_AIRFLOW_PASSWORD=airflow.password,
            MLJOB_KAFKA_BOOTSTRAP_SERVERS="",
            MLJOB_RESYNC_INTERVAL_SECONDS="1",
        )

    @pytest.fixture
    def users(self, administrator: client.ApiClient, operator: Installation) -> Users:
        operator.jobs.kubectl.apply(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": mljobs.CONFIG_MAP}, "data": {"rate": "0.1"}},
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": mljobs.SECRET}, "stringData": {"user": "me"}},
        )
        return Users(
            administrator,
            mljob.KIND,
            mljob.PLURAL,
            operator.jobs.namespace,
            within=WITHIN,
            evidence=operator.operator.log_end,
        )

    async def test_one_that_was_edited_and_rolled_back_is_as_one_that_never_was(
        self, users: Users, operator: Installation, airflow: WorkingAirflow
    ) -> None:
        canaries: list[str] = []

        async def canary() -> None:
            """An MLJob like any other ends while the others are on their way."""
            name = f"canary-{len(canaries)}"
            canaries.append(name)
            assert await users.apply(name, {"dagId": SUCCEEDS}) is None
            await users.until(lambda found: [] if mljobs.terminal(found[name]) else [found[name]], "the canary")

        ways, refusals = await created(users, mljobs.ways(SEED), OBJECTS)
        await there_and_back(users, ways, canary)
        rolled_back = await users.until(self.unsettled, "to settle")
        await self.end(users, airflow)

        first = {way.name: way.first for way in ways}
        # Where the API server refused the way back, it is what it was left as that counts.
        specs = first | {name: body["spec"] for name, body in rolled_back.items()}
        airflow.forget()
        await side_by_side(users.apply(name, spec) for name, spec in specs.items())
        fresh = await users.until(self.unsettled, "to settle afresh")

        log.info("%d were refused; the others: %s", refusals.total(), self.reasons(rolled_back))
        assert len(self.reasons(rolled_back)) > 8, "a walk that sees much"
        # With runPolicy Once the spec that was submitted first counts.
        undone = {name for name, body in rolled_back.items() if not mljobs.applied(body)}
        assert {rolled_back[name]["spec"]["runPolicy"] for name in undone} <= {"Once"}
        assert len(undone) < len(ways) / 5
        done = {name: body for name, body in rolled_back.items() if name not in undone}
        assert differences(done, fresh, mljobs.outcome) == {}
        assert fresh.keys() - undone == done.keys(), "their times to live have passed, or have not"
        await self.end(users, airflow)
        assert surprises(operator) == []

    @staticmethod
    def unsettled(found: dict[str, Object]) -> list[Object]:
        return [body for body in found.values() if not mljobs.settled(body)]

    @staticmethod
    def reasons(found: dict[str, Object]) -> Counter[str]:
        return Counter(f"{body['status']['phase']}, {body['status']['reason']}" for body in found.values())

    @staticmethod
    async def end(users: Users, airflow: WorkingAirflow) -> None:
        """All are deleted, and no run goes on but those whose MLJobs said so."""
        before = await users.all()
        retained = {
            body["status"].get("dagRunId") for body in before.values() if body["spec"]["deletionPolicy"] == "Retain"
        }
        await side_by_side(users.delete(name) for name in before)
        await users.until(lambda found: found.values(), "to be gone")
        assert set(airflow.active()) <= retained


class TestAirflowInstances:
    @pytest.fixture
    def operator(self, installation: Callable[..., Installation]) -> Installation:
        """One whose settings name no Airflow."""
        return installation(
            "walk-instances", MLJOB_AIRFLOW_INSTANCES="true", MLJOB_AIRFLOW_URL="", MLJOB_KAFKA_BOOTSTRAP_SERVERS=""
        )

    @pytest.fixture
    def users(
        self, administrator: client.ApiClient, operator: Installation, airflow: WorkingAirflow, kubectl: Kubectl
    ) -> Users:
        for name, password in ((instances.RIGHT, airflow.password), (instances.WRONG, "wrong")):
            data = {"user": airflow.user, "password": password}
            kubectl.within(CREDENTIALS).apply(
                {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}
            )
        return Users(
            administrator,
            airflow_instance.KIND,
            airflow_instance.PLURAL,
            None,
            within=WITHIN,
            evidence=operator.operator.log_end,
        )

    async def test_one_that_was_edited_and_rolled_back_is_as_one_that_never_was(
        self, users: Users, operator: Installation, airflow: WorkingAirflow
    ) -> None:
        async def nothing() -> None:
            """They have nothing to wait for."""

        candidates = instances.ways(SEED, airflow.url, secrets.token_hex(3))
        ways, refusals = await created(users, candidates, INSTANCES)
        names = [way.name for way in ways]
        try:
            await there_and_back(users, ways, nothing)
            rolled_back = await users.until(self.unsettled, "to be looked at")
            await self.end(users, names)
            await side_by_side(users.apply(name, rolled_back[name]["spec"]) for name in names)
            fresh = await users.until(self.unsettled, "to be looked at afresh")
        finally:
            await self.end(users, names)
        reasons = Counter(body["status"]["conditions"][0]["reason"] for body in fresh.values())
        log.info("%d were refused; the others: %s", refusals.total(), reasons)
        assert len(reasons) > 2, "a walk that sees much"
        assert differences(rolled_back, fresh, instances.outcome) == {}
        assert surprises(operator) == []

    @staticmethod
    def unsettled(found: dict[str, Object]) -> list[Object]:
        return [body for body in found.values() if not instances.settled(body)]

    @staticmethod
    async def end(users: Users, names: list[str]) -> None:
        await side_by_side(users.delete(name) for name in names)
        await users.until(lambda found: [found[name] for name in names if name in found], "to be gone")
