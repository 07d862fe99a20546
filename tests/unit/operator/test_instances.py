"""MLJobs among several Airflows: each in the right one, none in the way of another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from mljob_contract.airflow_instance import AirflowInstanceStatus
from mljob_contract.mljob import MLJobSpec, MLJobStatus, Phase, StatusSource
from mljob_operator.core.facts import RunFact
from mljob_operator.core.identity import spec_hash
from mljob_operator.core.phases import RunState, TaskState
from mljob_operator.errors import AirflowInstanceNotFound
from mljob_operator.readers import Readers
from tests.fakes.airflow import FakeAirflow
from tests.fakes.meter import SilentMeter
from tests.strategies import event

from .conftest import KEY, World


class Platform(World):
    """Two AirflowInstances, prod and staging; the operator's settings name no Airflow."""

    has_own_airflow = False

    async def set_up(self) -> None:
        self.prod = await self.add_instance("prod")
        self.staging = await self.add_instance("staging")

    async def run_in(self, name: str, **spec: Any) -> None:
        await self.apply(airflowRef={"name": name}, **spec)

    async def many(self, count: int, **spec: Any) -> None:
        """MLJobs job-0, job-1, ... of one second each."""
        for number in range(count):
            self.jobs.create(f"job-{number}", {"dagId": "train", **spec}, at=f"2026-01-01T00:00:{number:02}Z")
        await self.see_all()

    def status_of(self, name: str) -> MLJobStatus:
        return MLJobStatus.model_validate(self.jobs.objects["team-a", name].get("status", {}))

    def instance(self, name: str) -> AirflowInstanceStatus:
        return self.instance_objects.get(name).status

    def instance_says(self, name: str, kind: str = "Ready") -> tuple[str, str, str]:
        found = next(found for found in self.instance(name).conditions or () if found.type == kind)
        return str(found.status), found.reason, found.message

    @property
    def says(self) -> tuple[Phase | None, str | None]:
        return self.status.phase, self.status.reason

    async def end(self, airflow: FakeAirflow, state: RunState = RunState.SUCCESS) -> None:
        """The one run that is not over ends, and the change feed tells."""
        (run,) = [run for run in airflow.runs.values() if run.state in (RunState.QUEUED, RunState.RUNNING)]
        for task_id, _ in list(run.tasks):
            airflow.set_task(run, task_id, TaskState.SUCCESS if state is RunState.SUCCESS else TaskState.FAILED)
        airflow.end(run, state)
        await self.look_everywhere()

    async def look_everywhere(self) -> None:
        for name in self.instances.names():
            await self.resync_of(name).pass_once()
            await self.settle()


@pytest.fixture
async def world() -> AsyncIterator[Platform]:
    world = Platform()
    await world.set_up()
    yield world
    await world.queue.close()


# Where a run goes


async def test_an_mljob_runs_in_the_airflow_that_it_names(world: Platform) -> None:
    await world.run_in("staging")
    assert world.status.airflow_instance == "staging"
    assert world.status.dag_run_url.startswith("http://staging:8080/dags/train/runs/")
    assert (len(world.prod.runs), len(world.staging.runs)) == (0, 1)


async def test_its_status_comes_from_there(world: Platform) -> None:
    await world.run_in("staging")
    await world.end(world.staging)
    assert world.status.phase is Phase.SUCCEEDED
    assert "tasks" not in world.prod.calls


async def test_without_any_default_it_waits_and_says_what_to_do(world: Platform) -> None:
    await world.apply()
    assert world.says == (Phase.PENDING, "NoDefaultAirflow")
    assert "is-default-instance" in world.status.message
    assert not world.held, "it can go at any time"
    world.instance_objects.annotate("staging", default=True)
    await world.see_all()
    assert world.status.airflow_instance == "staging"


