"""Edits generated MLJobs and rolls the edits back. Each MLJob must reach the same state as an MLJob
that has the same spec and was never edited (:mod:`tests.walk`). The test does not compare an MLJob
that has not run the spec to which it was rolled back (:func:`.mljobs.ended_otherwise`).

This test and ``test_instance_walk.py`` read two environment variables:

- ``WALK_OBJECTS``: The number of objects that both tests together edit. A fifth of the objects are
  AirflowInstances.
- ``WALK_SEED``: The seed of the random choices.
"""

from __future__ import annotations

import itertools
import logging
from collections import Counter

import pytest

from mljob_contract.mljob import KIND, PLURAL
from tests.conftest import NewInstallation
from tests.live.installation import Installation
from tests.live.kubectl import Kubectl
from tests.walk import mljobs
from tests.walk.airflow import SUCCEEDS, WalkAirflow
from tests.walk.users import Users
from tests.walk.walk import INSTANCES, OBJECTS, SEED, TIMEOUT, differences, surprises, walk

log = logging.getLogger(__name__)

pytestmark = pytest.mark.timeout(2 * TIMEOUT)


@pytest.fixture
def operator(simulated_airflow: WalkAirflow, installation: NewInstallation) -> Installation:
    return installation(
        "walk",
        **simulated_airflow.operator_settings,
        MLJOB_RESYNC_INTERVAL_SECONDS="2",
        MLJOB_LOG_LEVEL="debug",
    )


@pytest.fixture
def users(operator: Installation, kubectl: Kubectl) -> Users:
    operator.jobs.kubectl.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": mljobs.CONFIG_MAP}, "data": {"rate": "0.1"}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": mljobs.SECRET}, "stringData": {"user": "me"}},
    )
    namespace, evidence = operator.jobs.namespace, operator.operator.log_end
    return Users(kubectl.api, KIND, PLURAL, namespace, within=TIMEOUT, evidence=evidence)


@pytest.fixture
def canaries(operator: Installation, kubectl: Kubectl) -> Users:
    namespace, evidence = operator.jobs.namespace, operator.operator.log_end
    return Users(kubectl.api, KIND, PLURAL, namespace, within=TIMEOUT, evidence=evidence)


def test_rolled_back_mljob_equals_one_that_was_never_edited(
    operator: Installation, simulated_airflow: WalkAirflow, users: Users, canaries: Users
) -> None:
    numbers = itertools.count()

    def meanwhile() -> None:
        name = f"canary-{next(numbers)}"
        assert canaries.apply({name: {"dagId": SUCCEEDS}}) == {}
        canaries.until(mljobs.finished, [name], "an MLJob ends beside the others")

    # With the default seed, MLJobs reach every outcome.
    compared = walk(users, mljobs.edits(SEED + 1), OBJECTS - INSTANCES, mljobs.settled, meanwhile)

    # With runPolicy Once the spec that was submitted first counts, which may be the edited one.
    # Another MLJob may have finished before its spec was rolled back to an Airflow that doesn't
    # exist, or may be deleted because its ttlSecondsAfterFinished is 0.
    undone = [one for one in compared if mljobs.ended_otherwise(one)]
    done = [one for one in compared if one not in undone]
    reached = Counter("deleted" if one.fresh is None else mljobs.reason(one.fresh) for one in done)
    log.info("%d MLJobs came to %s; %d to another spec", len(compared), reached, len(undone))
    assert differences(done, mljobs.outcome) == {}
    others = [one.rolled_back for one in undone if one.rolled_back and not mljobs.waits(one.rolled_back)]
    assert {body["spec"]["runPolicy"] for body in others} <= {"Once"}
    assert len(undone) < len(compared) / 4

    retained = {
        body["status"].get("dagRunId") for body in users.all().values() if body["spec"]["deletionPolicy"] == "Retain"
    }
    users.delete_all()
    assert set(simulated_airflow.active()) <= retained
    assert surprises(operator.operator.log(), operator.operator.records()) == []
    assert reached.keys() >= mljobs.OUTCOMES, "a walk that sees much"
