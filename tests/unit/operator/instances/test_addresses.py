"""URLs that the Kubernetes API server accepts and Python rejects."""

from __future__ import annotations

from typing import Any

import pytest

from mljob_operator.adapters.airflow.client import Airflow
from mljob_operator.core.airflow_instance.credentials import Login
from mljob_operator.core.airflow_instance.instance import Instance
from tests.fakes.leases import OpenGate
from tests.fakes.meter import SilentMeter

from .conftest import Platform


class RealAdapters(Platform):
    def _connect(self, instance: Instance, login: Login) -> Any:
        return Airflow(
            instance.name,
            instance.spec.url,
            SilentMeter(),
            login,
            prefix="mljob",
            cancel_dag_id="mljob_cancel",
            gate=OpenGate(),
        )


@pytest.mark.parametrize("url", ["http://[::1", "http://\u2100:80", "http://a:99999999", "http://:80", "http://@"])
@pytest.mark.parametrize("access", [[{}], [{"credentials": {"passwordSecretRef": {"name": "team"}}}]])
async def test_unusable_url_is_reported(
    url: str, access: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    world = RealAdapters()
    for secret in ("odd", "team"):
        world.instance_objects.secrets[secret] = {"user": secret, "password": "right"}
    spec = {"url": url, "credentials": {"passwordSecretRef": {"name": "odd"}}, "access": access}
    world.instance_objects.create("odd", spec, at="2026-01-01T00:00:00Z")
    await world.see_all()
    await world.look_after("odd")
    status, _, message = world.instance_says("odd")
    assert status == "False"
    assert "spec.url" in message
    assert "unexpected error" not in caplog.text
    await world.job_controller.close()
