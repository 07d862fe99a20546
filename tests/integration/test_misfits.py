"""An MLJob whose conf is nested too deeply does not affect other MLJobs."""

from __future__ import annotations

import pytest

from mljob_contract.mljob import KIND, PLURAL
from mljob_contract.resource import API_VERSION, GROUP, VERSION
from tests.conftest import NewInstallation
from tests.live.eventually import eventually
from tests.live.installation import Installation


@pytest.fixture(scope="module")
def tenants(new_installation: NewInstallation) -> Installation:
    return new_installation("misfits")


def create(tenants: Installation, name: str, levels: int) -> None:
    conf = '{"a":' * levels + "1" + "}" * levels
    body = (
        f'{{"apiVersion": "{API_VERSION}", "kind": "{KIND}", "metadata": {{"name": "{name}"}},'
        f' "spec": {{"dagId": "parity_branch", "conf": {conf}}}}}'
    )
    path = f"/apis/{GROUP}/{VERSION}/namespaces/{tenants.jobs.namespace}/{PLURAL}"
    tenants.jobs.kubectl("create", f"--raw={path}", "--filename=-", stdin=body)


def told(tenants: Installation, name: str, field: str) -> str:
    # Python can't parse an object that is nested so deeply.
    return tenants.jobs.kubectl("get", "mljob", name, f"--output=jsonpath={{.status.{field}}}")


@pytest.mark.parametrize("levels", [300, 2000])
def test_conf_that_is_nested_too_deeply_is_reported_and_affects_no_other_mljob(
    tenants: Installation, levels: int
) -> None:
    jobs, name = tenants.jobs, f"deep-{levels}"
    create(tenants, name, levels)

    eventually(
        lambda: told(tenants, name, "reason") == "ValidationFailed", "it is told", evidence=tenants.operator.log_end
    )
    assert told(tenants, name, "message").startswith(f"spec.conf is nested {levels} levels deep, over the limit of 32.")
    tenants.operator.stop()
    tenants.operator.start()
    jobs.submit(f"fine-{levels}", "parity_branch")
    jobs.until_phase(f"fine-{levels}", "Succeeded")
    assert tenants.operator.get("/livez")[0] == 200

    jobs.kubectl("patch", "mljob", name, "--type=merge", '--patch={"spec": {"conf": null}}')

    jobs.until_phase(name, "Succeeded")
