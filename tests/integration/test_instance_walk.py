"""Edits generated AirflowInstances and rolls the edits back. Each AirflowInstance must reach the
same state as an AirflowInstance that has the same spec and was never edited (:mod:`tests.walk`).
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator

import pytest

from mljob_contract.airflow_instance import CREDENTIALS_LABEL, KIND, PLURAL
from tests.conftest import NewInstallation
from tests.live.airflow_instances import CREDENTIALS
from tests.live.http_gateway import EMPTY_OBJECT, HttpGateway
from tests.live.installation import Installation
from tests.live.kubectl import Kubectl
from tests.walk import instances
from tests.walk.airflow import WalkAirflow, walk_airflow
from tests.walk.users import Users
from tests.walk.walk import INSTANCES, SEED, TIMEOUT, differences, surprises, walk

log = logging.getLogger(__name__)

pytestmark = pytest.mark.timeout(2 * TIMEOUT)


@pytest.fixture
def urls(simulated_airflow: WalkAirflow) -> Iterator[list[str]]:
    with (
        walk_airflow("2.11.0") as old,
        walk_airflow(unhealthy="scheduler") as ill,
        HttpGateway(simulated_airflow.url, EMPTY_OBJECT) as none,
    ):
        yield [simulated_airflow.url, old.url, ill.url, none.url]


@pytest.fixture
def operator(installation: NewInstallation) -> Installation:
    return installation(
        "walk-instances",
        MLJOB_AIRFLOW_INSTANCES="true",
        MLJOB_AIRFLOW_URL="",
        MLJOB_KAFKA_BOOTSTRAP_SERVERS="",
        MLJOB_LOG_LEVEL="debug",
    )


@pytest.fixture
def users(operator: Installation, simulated_airflow: WalkAirflow, kubectl: Kubectl) -> Iterator[Users]:
    right = {"user": simulated_airflow.user, "password": simulated_airflow.password, "token": simulated_airflow.token}
    secrets = {
        instances.RIGHT: right,
        instances.WRONG: {"user": simulated_airflow.user, "password": "an0ther", "token": "an0ther"},
        instances.UNLABELLED: right,
        instances.BROKEN: {"user": simulated_airflow.user, "token": "not a\ntoken"},
    }
    kubectl.within(CREDENTIALS).apply(
        *(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {
                    "name": name,
                    "labels": {} if name == instances.UNLABELLED else {CREDENTIALS_LABEL: "true"},
                },
                "stringData": data,
            }
            for name, data in secrets.items()
        )
    )
    users = Users(kubectl.api, KIND, PLURAL, within=TIMEOUT, evidence=operator.operator.log_end)
    yield users
    users.delete_all()


def test_rolled_back_instance_equals_one_that_was_never_edited(
    operator: Installation, users: Users, urls: list[str], kubectl: Kubectl
) -> None:
    edits = instances.edits(SEED, [*urls, kubectl.api.url], kubectl.api.certificate)

    compared = walk(users, edits, INSTANCES, instances.settled)

    reached = Counter(instances.reason(one.fresh) for one in compared if one.fresh is not None)
    log.info("%d AirflowInstances came to %s", len(compared), reached)
    assert differences(compared, instances.outcome) == {}
    users.delete_all()
    assert surprises(operator.operator.log(), operator.operator.records()) == []
    assert reached.keys() >= instances.OUTCOMES, "a walk that sees much"
