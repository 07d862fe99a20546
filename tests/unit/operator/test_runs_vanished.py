"""Many runs vanish from an Airflow at once. The operator doesn't treat these runs as deleted."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from mljob_contract.mljob import Condition, MLJobStatus
from mljob_operator.core.run.run_key import SETTINGS_AIRFLOW
from mljob_operator.core.run.states import RunState
from mljob_operator.settings import Settings

from .conftest import World

NAMES = [f"job-{number}" for number in range(5)]


class Cluster(World):
    """A test world in which five MLJobs have active runs in the same Airflow."""

    name = SETTINGS_AIRFLOW

    async def begin(self) -> None:
        self.there = self.airflow
        if self.name != SETTINGS_AIRFLOW:
            self.there = await self.add_instance(self.name, default=True)
        for name in NAMES:
            self.jobs.create(name, {"dagId": "train"}, at=self.clock().isoformat())
        await self.see_all()
        for run in self.there.runs.values():
            self.there.begin(run)
        self.feed = self.resync_of(self.name)
        await self.settle()
        await self.read()

    async def read(self) -> None:
        await self.feed.pass_once()
        await self.settle()

    async def minutes(self, number: int = 2) -> None:
        for _ in range(number * 12):
            await self.later(5)
            await self.read()
            await self.look_after(*self.instance_objects.objects)
            await self.settle()

    async def accept(self, before: datetime | str) -> None:
        """Accept the loss of the runs that were submitted before a time. Only the annotation of an
        AirflowInstance can have a value that is not a time.
        """
        if self.name != SETTINGS_AIRFLOW:
            value = before if isinstance(before, str) else before.isoformat()
            self.instance_objects.accept_vanished_runs(self.name, value)
            await self.see_all()
            return
        assert isinstance(before, datetime)
        self.accepts_vanished_before = before
        await self.start_again()

    async def start_again(self) -> None:
        await self.restart()
        self.feed = self.resync_of(self.name)
        await self.read()

    def empty(self, *, keep: int = 0) -> dict[Any, Any]:
        """Remove all runs from Airflow except the ``keep`` oldest runs. Return all runs, also the
        removed runs.
        """
        runs = dict(self.there.runs)
        self.there.runs = dict(list(runs.items())[:keep])
        return runs

    def of(self, name: str) -> MLJobStatus:
        return MLJobStatus.model_validate(self.jobs.objects["team-a", name]["status"])

    @property
    def reasons(self) -> list[str | None]:
        return [self.of(name).reason for name in NAMES]

    @property
    def submissions(self) -> int:
        return self.there.calls.count("submit")

    @property
    def conditions(self) -> dict[str, Condition]:
        return {found.type: found for found in self.instance_objects.get(self.name).status.conditions or ()}

    @property
    def ready(self) -> Condition:
        return self.conditions["Ready"]

    @property
    def refusals(self) -> list[str]:
        """The messages of the Events that say that the annotation is refused."""
        return [event.message for _, event in self.instance_objects.kube_events if event.reason == "AcceptanceRefused"]


class ClusterWithInstance(Cluster):
    name = "prod"
    has_own_airflow = False


async def started(world: Cluster) -> AsyncIterator[Cluster]:
    await world.begin()
    yield world
    await world.job_controller.close()
    assert not world.jobs.broken


@pytest.fixture(params=[Cluster, ClusterWithInstance], ids=["settings' Airflow", "AirflowInstance"])
async def cluster(request: pytest.FixtureRequest) -> AsyncIterator[Cluster]:
    async for world in started(request.param()):
        yield world


@pytest.fixture
async def prod() -> AsyncIterator[Cluster]:
    async for world in started(ClusterWithInstance()):
        yield world


class TestEmptiedDatabase:
    async def test_no_mljob_is_judged(self, cluster: Cluster) -> None:
        cluster.empty()
        await cluster.minutes()
        assert cluster.reasons == ["RunsVanished"] * 5
        assert {cluster.of(name).phase for name in NAMES} == {"Running"}
        assert cluster.meter.vanished[cluster.name] == 5

    async def test_no_mljob_is_judged_after_a_restart(self, cluster: Cluster) -> None:
        cluster.empty()
        await cluster.start_again()
        await cluster.minutes()
        assert cluster.reasons == ["RunsVanished"] * 5

    async def test_no_mljob_is_judged_when_airflow_answers_one_request_at_a_time(self, cluster: Cluster) -> None:
        cluster.empty()
        await cluster.later(60)
        cluster.there.down_for["get"] = 4
        await cluster.read()
        await cluster.minutes()
        assert cluster.reasons == ["RunsVanished"] * 5

    async def test_no_run_is_submitted(self, cluster: Cluster) -> None:
        cluster.empty()
        await cluster.minutes()
        before = cluster.submissions
        cluster.jobs.create("later", {"dagId": "train"}, at=cluster.clock().isoformat())
        await cluster.see_all()
        await cluster.minutes(1)
        assert cluster.submissions == before
        status = cluster.of("later")
        assert status.reason == "AirflowInstanceNotReady"
        assert "RunsVanished" in (status.message or "")

    async def test_each_run_is_requested_once_a_minute(self, cluster: Cluster) -> None:
        cluster.empty()
        await cluster.minutes()
        before = cluster.there.calls.count("get")
        await cluster.minutes(2)
        assert cluster.there.calls.count("get") - before <= 3 * len(NAMES)

    async def test_mljobs_continue_when_their_runs_are_found_again(self, cluster: Cluster) -> None:
        runs = cluster.empty()
        await cluster.minutes()
        cluster.there.runs = runs
        await cluster.minutes()
        assert not {"RunsVanished", "DagRunDeleted"} & set(cluster.reasons)
        assert cluster.meter.vanished[cluster.name] == 0

    async def test_deletion_waits_until_its_timeout(self, cluster: Cluster) -> None:
        cluster.empty()
        await cluster.minutes()
        key = ("team-a", NAMES[0])
        before = list(cluster.there.runs)
        cluster.jobs.user_deletes(key, cluster.clock())
        await cluster.see_all()
        await cluster.minutes(1)
        assert key in cluster.jobs.objects
        assert list(cluster.there.runs) == before
        await cluster.minutes(5)
        assert key not in cluster.jobs.objects
        assert "CancellationAbandoned" in cluster.event_reasons


class TestFewRunsThatVanish:
    @pytest.mark.parametrize("deleted", [1, 2])
    async def test_few_missing_runs_count_as_deleted(self, cluster: Cluster, deleted: int) -> None:
        cluster.empty(keep=len(NAMES) - deleted)
        await cluster.minutes()
        assert cluster.reasons.count("DagRunDeleted") == deleted
        assert "RunsVanished" not in cluster.reasons

    async def test_few_missing_runs_count_as_deleted_while_others_end(self, cluster: Cluster) -> None:
        cluster.empty(keep=4)
        for run in cluster.there.runs.values():
            cluster.there.end(run, RunState.SUCCESS)
        await cluster.minutes()
        assert sorted(str(reason) for reason in cluster.reasons) == ["DagRunDeleted", *["Succeeded"] * 4]


class TestAirflowInstance:
    async def test_instance_is_not_ready_and_says_why_and_what_to_do(self, prod: Cluster) -> None:
        prod.empty()
        await prod.minutes()
        assert (prod.ready.status, prod.ready.reason) == ("False", "RunsVanished")
        assert "5 of the 5 MLJobs" in prod.ready.message
        assert "kubectl annotate airflowinstance prod --overwrite mljob.dev/accept-vanished-runs=" in prod.ready.message
        assert ("prod", "Warning", "RunsVanished") in [
            (name, n.type, n.reason) for name, n in prod.instance_objects.kube_events
        ]

    async def test_instance_is_ready_when_the_runs_are_found_again(self, prod: Cluster) -> None:
        runs = prod.empty()
        await prod.minutes()
        prod.there.runs = runs
        await prod.minutes()
        assert prod.ready.reason == "Ready"

    async def test_annotation_makes_missing_runs_count_as_deleted(
        self, prod: Cluster, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "mljob_operator")
        prod.empty()
        await prod.minutes()
        now = prod.clock()
        await prod.accept(now)
        await prod.minutes(1)
        assert prod.reasons == ["DagRunDeleted"] * 5
        assert prod.ready.reason == "Ready"
        assert prod.instance_objects.get("prod").status.last_accepted_vanished_runs == now.isoformat()
        assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
        assert caplog.messages.count("AirflowInstance prod: 5 missing runs count as deleted from now on") == 1
        assert (
            "AirflowInstance prod: each run that had vanished is found again, or its loss is accepted"
            in caplog.messages
        )

    async def test_restored_instance_without_its_status_accepts_no_new_loss(self, prod: Cluster) -> None:
        await prod.accept(prod.clock() - timedelta(days=1))
        await prod.minutes(1)
        prod.instance_objects.objects["prod"].pop("status")
        prod.empty()
        await prod.start_again()
        await prod.minutes()
        assert prod.reasons == ["RunsVanished"] * 5

    @pytest.mark.parametrize("value", ["", "now"], ids=["removed", "refused"])
    async def test_accepted_loss_ends_when_the_annotation_is_removed_or_refused(
        self, prod: Cluster, value: str
    ) -> None:
        await prod.accept(prod.clock())
        await prod.minutes(1)
        assert prod.instance_objects.get("prod").status.last_accepted_vanished_runs is not None
        await prod.accept(value)
        await prod.minutes(1)
        assert prod.instance_objects.get("prod").status.last_accepted_vanished_runs is None
        prod.empty()
        await prod.minutes()
        assert prod.reasons == ["RunsVanished"] * 5

    @pytest.mark.parametrize(
        ("value", "problem"),
        [
            ("now", '"now" is not a time'),
            ("1", '"1" is not a time'),
            ("2026-01-31T12:00:00", '"2026-01-31T12:00:00" has no time zone'),
            ("2062-01-31T12:00:00Z", '"2062-01-31T12:00:00Z" lies in the future'),
        ],
    )
    async def test_refused_value_is_reported_once_and_accepts_nothing(
        self, prod: Cluster, value: str, problem: str
    ) -> None:
        prod.empty()
        await prod.minutes()
        await prod.accept(value)
        await prod.minutes()
        version = prod.instance_objects.objects["prod"]["metadata"]["resourceVersion"]
        await prod.minutes()
        assert prod.reasons == ["RunsVanished"] * 5
        refused = prod.conditions["VanishedRunsAccepted"]
        assert (refused.status, refused.reason) == ("False", "AcceptanceRefused")
        assert problem in refused.message
        assert "kubectl annotate airflowinstance prod" in refused.message
        assert prod.refusals == [refused.message]
        assert prod.instance_objects.objects["prod"]["metadata"]["resourceVersion"] == version, "nothing is written"
        assert prod.instance_objects.get("prod").status.last_accepted_vanished_runs is None
        await prod.accept(prod.clock())
        await prod.minutes(1)
        assert prod.reasons == ["DagRunDeleted"] * 5
        assert "VanishedRunsAccepted" not in prod.conditions

    async def test_time_of_a_clock_that_is_fast_is_accepted_when_it_has_passed(self, prod: Cluster) -> None:
        prod.empty()
        await prod.minutes()
        await prod.accept(prod.clock() + timedelta(seconds=3))
        await prod.minutes(1)
        assert prod.reasons == ["DagRunDeleted"] * 5
        assert "VanishedRunsAccepted" not in prod.conditions

    async def test_runs_that_stay_missing_are_not_judged_after_a_restart(self, prod: Cluster) -> None:
        runs = prod.empty()
        await prod.minutes()
        prod.there.runs = dict(list(runs.items())[:4])
        await prod.minutes(1)
        await prod.start_again()
        await prod.minutes()
        assert prod.reasons.count("RunsVanished") == 1
        assert "DagRunDeleted" not in prod.reasons


class TestAcceptedLoss:
    async def test_missing_runs_that_were_submitted_before_the_time_count_as_deleted(self, cluster: Cluster) -> None:
        cluster.empty()
        await cluster.minutes()
        await cluster.accept(cluster.clock())
        await cluster.minutes(1)
        assert cluster.reasons == ["DagRunDeleted"] * 5

    async def test_missing_runs_that_were_submitted_after_the_time_do_not_count_as_deleted(
        self, cluster: Cluster
    ) -> None:
        await cluster.accept(datetime(2020, 1, 1, tzinfo=UTC))
        cluster.empty()
        await cluster.minutes()
        assert cluster.reasons == ["RunsVanished"] * 5

    async def test_runs_of_the_next_loss_do_not_count_as_deleted(self, cluster: Cluster) -> None:
        cluster.empty()
        await cluster.minutes()
        await cluster.accept(cluster.clock())
        await cluster.minutes(1)
        for number in range(3):
            cluster.jobs.create(f"more-{number}", {"dagId": "train"}, at=cluster.clock().isoformat())
        await cluster.see_all()
        await cluster.minutes(1)
        cluster.empty()
        await cluster.start_again()
        await cluster.minutes()
        assert {cluster.of(f"more-{number}").reason for number in range(3)} == {"RunsVanished"}


class TestSetting:
    def test_setting_is_a_time_with_a_time_zone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MLJOB_AIRFLOW_ACCEPT_VANISHED_RUNS_BEFORE", "2026-01-31T12:00:00Z")
        assert Settings().airflow_accept_vanished_runs_before == datetime(2026, 1, 31, 12, tzinfo=UTC)

    def test_setting_is_absent_by_default(self) -> None:
        assert Settings().airflow_accept_vanished_runs_before is None

    def test_time_in_the_future_is_refused(self) -> None:
        with pytest.raises(ValidationError, match="lies in the future"):
            Settings(airflow_accept_vanished_runs_before=datetime(2900, 1, 31, tzinfo=UTC))

    def test_time_without_a_time_zone_is_refused(self) -> None:
        with pytest.raises(ValidationError, match="timezone"):
            Settings(airflow_accept_vanished_runs_before=datetime(2026, 1, 31))  # noqa: DTZ001
