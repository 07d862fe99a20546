"""The DAG has another run with the logical date of a submission."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mljob_operator.errors import LogicalDateTaken
from tests.scripted_airflow import DAG, RUN, ScriptedAirflow, page, refused, run_row

from .conftest import Connect

DATE = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("other", "shown"),
    [
        pytest.param("scheduled__2026-01-01", "run scheduled__2026-01-01", id="a run of no MLJob"),
        pytest.param("mljob.team-a.daily.bbbbbbbbbb-1", "run mljob.team-a.daily.bbbbbbbbbb-1", id="in the namespace"),
        pytest.param(
            "mljob.team-b.secret-plan.bbbbbbbbbb-1", "a run of an MLJob in another namespace", id="in another namespace"
        ),
    ],
)
async def test_message_names_the_run_unless_another_namespace_has_the_mljob(
    other: str, shown: str, server: ScriptedAirflow, connect: Connect
) -> None:
    server.told["trigger"] = refused(409, "DAGRun with dag_run_id or logical_date already exists")
    server.told["get run"] = refused(404, f"The DagRun with dag_id: `{DAG}` and run_id: `{RUN}` was not found")
    server.told["list runs of a date"] = page("dag_runs", run_row(run_id=other))
    with pytest.raises(LogicalDateTaken) as caught:
        await connect(server).submit(DAG, RUN, {}, "", DATE)
    assert f"DAG {DAG!r} has {shown} of logical date 2026-01-01T00:00:00+00:00 already" in str(caught.value)
    assert "secret-plan" not in str(caught.value)
