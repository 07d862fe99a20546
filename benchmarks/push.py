"""From a task's event in Kafka to the change at a Kubernetes watcher: the operator beside the floor, in turns.

Both get the same events at the same rate, each about MLJobs in a namespace of its own, which the other does not watch. They take turns
in short blocks, and the one that goes first changes, so that whatever the machine does besides falls on both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psutil
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from benchmarks.figures import Comparison, Load, Side
from benchmarks.stage import Stage
from benchmarks.traffic import Target, Traffic
from benchmarks.watcher import Watcher
from devstack.progress import say, step

OPERATOR, FLOOR = "bench-push", "bench-floor"
FLOOR_TOPIC = "bench.floor"
NEVER = "3600"
"""Seconds between two looks at Airflow's change feed, where events alone are measured."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured.

    Attributes:
        blocks: Rate in events a second, and how many blocks at it.
        seconds: Of one block.
    """

    jobs: int = 50
    blocks: tuple[tuple[float, int], ...] = ((20, 6), (150, 4))
    seconds: float = 10


@dataclass(frozen=True, slots=True)
class Result:
    """Comparisons by rate, and the first rate again with the change feed read as often as by default."""

    rates: tuple[Comparison, ...]
    default_resync: Comparison


def measure(stage: Stage, plan: Plan) -> Result:
    """Compare."""
    names = stage.populate(FLOOR, plan.jobs)
    stage.populate(OPERATOR, plan.jobs)
    _make_topic(stage.brokers)
    floor_environment = {
        "KUBECONFIG": str(stage.stack.kubeconfig),
        "BENCH_BROKERS": stage.brokers,
        "BENCH_TOPIC": FLOOR_TOPIC,
    }
    with Watcher(stage.credentials) as watcher, stage.process("benchmarks.floor", floor_environment) as bare:
        floors = [Target(FLOOR, name, f"floor.{name}") for name in names]
        floor = _Contestant(bare, Traffic(stage.brokers, FLOOR_TOPIC, floors, watcher))
        with stage.operator(MLJOB_NAMESPACES=OPERATOR, MLJOB_RESYNC_INTERVAL_SECONDS=NEVER) as process:
            runs = stage.wait_until_queued(OPERATOR, plan.jobs)
            targets = [Target(OPERATOR, name, run_id) for name, run_id in runs.items()]
            operator = _Contestant(process, Traffic(stage.brokers, stage.topic, targets, watcher))
            _warm_up(floor, operator)
            rates = tuple(
                _compare(operator, floor, rate, count, plan.seconds, "events alone") for rate, count in plan.blocks
            )
        with stage.operator(MLJOB_NAMESPACES=OPERATOR) as process:
            operator = operator.now(process)
            _warm_up(floor, operator)
            rate, count = plan.blocks[0]
            default = _compare(operator, floor, rate, max(1, count // 3), plan.seconds, "with the change feed")
    return Result(rates, default)


@dataclass(frozen=True, slots=True)
class _Contestant:
    """A process, and the traffic that keeps it busy."""

    process: psutil.Process
    traffic: Traffic

    def now(self, process: psutil.Process) -> _Contestant:
        """The same traffic for another process."""
        return _Contestant(process, self.traffic)

    def block(self, rate: float, seconds: float) -> tuple[tuple[float, ...], Load]:
        """One block: each event's milliseconds, and what it cost."""
        psutil.cpu_percent()
        before = self.process.cpu_times()
        took = self.traffic.run(rate, seconds)
        after = self.process.cpu_times()
        cpu = after.user + after.system - before.user - before.system
        return tuple(took), Load(cpu * 1000 / len(took), psutil.cpu_percent())


def _warm_up(*contestants: _Contestant) -> None:
    with step("events", "waiting for the first statuses"):
        for contestant in contestants:
            contestant.traffic.warm_up()
        # First blocks pay for what is done once: connections, caches, the interpreter's specialisations.
        for contestant in contestants:
            contestant.traffic.run(50, 2)


def _compare(
    operator: _Contestant, floor: _Contestant, rate: float, count: int, seconds: float, what: str
) -> Comparison:
    ours: list[tuple[tuple[float, ...], Load]] = []
    floors: list[tuple[tuple[float, ...], Load]] = []
    turns: list[Callable[[], None]] = [
        lambda: ours.append(operator.block(rate, seconds)),
        lambda: floors.append(floor.block(rate, seconds)),
    ]
    with step("events", f"{rate:.0f}/s, {count} blocks of {seconds:.0f} s each for operator and floor, {what}"):
        for turn in range(count):
            for block in turns if turn % 2 == 0 else reversed(turns):
                block()
    result = Comparison(rate, _side(ours), _side(floors))
    say(
        f"  {'':<24} p50 {result.operator.p(0.5):.1f} ms, floor {result.floor.p(0.5):.1f} ms: "
        f"ratio {result.operator.p(0.5) / result.floor.p(0.5):.2f}"
    )
    return result


def _side(blocks: Sequence[tuple[tuple[float, ...], Load]]) -> Side:
    return Side(tuple(samples for samples, _ in blocks), tuple(load for _, load in blocks))


def _make_topic(brokers: str) -> None:
    """With as many partitions as the operator's own."""
    admin = AdminClient({"bootstrap.servers": brokers})
    [made] = admin.create_topics([NewTopic(FLOOR_TOPIC, num_partitions=4, replication_factor=1)]).values()
    made.result(timeout=10)