async def test_the_default_moves_while_a_run_is_in_progress_and_the_run_stays(world: Platform) -> None:
    world.instance_objects.annotate("prod", default=True)
    await world.see_all()
    await world.apply()
    world.instance_objects.annotate("prod", default=False)
    world.instance_objects.annotate("staging", default=True)
    await world.see_all()
    await world.restart()
    await world.end(world.prod)
    assert (world.status.phase, world.status.airflow_instance) == (Phase.SUCCEEDED, "prod")
    assert not world.staging.runs


async def test_of_two_defaults_the_newest_counts_and_both_say_so(world: Platform) -> None:
    await world.add_instance("newer", default=True, at="2026-02-01T00:00:00Z")
    world.instance_objects.annotate("prod", default=True)
    await world.see_all()
    await world.look_after("prod", "newer")
    await world.apply()
    assert world.status.airflow_instance == "newer"
    assert world.instance_says("prod", "DefaultInstance")[:2] == ("False", "SeveralDefaults")
    assert world.instance_says("newer", "DefaultInstance")[:2] == ("True", "SeveralDefaults")
    assert {name for name, notice in world.instance_objects.notices if notice.reason == "SeveralDefaults"} == {
        "prod",
        "newer",
    }


async def test_a_name_that_is_not_there_is_waited_for(world: Platform) -> None:
    await world.run_in("test")
    assert world.says == (Phase.PENDING, "AirflowInstanceNotFound")
    assert not world.held
    await world.add_instance("test")
    assert world.status.airflow_instance == "test"


async def test_the_settings_airflow_is_the_default_until_there_is_another() -> None:
    world = World()
    await world.apply()
    assert world.airflow.only_run()
    assert world.status.airflow_instance is None
    await world.add_instance("prod", default=True)
    world.jobs.create("second", {"dagId": "train"})
    await world.see_all()
    assert world.jobs.objects["team-a", "second"]["status"]["airflowInstance"] == "prod"
    assert len(world.airflow.runs) == 1
    await world.queue.close()


async def test_an_airflow_that_is_taken_out_of_the_settings_is_said_by_those_that_run_in_it() -> None:
    world = World()
    await world.apply()
    world.has_own_airflow = False
    await world.restart()
    assert (world.status.phase, world.status.reason) == (Phase.QUEUED, "AirflowInstanceNotFound")
    assert "MLJOB_AIRFLOW_URL" in world.status.message
    world.has_own_airflow = True
    await world.restart()
    await world.look()
    assert world.status.reason == "Queued"
    await world.queue.close()


# A changed airflowRef


async def test_on_change_cancels_in_the_old_airflow_and_starts_in_the_new_one(world: Platform) -> None:
    await world.run_in("prod", runPolicy="OnChange", cancellation={"strategy": "Api"})
    await world.edit(airflowRef={"name": "staging"})
    await world.look_everywhere()
    assert world.prod.only_run().state is RunState.FAILED
    assert world.staging.only_run().state is RunState.QUEUED
    assert (world.status.airflow_instance, world.status.attempts) == ("staging", 2)
    assert [entry.airflow_instance for entry in world.status.history] == ["prod"]


async def test_once_refuses_it_and_follows_the_run_where_it_is(world: Platform) -> None:
    await world.run_in("prod")
    await world.edit(airflowRef={"name": "staging"})
    assert world.condition("SpecApplied") == "False"
    await world.restart()
    await world.end(world.prod)
    assert (world.status.phase, world.status.airflow_instance) == (Phase.SUCCEEDED, "prod")
    assert not world.staging.runs


async def test_once_retries_in_the_old_airflow(world: Platform) -> None:
    await world.run_in("prod", backoffLimit=1, retryStrategy="NewRun")
    await world.edit(airflowRef={"name": "staging"})
    await world.end(world.prod, RunState.FAILED)
    await world.later(11)
    assert len(world.prod.runs) == 2
    assert not world.staging.runs


async def test_once_per_spec_takes_the_new_airflow_for_another_spec(world: Platform) -> None:
    await world.run_in("prod", runPolicy="OncePerSpec", cancellation={"strategy": "Api"})
    first = world.status.dag_run_id
    await world.edit(airflowRef={"name": "staging"})
    await world.look_everywhere()
    assert world.staging.only_run().run_id == world.status.dag_run_id != first


