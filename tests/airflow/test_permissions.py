"""For Airflow's simple auth manager, docs/operations/airflow.md names the weakest role that can
submit and cancel runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

OPERATIONS = (Path(__file__).parents[2] / "docs" / "operations" / "airflow.md").read_text()
CANCELLATION = [
    ("GET", DagAccessEntity.RUN),
    ("GET", DagAccessEntity.TASK),
    ("GET", DagAccessEntity.TASK_INSTANCE),
    ("PUT", DagAccessEntity.TASK_INSTANCE),
    ("PUT", DagAccessEntity.RUN),
]
OPERATOR = [
    *CANCELLATION,
    ("POST", DagAccessEntity.RUN),
    ("GET", DagAccessEntity.XCOM),
    ("GET", DagAccessEntity.HITL_DETAIL),
]


def may(role: str, requests: list[tuple[str, Any]]) -> bool:
    user = SimpleAuthManagerUser(username="mljob", role=role)
    manager = SimpleAuthManager()
    return all(manager.is_authorized_dag(method=method, access_entity=entity, user=user) for method, entity in requests)


@pytest.mark.parametrize("requests", [CANCELLATION, OPERATOR], ids=["cancellation", "operator"])
def test_user_is_the_least_role_with_the_needed_permissions(requests: list[tuple[str, Any]]) -> None:
    assert [role for role in ("viewer", "user", "op", "admin") if may(role, requests)] == ["user", "op", "admin"]
    assert "| `SimpleAuthManager` | role `user`" in OPERATIONS


def test_role_viewer_may_make_all_read_requests() -> None:
    assert may("viewer", [request for request in OPERATOR if request[0] == "GET"])
