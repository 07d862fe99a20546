"""The metrics and traces of an MLJob."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from mljob_operator.adapters.job_metrics import JobMetrics
from mljob_operator.core.mljob.attempt_trace import AttemptTrace
from mljob_operator.core.run.states import RunState
from mljob_operator.ports import Tracer

from .conftest import KEY, World
from .runs import begin, end, finish, newest

STAGES = ("submission_wait", "queue_wait", "run", "duration")


@pytest.fixture
def registry(world: World) -> CollectorRegistry:
    registry = CollectorRegistry()
    world.meter.jobs = JobMetrics(registry)
    world.start()
    return registry


def phases(registry: CollectorRegistry, name: str = "mljob_jobs") -> dict[tuple[str, str], float]:
    return {
        (sample.labels["phase"], sample.labels["reason"]): sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == name
    }


def seconds(registry: CollectorRegistry, stage: str) -> tuple[float, float]:
    found = [sample for family in registry.collect() for sample in family.samples]
    name = f"mljob_job_{stage}_seconds"
    counts = sum(sample.value for sample in found if sample.name == f"{name}_count")
    return counts, sum(sample.value for sample in found if sample.name == f"{name}_sum")


async def test_an_mljob_is_counted_where_its_status_says(world: World, registry: CollectorRegistry) -> None:
    await world.apply(type="Training")
    assert phases(registry) == {("Queued", "Queued"): 1}
    assert registry.get_sample_value("mljob_jobs_live") == world.job_controller.lister.count() == 1
    await begin(world)
    assert [phase for phase, _ in phases(registry)] == ["Running"]
    await finish(world)
    assert phases(registry) == {}
    assert phases(registry, "mljob_jobs_finished_total") == {("Succeeded", "Succeeded"): 1}
    labels = {"namespace": "team-a", "type": "Training", "airflow": "", "phase": "Succeeded", "reason": "Succeeded"}
    assert registry.get_sample_value("mljob_jobs_finished_total", labels) == 1


async def test_an_mljob_that_is_deleted_or_vanishes_is_not_counted(world: World, registry: CollectorRegistry) -> None:
    await world.apply(suspend=True)
    assert phases(registry) == {("Suspended", "Suspended"): 1}
    uid = world.jobs.objects[KEY]["metadata"]["uid"]
    del world.jobs.objects[KEY]
    world.observe_deletion(KEY, uid)
    await world.settle()
    assert phases(registry) == {}

    await world.apply()
    del world.jobs.objects[KEY]  # the watch was interrupted, and reports no deletion
    await finish(world)
    assert phases(registry) == {}


async def test_waits_and_durations_of_a_run_are_recorded_when_they_end(
    world: World, registry: CollectorRegistry
) -> None:
    await world.apply()
    assert [seconds(registry, stage)[0] for stage in STAGES] == [1, 0, 0, 0]
    world.clock.tick(30)
    await begin(world)
    assert [seconds(registry, stage)[0] for stage in STAGES] == [1, 1, 0, 0]
    assert seconds(registry, "queue_wait")[1] == pytest.approx(30, abs=2)
    world.clock.tick(120)
    await finish(world)
    await world.look()
    assert [seconds(registry, stage)[0] for stage in STAGES] == [1, 1, 1, 1]
    assert seconds(registry, "run")[1] == pytest.approx(120, abs=2)
    assert seconds(registry, "duration")[1] == pytest.approx(150, abs=4)


@pytest.mark.parametrize("strategy", ["ClearFailed", "NewRun"])
async def test_each_attempt_counts_from_the_end_of_the_attempt_before_it(
    world: World, registry: CollectorRegistry, strategy: str
) -> None:
    await world.apply(backoffLimit=1, retryStrategy=strategy)
    await begin(world)
    world.clock.tick(100)
    await end(world, RunState.FAILED)
    assert seconds(registry, "duration")[0] == 1
    first = seconds(registry, "duration")[1]
    await world.later(10)
    assert seconds(registry, "submission_wait")[0] == 2
    assert seconds(registry, "submission_wait")[1] == pytest.approx(10, abs=2)
    world.clock.tick(20)
    world.airflow.begin(newest(world))
    await world.look()
    assert seconds(registry, "queue_wait")[0] == 2
    assert seconds(registry, "queue_wait")[1] == pytest.approx(20, abs=3)
    world.clock.tick(40)
    await end(world, RunState.SUCCESS)
    await world.look()
    assert seconds(registry, "duration")[0] == 2
    assert seconds(registry, "duration")[1] - first == pytest.approx(70, abs=5)
    assert phases(registry, "mljob_jobs_finished_total") == {("Succeeded", "Succeeded"): 1}


async def test_a_suspension_is_no_waiting_time(world: World, registry: CollectorRegistry) -> None:
    await world.apply(suspend=True)
    world.clock.tick(1000)
    await world.edit(suspend=False)
    assert seconds(registry, "submission_wait")[0] == 1
    assert seconds(registry, "submission_wait")[1] < 5


async def test_a_restarted_operator_counts_no_end_again(world: World, registry: CollectorRegistry) -> None:
    await world.apply()
    await begin(world)
    await finish(world)
    await world.restart()
    await world.look()
    assert phases(registry, "mljob_jobs_finished_total") == {("Succeeded", "Succeeded"): 1}
    assert [seconds(registry, stage)[0] for stage in STAGES] == [1, 1, 1, 1]


async def test_deleted_namespace_has_no_series(world: World, registry: CollectorRegistry) -> None:
    await world.apply()
    await finish(world)
    assert phases(registry, "mljob_jobs_finished_total")
    world.instances.observe_namespace_deletion("team-a")
    assert phases(registry, "mljob_jobs_finished_total") == {}


async def test_mljobs_count_by_their_airflow_instance(world: World, registry: CollectorRegistry) -> None:
    await world.add_instance("prod")
    await world.apply(airflowRef={"name": "prod"})
    airflows = [s.labels["airflow"] for f in registry.collect() for s in f.samples if s.name == "mljob_jobs"]
    assert airflows == ["prod"]


async def test_the_lag_of_a_write_counts_from_the_input(world: World) -> None:
    lags: list[float] = []
    world.meter.write_lag = lags.append  # type: ignore[attr-defined]
    world.start()
    await world.apply()
    assert lags
    assert min(lags) >= 0
    assert max(lags) < 60
    before = len(lags)
    await world.later(1)
    assert len(lags) == before, "a step that stores no status has no lag"


class Exported(Tracer):
    def __init__(self) -> None:
        self.traces: list[AttemptTrace] = []

    def attempt_ended(self, trace: AttemptTrace) -> None:
        self.traces.append(trace)


async def test_each_attempt_is_traced_once_when_it_ends(world: World) -> None:
    world.tracer = exported = Exported()
    world.start()
    await world.apply(backoffLimit=1)
    await begin(world)
    assert exported.traces == []
    await end(world, RunState.FAILED)
    assert [trace.number for trace in exported.traces] == [1]
    await world.later(10)
    world.airflow.begin(newest(world))
    world.clock.tick(1)
    await world.look()
    world.clock.tick(30)
    await end(world, RunState.SUCCESS)
    await world.restart()
    await world.look()
    first, second = exported.traces
    assert (first.run_id, first.number, first.succeeded) == (second.run_id, 1, False)
    assert (second.number, second.succeeded) == (2, True)
    assert first.trace_id != second.trace_id
    for trace in exported.traces:
        assert list(trace.parts) == ["submission", "queue", "run", "verdict"]
        assert trace.attributes["airflow.dag_id"] == "train"
    assert second.whole.begins_at >= first.parts["run"].ends_at