async def test_one_that_waits_for_an_airflow_that_is_down_can_be_sent_to_another(world: Platform) -> None:
    """It is known that nothing has reached the first, so nobody has to wait until it can be asked."""
    world.prod.down = True
    await world.run_in("prod")
    assert world.says == (Phase.PENDING, "AirflowUnavailable")
    await world.edit(airflowRef={"name": "staging"})
    assert world.status.airflow_instance == "staging"
    assert world.status.phase is Phase.QUEUED
    world.prod.down = False
    assert not world.prod.runs


async def test_where_the_first_may_have_a_run_it_is_asked_before(world: Platform) -> None:
    world.prod.lose_answers = 1
    await world.run_in("prod")
    world.prod.down = True
    await world.edit(airflowRef={"name": "staging"})
    await world.later(40)
    assert not world.staging.runs
    world.prod.down = False
    await world.later(15)
    assert world.status.airflow_instance == "prod"
    assert not world.staging.runs


def test_a_spec_without_airflow_ref_hashes_as_before() -> None:
    assert spec_hash(MLJobSpec.model_validate({"dagId": "train", "conf": {"a": 1}})) == "sjtzyfbgop"


# Facts


async def test_an_event_of_another_airflow_changes_nothing(world: Platform) -> None:
    await world.run_in("prod")
    run_id = world.status.dag_run_id
    told = RunFact(RunState.RUNNING, StatusSource.KAFKA, world.clock(), world.clock())
    world.queue.tell({"staging"}, KEY, run_id, told, lambda: world.done.append(1))
    await world.settle()
    assert world.status.phase is Phase.QUEUED
    assert world.done == [1], "it is done with all the same"
    world.queue.tell({"prod", "staging"}, KEY, run_id, told, lambda: None)
    await world.settle()
    assert world.status.phase is Phase.RUNNING


async def test_a_run_of_the_same_id_in_another_airflow_changes_nothing(world: Platform) -> None:
    await world.run_in("prod")
    await world.staging.submit("train", world.status.dag_run_id, {}, "somebody else's")
    await world.end(world.staging, RunState.FAILED)
    assert world.status.phase is Phase.QUEUED


@pytest.mark.parametrize(
    ("topic", "source", "origins"),
    [
        pytest.param("airflow.events", "prod-source", {"prod"}, id="named"),
        pytest.param("airflow.events", "else", {"staging"}, id="claimed by nobody"),
        pytest.param("airflow.events", None, {"staging"}, id="without a source"),
        pytest.param("other", "prod-source", {"third"}, id="another topic"),
        pytest.param("unknown", "prod-source", set(), id="a topic of nobody"),
    ],
)
async def test_where_an_event_comes_from(world: Platform, topic: str, source: str | None, origins: set[str]) -> None:
    world.instance_objects.edit("prod", {"kafka": {"source": "prod-source"}})
    await world.add_instance("third", kafka={"topic": "other"})
    assert world.instances.origins(topic, source) == origins
    assert world.instances.topics() == {"airflow.events", "other"}


# Being ready


async def test_a_secret_that_is_missing_is_named_and_waited_for(world: Platform) -> None:
    del world.instance_objects.secrets["prod"]
    await world.look_after("prod")
    assert world.instance_says("prod")[:2] == ("False", "SecretMissing")
    await world.run_in("prod")
    assert world.says == (Phase.PENDING, "AirflowInstanceNotReady")
    assert "Secret prod is not there" in world.status.message
    world.instance_objects.secrets["prod"] = {"user": "mljob", "password": "right"}
    await world.look_after("prod")
    assert world.status.phase is Phase.QUEUED


async def test_a_key_that_is_missing_is_named(world: Platform) -> None:
    world.instance_objects.secrets["prod"] = {"user": "mljob", "passwd": "right"}
    await world.look_after("prod")
    status, reason, message = world.instance_says("prod")
    assert (status, reason) == ("False", "SecretMissing")
    assert "no key password; it has passwd, user" in message


