"""Measures the latency from a task's event in Kafka to the change at a Kubernetes watch, for the
operator and for the floor. The floor is a process that does the least possible work
(:mod:`benchmarks.floor`).

The operator and the floor get events of the same kind at the same rate, each in its own namespace
and Kafka topic. The two are measured alternately in short blocks, so that other load of the machine
affects both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psutil
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from benchmarks.bench_stack import BenchStack
from benchmarks.figures import Comparison, Load, Side
from benchmarks.traffic import Target, Traffic
from benchmarks.watcher import Watcher
from devstack.progress import say, step

OPERATOR, FLOOR = "bench-push", "bench-floor"
FLOOR_TOPIC = "bench.floor"
NEVER = "3600"
"""Seconds between two reads of Airflow's change feed: longer than the benchmark, so that only
events change statuses."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The size of the benchmark, which compares the operator with the floor. The floor is a process
    that does the least possible work.

    Attributes:
        jobs: The number of MLJobs of the operator. The floor has the same number of other MLJobs.
        blocks: Pairs of a rate in events per second, and the number of blocks at this rate. The
            operator and the floor get this number of blocks each.
        seconds: The length of a block.
    """

    jobs: int = 50
    blocks: tuple[tuple[float, int], ...] = ((20, 6), (150, 4))
    seconds: float = 10


@dataclass(frozen=True, slots=True)
class Result:
    """The comparisons of the operator with the floor, which is a process that does the least
    possible work.

    Attributes:
        rates: The comparison at each rate, with an operator that only reads events.
        default_resync: The comparison at the first rate, with an operator that also reads changes
            from Airflow's REST API, at the default interval.
    """

    rates: tuple[Comparison, ...]
    default_resync: Comparison


def measure(bench: BenchStack, plan: Plan) -> Result:
    """Measure the operator and the floor (:mod:`benchmarks.floor`) at each rate of the plan."""
    names = bench.populate(FLOOR, plan.jobs)
    bench.populate(OPERATOR, plan.jobs)
    _make_topic(bench.brokers)
    floor_environment = {
        "KUBECONFIG": str(bench.stack.kubeconfig),
        "BENCH_BROKERS": bench.brokers,
        "BENCH_TOPIC": FLOOR_TOPIC,
    }
    with Watcher(bench.credentials) as watcher, bench.process("benchmarks.floor", floor_environment) as bare:
        floors = [Target(FLOOR, name, f"floor.{name}") for name in names]
        floor = _Subject(bare, Traffic(bench.brokers, FLOOR_TOPIC, floors, watcher))
        with bench.operator(MLJOB_NAMESPACES=OPERATOR, MLJOB_RESYNC_INTERVAL_SECONDS=NEVER) as process:
            runs = bench.wait_until_queued(OPERATOR, plan.jobs)
            targets = [Target(OPERATOR, name, run_id) for name, run_id in runs.items()]
            operator = _Subject(process, Traffic(bench.brokers, bench.topic, targets, watcher))
            _warm_up(floor, operator)
            rates = tuple(
                _compare(operator, floor, rate, count, plan.seconds, "events only") for rate, count in plan.blocks
            )
        with bench.operator(MLJOB_NAMESPACES=OPERATOR) as process:
            operator = operator.restarted(process)
            _warm_up(floor, operator)
            rate, count = plan.blocks[0]
            default = _compare(operator, floor, rate, max(1, count // 3), plan.seconds, "with the change feed")
    return Result(rates, default)


@dataclass(frozen=True, slots=True)
class _Subject:
    """A measured process, the operator or the floor, and the events that are sent to the process."""

    process: psutil.Process
    traffic: Traffic

    def restarted(self, process: psutil.Process) -> _Subject:
        return _Subject(process, self.traffic)

    def block(self, rate: float, seconds: float) -> tuple[tuple[float, ...], Load]:
        """Send ``rate`` events per second for ``seconds`` seconds. Return the latency of each event
        in milliseconds, and the CPU load of the process and of the machine.
        """
        psutil.cpu_percent()
        before = self.process.cpu_times()
        took = self.traffic.run(rate, seconds)
        after = self.process.cpu_times()
        cpu = after.user + after.system - before.user - before.system
        return tuple(took), Load(cpu * 1000 / len(took), psutil.cpu_percent())


def _warm_up(*subjects: _Subject) -> None:
    with step("events", "waiting for the first statuses"):
        for subject in subjects:
            subject.traffic.warm_up()
        # Without this block the first measured block would include one-time work: connections,
        # caches, specialised bytecode.
        for subject in subjects:
            subject.traffic.run(50, 2)


def _compare(operator: _Subject, floor: _Subject, rate: float, count: int, seconds: float, what: str) -> Comparison:
    ours: list[tuple[tuple[float, ...], Load]] = []
    floors: list[tuple[tuple[float, ...], Load]] = []
    turns: list[Callable[[], None]] = [
        lambda: ours.append(operator.block(rate, seconds)),
        lambda: floors.append(floor.block(rate, seconds)),
    ]
    with step("events", f"{rate:.0f} events/s, {count} blocks of {seconds:.0f} s for operator and floor, {what}"):
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
    admin = AdminClient({"bootstrap.servers": brokers})
    [created] = admin.create_topics([NewTopic(FLOOR_TOPIC, num_partitions=4, replication_factor=1)]).values()
    created.result(timeout=10)
