"""The operator shortens long messages of Kubernetes Events."""

from __future__ import annotations

import pytest

from mljob_operator.adapters.kubernetes.kube_events import event
from mljob_operator.core.status.events import MAX_NOTE, NORMAL, KubeEvent

ABOUT = {"apiVersion": "v1", "kind": "Pod", "namespace": "platform", "name": "mljob-operator-0", "uid": "5f2f"}


@pytest.mark.parametrize(("length", "stored"), [(MAX_NOTE, MAX_NOTE), (MAX_NOTE + 1, MAX_NOTE), (100_000, MAX_NOTE)])
def test_message_is_cut_to_the_length_that_the_api_server_takes(length: int, stored: int) -> None:
    assert event(ABOUT, KubeEvent(NORMAL, "Submitted", "x" * length))["message"] == "x" * stored