async def test_a_secret_is_rotated_and_what_waits_goes_on(world: Platform) -> None:
    world.instance_objects.secrets["prod"]["password"] = "wrong"
    await world.look_after("prod")
    assert world.instance_says("prod")[:2] == ("False", "Unauthorized")
    await world.run_in("prod")
    assert world.says == (Phase.PENDING, "AirflowInstanceNotReady")
    world.instance_objects.secrets["prod"]["password"] = "right\n"
    await world.look_after("prod")
    assert world.instance_says("prod")[:2] == ("True", "Ready")
    assert world.status.phase is Phase.QUEUED
    assert [n.reason for name, n in world.instance_objects.notices if name == "prod"] == [
        "Ready",
        "Unauthorized",
        "Ready",
    ]


async def test_one_that_does_not_answer_is_not_ready_until_it_does(world: Platform) -> None:
    world.prod.down = True
    await world.look_after("prod")
    await world.run_in("prod")
    assert world.instance_says("prod")[:2] == ("False", "Unreachable")
    assert world.says == (Phase.PENDING, "AirflowInstanceNotReady")
    assert "submit" not in world.prod.calls
    world.prod.down = False
    await world.look_after("prod")
    assert world.status.phase is Phase.QUEUED


async def test_a_status_that_says_the_same_is_not_written_again(world: Platform) -> None:
    before = len(world.instance_objects.patches)
    for _ in range(5):
        world.clock.tick(15)
        await world.look_after("prod", "staging")
    assert len(world.instance_objects.patches) == before


# Access


RULES = [
    {"namespaceSelector": {"matchLabels": {"tier": "gold"}}, "dags": ["train*"]},
    {"namespaceSelector": {"matchLabels": {"tier": "silver"}}, "dags": ["predict"]},
]


async def test_without_a_rule_it_is_refused_until_the_namespace_has_the_label(world: Platform) -> None:
    world.instance_objects.edit("prod", {"access": RULES})
    await world.see_all()
    await world.run_in("prod")
    assert world.says == (Phase.PENDING, "ValidationFailed")
    assert world.condition("Stalled") == "True"
    assert "labels: kubernetes.io/metadata.name=team-a" in world.status.message
    assert "dags: [train]" in world.status.message
    assert "ValidationFailed" in world.told
    assert not world.held
    world.instance_objects.labels["team-a"]["tier"] = "gold"
    await world.see_all()
    assert world.status.phase is Phase.QUEUED
    assert world.condition("Stalled") == "False"


async def test_a_rule_that_is_added_lets_it_through(world: Platform) -> None:
    world.instance_objects.edit("prod", {"access": RULES})
    await world.see_all()
    await world.run_in("prod")
    world.instance_objects.edit("prod", {"access": [*RULES, {"dags": ["train"]}]})
    await world.see_all()
    assert world.status.phase is Phase.QUEUED


async def test_another_dag_lets_it_through(world: Platform) -> None:
    world.instance_objects.labels["team-a"]["tier"] = "silver"
    world.instance_objects.edit("prod", {"access": RULES})
    world.prod.dags["predict"] = ("score",)
    await world.see_all()
    await world.run_in("prod")
    assert world.says == (Phase.PENDING, "ValidationFailed")
    await world.edit(dagId="predict")
    assert world.prod.only_run("predict")


async def test_a_rule_that_goes_does_not_end_a_run_and_refuses_its_retry(world: Platform) -> None:
    await world.run_in("prod", backoffLimit=1)
    world.instance_objects.edit("prod", {"access": RULES})
    await world.see_all()
    assert world.status.phase is Phase.QUEUED
    await world.end(world.prod, RunState.FAILED)
    await world.later(11)
    assert world.says == (Phase.PENDING, "ValidationFailed")


async def test_a_namespace_that_is_not_known_yet_is_not_refused(world: Platform) -> None:
    world.instance_objects.edit("prod", {"access": [{"namespaceSelector": {"matchLabels": {"tier": "gold"}}}]})
    await world.see_all()
    world.jobs.create("early", {"dagId": "train", "airflowRef": {"name": "prod"}}, namespace="new")
    await world.see_all()
    assert world.jobs.objects["new", "early"]["status"]["reason"] == "Submitting"
    world.instance_objects.labels["new"] = {"tier": "gold"}
    await world.see_all()
    assert world.jobs.objects["new", "early"]["status"]["phase"] == "Queued"


# The limit


async def limited(world: Platform, count: int, limit: int = 2, **spec: Any) -> None:
    world.instance_objects.edit("prod", {"maxActiveRuns": limit})
    await world.see_all()
    await world.many(count, airflowRef={"name": "prod"}, cancellation={"strategy": "Api"}, **spec)


def active(world: Platform) -> list[str]:
    return sorted(
        run.run_id.split(".")[2] for run in world.prod.runs.values() if run.state in (RunState.QUEUED, RunState.RUNNING)
    )


def waiting(world: Platform) -> list[str]:
    return [
        name
        for (_, name), body in sorted(world.jobs.objects.items())
        if body.get("status", {}).get("reason") == "ConcurrencyLimit"
    ]


async def end_run_of(world: Platform, name: str, state: RunState = RunState.SUCCESS) -> None:
    (run,) = [run for run in world.prod.runs.values() if f".{name}." in run.run_id]
    for task_id, _ in list(run.tasks):
        world.prod.set_task(run, task_id, TaskState.SUCCESS if state is RunState.SUCCESS else TaskState.FAILED)
    world.prod.end(run, state)
    await world.look_everywhere()


async def test_there_are_never_more_runs_than_the_limit_and_they_go_in_order(world: Platform) -> None:
    await limited(world, 5)
    assert active(world) == ["job-0", "job-1"]
    assert waiting(world) == ["job-2", "job-3", "job-4"]
    assert "maxActiveRuns (2)" in world.status_of("job-2").message
    await end_run_of(world, "job-1")
    assert active(world) == ["job-0", "job-2"]
    await world.restart()
    await world.look_everywhere()
    assert active(world) == ["job-0", "job-2"]
    await end_run_of(world, "job-0")
    await end_run_of(world, "job-2")
    assert active(world) == ["job-3", "job-4"]
    assert waiting(world) == []


async def test_a_restart_submits_nothing_beyond_the_limit_whoever_is_seen_first(world: Platform) -> None:
    await limited(world, 4)
    world.jobs.objects = dict(reversed(world.jobs.objects.items()))
    await world.restart()
    assert active(world) == ["job-0", "job-1"]


async def test_one_whose_dag_is_not_there_keeps_nobody_waiting(world: Platform) -> None:
    await limited(world, 3, limit=1)
    world.jobs.create("lost", {"dagId": "nowhere", "airflowRef": {"name": "prod"}}, at="2025-12-31T00:00:00Z")
    await world.see_all()
    await end_run_of(world, "job-0")
    assert world.status_of("lost").reason == "DagNotFound"
    assert active(world) == ["job-1"]
    await world.later(60)
    await end_run_of(world, "job-1")
    await world.later(60)
    assert active(world) == ["job-2"]


async def test_a_submission_without_an_answer_keeps_its_place(world: Platform) -> None:
    world.prod.lose_answers = 1
    await limited(world, 2, limit=1)
    assert len(world.prod.runs) == 1
    assert waiting(world) == ["job-1"]
    await world.later(2)
    assert active(world) == ["job-0"]


async def test_one_that_is_cancelled_gives_its_place_to_the_next(world: Platform) -> None:
    await limited(world, 3, limit=1)
    world.jobs.user_deletes(("team-a", "job-0"), world.clock())
    await world.see_all()
    await world.look_everywhere()
    assert active(world) == ["job-1"]
    world.jobs.user_deletes(("team-a", "job-2"), world.clock())
    world.queue.vanished(("team-a", "job-2"), "uid-3")
    await end_run_of(world, "job-1")
    assert active(world) == []


async def test_a_higher_limit_counts_at_once(world: Platform) -> None:
    await limited(world, 4, limit=1)
    world.instance_objects.edit("prod", {"maxActiveRuns": 3})
    await world.see_all()
    assert active(world) == ["job-0", "job-1", "job-2"]


async def test_the_status_counts_who_runs_and_who_waits(world: Platform) -> None:
    await limited(world, 5)
    await world.look_after("prod")
    assert (world.instance("prod").active_runs, world.instance("prod").waiting_jobs) == (2, 3)


async def test_other_airflows_are_not_affected(world: Platform) -> None:
    await limited(world, 3, limit=1)
    await world.run_in("staging")
    assert world.status.phase is Phase.QUEUED


# Going


async def test_one_in_use_is_not_gone_until_its_runs_are_over(world: Platform) -> None:
    await world.run_in("prod")
    world.instance_objects.user_deletes("prod")
    await world.see_all()
    await world.look_after("prod")
    status, reason, message = world.instance_says("prod")
    assert (status, reason) == ("False", "Deleting")
    assert "team-a/churn" in message
    world.jobs.create("late", {"dagId": "train", "airflowRef": {"name": "prod"}})
    await world.see_all()
    assert world.status_of("late").reason == "AirflowInstanceNotReady"
    await world.end(world.prod)
    assert world.status.phase is Phase.SUCCEEDED
    await world.instances.look("prod")
    assert "prod" not in world.instance_objects.objects


async def test_one_that_nobody_uses_is_gone_at_once(world: Platform) -> None:
    world.instance_objects.user_deletes("prod")
    await world.see_all()
    await world.instances.look("prod")
    assert "prod" not in world.instance_objects.objects


async def test_one_that_is_gone_all_the_same_is_said_by_its_mljobs_and_taken_up_again(world: Platform) -> None:
    await world.run_in("prod")
    url, uid = world.status.dag_run_url, world.instance_objects.objects["prod"]["metadata"]["uid"]
    del world.instance_objects.objects["prod"]
    world.instances.vanished("prod", uid)
    await world.settle()
    assert world.says == (Phase.QUEUED, "AirflowInstanceNotFound")
    assert world.status.dag_run_url == url
    with pytest.raises(AirflowInstanceNotFound):
        world.instances.dag_runs("prod")
    airflow = world.prod
    world.prod = await world.add_instance("prod")
    world.prod.runs = airflow.runs
    await world.end(world.prod)
    assert world.status.phase is Phase.SUCCEEDED


async def test_a_deletion_with_its_airflow_gone_waits_for_its_time_only(world: Platform) -> None:
    await world.run_in("prod", cancellation={"timeoutSeconds": 60})
    uid = world.instance_objects.objects["prod"]["metadata"]["uid"]
    del world.instance_objects.objects["prod"]
    world.instances.vanished("prod", uid)
    await world.delete()
    await world.later(30)
    assert world.exists
    await world.later(31)
    assert not world.exists
    assert "CancellationAbandoned" in world.told


# Nobody waits for another


class Stuck(FakeAirflow):
    """An Airflow that takes every request and answers none."""

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if not asyncio.iscoroutinefunction(found) or name == "close":
            return found

        async def never(*_: Any, **__: Any) -> None:
            await asyncio.Event().wait()

        return never


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what happens in tasks of its own."""
    for _ in range(300):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("not within 3 s")


async def test_one_that_answers_nothing_slows_nobody_else() -> None:
    world = Platform()
    world.prod = await world.add_instance("prod")
    duties: list[asyncio.Task[None]] = []

    def do(duty: Any, name: str) -> asyncio.Task[None]:
        duties.append(asyncio.create_task(duty, name=name))
        return duties[-1]

    readers = Readers(
        world.instances, world.queue, world.clock, SilentMeter(), subscribe=None, do=do, prefix="mljob", interval=0.02
    )
    world.airflows["http://stuck:8080"] = Stuck(world.clock)
    world.instance_objects.secrets["stuck"] = {"user": "mljob", "password": "right"}
    credentials = {"passwordSecretRef": {"name": "stuck"}}
    world.instance_objects.create("stuck", {"url": "http://stuck:8080", "credentials": credentials})
    world.instances.observe(world.instance_objects.get("stuck"))
    readers.follow()
    world.instances.start()
    for name in ("stuck", "prod"):
        world.jobs.create(f"in-{name}", {"dagId": "train", "airflowRef": {"name": name}})
    for job in await world.jobs.list():
        world.queue.observe(job)
    await until(lambda: bool(world.prod.runs))
    run = world.prod.only_run()
    for task_id, _ in list(run.tasks):
        world.prod.set_task(run, task_id, TaskState.SUCCESS)
    world.prod.end(run, RunState.SUCCESS)
    await until(lambda: world.status_of("in-prod").phase is Phase.SUCCEEDED)
    assert world.status_of("in-stuck").reason == "AirflowInstanceNotReady"
    for task in duties:
        task.cancel()
    await asyncio.gather(*duties, return_exceptions=True)
    await world.instances.close()
    await world.queue.close()


async def test_what_concerns_one_airflow_wakes_nobody_in_another(world: Platform) -> None:
    """Nor does it wake runs in progress: an Airflow that comes and goes may have thousands of them."""
    await limited(world, 3, limit=1)
    world.staging.down = True
    await world.look_after("staging")
    await world.run_in("staging")
    world.jobs.create("runs", {"dagId": "train", "airflowRef": {"name": "prod"}})
    await world.see_all()
    woken = []
    world.queue._wake = lambda key: woken.append(key[1])  # type: ignore[method-assign]
    world.staging.down = False
    await world.instances.look("staging")
    assert woken == [KEY[1]]


class Silent:
    """A topic without a message."""

    def __init__(self, topic: str, closed: list[str]) -> None:
        self._topic, self._closed = topic, closed

    def start(self, *_: Any) -> None: ...
    def commit(self, *_: Any) -> None: ...

    async def close(self) -> None:
        self._closed.append(self._topic)


async def test_readers_come_and_go_with_the_instances(world: Platform) -> None:
    running: dict[str, asyncio.Task[None]] = {}
    closed: list[str] = []

    def do(duty: Any, name: str) -> asyncio.Task[None]:
        running[name] = asyncio.create_task(duty, name=name)
        running[name].add_done_callback(lambda _: running.pop(name))
        return running[name]

    readers = Readers(
        world.instances,
        world.queue,
        world.clock,
        SilentMeter(),
        subscribe=lambda topic: Silent(topic, closed),  # type: ignore[arg-type,return-value]
        do=do,
        prefix="mljob",
        interval=1,
    )
    readers.follow()
    assert set(running) == {"resync prod", "resync staging", "status pipeline airflow.events"}
    await world.add_instance("third", kafka={"topic": "third.events"})
    readers.follow()
    readers.follow()
    assert set(running) == {
        "resync prod",
        "resync staging",
        "resync third",
        "status pipeline airflow.events",
        "status pipeline third.events",
    }
    await asyncio.sleep(0)
    world.instance_objects.user_deletes("third")
    await world.see_all()
    await world.instances.look("third")
    world.instances.vanished("third", world.instances._members["third"].instance.uid)
    readers.follow()
    await until(lambda: len(running) == 3)
    assert closed == ["third.events"]
    for task in list(running.values()):
        task.cancel()
    await until(lambda: not running)


async def test_an_event_says_who_is_meant(world: Platform) -> None:
    await world.run_in("prod")
    await world.look_everywhere()
    world.queue.tell({"prod"}, KEY, world.status.dag_run_id, event("extract", TaskState.RUNNING), lambda: None)
    await world.settle()
    assert world.status.current_task == "extract"
