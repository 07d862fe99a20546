"""A state machine with which Hypothesis plays the users, the servers and the network of a
:class:`.World`.

These promises must hold after each step:

- An MLJob has at most one active run. Runs that a user has cleared in Airflow don't count.
- Each active run belongs to an existing MLJob. :meth:`.World.left_behind` lists the exceptions.
- The phase changes only as ``core.run.states.TRANSITIONS`` allows.
- An entry in the status's history never changes.
- ``status.lastHandledRetry`` of an MLJob never gets the same value twice.

At the end, all servers work again. Then each status must agree with Airflow, and each request of a
user must be fulfilled.

An example is one sequence of steps. The environment variable ``PROMISES_EXAMPLES`` sets the number
of random examples, and ``PROMISES_SEED`` (default 0) sets their seed. Without
``PROMISES_EXAMPLES``, there are 60 examples or fewer, which are the same in each test run.
"""

from __future__ import annotations

import os
from collections import Counter
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, event, note, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from mljob_operator.controllers.mljob.actions import UNKNOWN_FOR
from mljob_operator.core.run.run_key import Key
from mljob_operator.core.run.states import TERMINAL_RUN, RunState

from .airflow import CHILD
from .convergence import unkept
from .network import Fault, When
from .world import World

NAMESPACE = "team-a"
NAMES = ("churn", "score")
STEPS = Counter[str]()
"""How often each rule ran, for debugging."""

FORGED = (
    "dag_run.running",
    "dag_run.success",
    "dag_run.failed",
    "task_instance.running",
    "task_instance.success",
    "task_instance.failed",
)

keys = st.sampled_from([(NAMESPACE, name) for name in NAMES])
moments = st.sampled_from([0.0, 0.004, 0.012, 0.05, 0.4])
whiles = st.sampled_from([0.4, 1.5, 4.0, 11.0, 21.0, 45.0])
indexes = st.integers(0, 30)
tasks = st.sampled_from(["extract", "fit", "work", "invented"])
tries = st.sampled_from([1, 2, 7])
servers = st.sampled_from(["airflow", "kubernetes"])
which = st.sampled_from([0, 0, 1])
"""The index in :attr:`.World.processes` of the operator to which a rule happens: usually 0, the
oldest operator.
"""
specs = st.runner().flatmap(lambda machine: machine.specs)
edits = st.runner().flatmap(lambda machine: machine.edits)


ROUND = 20
"""The seconds of virtual time in a round. The end of an example takes several rounds
(:meth:`Machine._let_time_pass`), and the cancellation DAG works once in each.
"""
ROUNDS_AT_MOST = 60
"""The maximum number of rounds. Together they are long enough for deadlines that start anew when a
retry is requested, or when an MLJob waits for another one.
"""
ROUNDS_AT_REST = 3
"""The number of rounds without a change after which the example ends. Together they are longer than
a backoff and a cancellation.
"""


class Machine(RuleBasedStateMachine):
    """A simulated world, with a rule for each kind of step that Hypothesis can take. The argument
    ``then`` of a rule is the virtual time in seconds that passes after the step.

    Attributes:
        specs: Draws the spec of a new MLJob.
        edits: Draws the change of a spec.
        rounds_at_least: The minimum number of rounds of ``ROUND`` virtual seconds in
            :meth:`_let_time_pass`. Together, these rounds take longer than any backoff or deadline
            in the tests, and longer than the time until the operator lists all active runs again.
    """

    specs: st.SearchStrategy[dict[str, Any]]
    edits: st.SearchStrategy[dict[str, Any]]
    rounds_at_least = 10

    def __init__(self) -> None:
        super().__init__()
        self.world = self.new_world()
        self.denied = False
        self.retries = 0

    def new_world(self) -> World:
        return World()

    def _any(self, *, going: bool) -> bool:
        """If ``going`` is true, return whether at least one MLJob is being deleted. If ``going`` is
        false, return whether at least one MLJob is not being deleted.
        """
        return any(("deletionTimestamp" in body["metadata"]) is going for body in self.world.cluster.objects.values())

    def _then(self, rule_name: str, seconds: float) -> None:
        STEPS[rule_name] += 1
        self.world.look()
        self.world.run(seconds)

    # The user

    @initialize(key=keys, spec=specs, then=moments, policy=st.booleans())
    def begins(self, key: Key, spec: dict[str, Any], then: float, *, policy: bool) -> None:
        self.world.cluster.admission_policy = policy
        self.create(key, spec, then)

    @precondition(lambda self: len(self.world.cluster.objects) < len(NAMES))
    @rule(key=keys, spec=specs, then=moments)
    def create(self, key: Key, spec: dict[str, Any], then: float) -> None:
        if key not in self.world.cluster.objects:
            at = self.world.airflow_clock().replace(microsecond=0).isoformat()
            self.world.cluster.create(key[1], spec, at=at)
            self._then("create", then)

    @precondition(lambda self: self._any(going=False))
    @rule(key=keys, change=edits, then=moments)
    def edit(self, key: Key, change: dict[str, Any], then: float) -> None:
        body = self.world.cluster.objects.get(key)
        if body is None or "deletionTimestamp" in body["metadata"]:
            return
        if body["spec"] | change != body["spec"]:
            self.world.cluster.edit(key, change)
            self._then("edit", then)

    @precondition(lambda self: self._any(going=False))
    @rule(index=indexes, then=moments)
    def request_a_retry(self, index: int, then: float) -> None:
        objects = self.world.cluster.objects
        there = [key for key, body in objects.items() if "deletionTimestamp" not in body["metadata"]]
        self.retries += 1
        self.world.cluster.request_retry(there[index % len(there)], f"request {self.retries}")
        self._then("request_a_retry", then)

    @precondition(lambda self: self._any(going=True))
    @rule(key=keys, policy=st.sampled_from(["Cancel", "Retain"]), then=moments)
    def edit_while_it_goes(self, key: Key, policy: str, then: float) -> None:
        body = self.world.cluster.objects.get(key)
        if body is not None and "deletionTimestamp" in body["metadata"]:
            self.world.cluster.edit(key, {"deletionPolicy": policy})
            self._then("edit_while_it_goes", then)

    @precondition(lambda self: self._any(going=False))
    @rule(key=keys, then=moments)
    def delete(self, key: Key, then: float) -> None:
        body = self.world.cluster.objects.get(key)
        if body is not None and "deletionTimestamp" not in body["metadata"]:
            self.world.cluster.user_deletes(key, self.world.airflow_clock().replace(microsecond=0))
            self._then("delete", then)

    # Airflow

    @precondition(lambda self: self.world.at_work())
    @rule(index=indexes, then=moments)
    def airflow_goes_on(self, index: int, then: float) -> None:
        if steps := self.world.steps():
            step = steps[index % len(steps)]
            note(f"  {step}")
            step.do()
            self._then("airflow_goes_on", then)

    @precondition(lambda self: self.world.at_work())
    @rule(state=st.sampled_from([RunState.SUCCESS, RunState.FAILED]), index=indexes, then=moments)
    def a_run_comes_to_its_end(self, state: RunState, index: int, then: float) -> None:
        if found := self.world.going_on():
            airflow, run = found[index % len(found)]
            airflow.finish(run, state)
            self._then("a_run_comes_to_its_end", then)

    @rule(then=moments)
    def deploy_or_remove_a_dag(self, then: float) -> None:
        dags = self.world.airflow.dags
        if dags.pop("missing", None) is None:
            dags["missing"] = ("score",)
        self._then("deploy_or_remove_a_dag", then)

    # Kafka

    @precondition(lambda self: self.world.topic.under_way)
    @rule(index=indexes, copies=st.sampled_from([0, 1, 1, 1, 2]), then=moments)
    def an_event_arrives(self, index: int, copies: int, then: float) -> None:
        self.world.topic.arrives(index, copies)
        self._then("an_event_arrives", then)

    @precondition(lambda self: self.world.topic.under_way)
    @rule(then=moments)
    def all_events_arrive(self, then: float) -> None:
        while self.world.topic.under_way:
            self.world.topic.arrives(0, 1)
        self._then("all_events_arrive", then)

    @precondition(lambda self: self.world.at_work())
    @rule(name=st.sampled_from(FORGED), wrong_dag=st.booleans(), task=tasks, tried=tries, index=indexes, then=moments)
    def somebody_else_writes_to_the_topic(
        self, name: str, wrong_dag: bool, task: str, tried: int, index: int, then: float
    ) -> None:
        runs = [(airflow, run) for airflow in self.world.airflows.values() for run in airflow.followed()]
        if found := [(airflow, run) for airflow, run in runs if run.state not in TERMINAL_RUN and run.dag_id != CHILD]:
            airflow, run = found[index % len(found)]
            of_task = {"task_id": task, "try_number": tried, "map_index": -1} if name.startswith("task") else {}
            airflow.forge(run, name, CHILD if wrong_dag else run.dag_id, **of_task)
            self.world.topic.arrives(-1, 1)
            self._then("somebody_else_writes_to_the_topic", then)

    @rule(then=moments)
    def the_group_rebalances(self, then: float) -> None:
        if self.world.process is not None:
            self.world.soon(self.world.process.reader.rebalance)
            self._then("the_group_rebalances", then)

    # The network

    @rule(who=servers, then=moments)
    def down_or_up(self, who: str, then: float) -> None:
        self.world.network.down ^= {who}
        self._then("down_or_up", then)

    @rule(then=moments)
    def kafka_down_or_up(self, then: float) -> None:
        self.world.topic.down ^= True
        self._then("kafka_down_or_up", then)

    @rule(
        who=servers,
        faults=st.lists(st.sampled_from([None, *Fault]), min_size=1, max_size=4),
        then=moments,
    )
    def requests_fail(self, who: str, faults: list[Fault], then: float) -> None:
        self.world.network.faults[who] = list(faults)
        self._then("requests_fail", then)

    @precondition(lambda self: not self.denied)
    @rule(then=whiles)
    def airflow_denies_a_run(self, then: float) -> None:
        self.denied = True
        for airflow in self.world.airflows.values():
            airflow.denies = 1
            # With several Airflows, only one of them answers falsely.
            break
        self._then("airflow_denies_a_run", then)

    @precondition(lambda self: self.world.network.strays)
    @rule(index=indexes, then=moments)
    def a_request_arrives_after_all(self, index: int, then: float) -> None:
        strays = self.world.network.strays
        stray = strays.pop(index % len(strays))
        if self.world.loop.time() < stray.until:
            note(f"  {stray.name}")
            self.world.lands(stray)
            self._then("a_request_arrives_after_all", then)

    @precondition(lambda self: self.world.network.strays)
    @rule(index=indexes, after=st.sampled_from([1.0, 5.0, 20.0]), then=moments)
    def a_request_arrives_very_late(self, index: int, after: float, then: float) -> None:
        strays = self.world.network.strays
        stray = strays.pop(index % len(strays))
        self.world.run(max(0.0, stray.since + UNKNOWN_FOR.total_seconds() + after - self.world.loop.time()))
        note(f"  {stray.name}")
        self.world.lands(stray)
        self._then("a_request_arrives_very_late", then)

    @precondition(lambda self: not self.world.cluster.is_behind)
    @rule(versions=st.sampled_from([0, 1, 3, 10]), seconds=whiles, then=moments)
    def the_apiserver_falls_behind(self, versions: int, seconds: float, then: float) -> None:
        self.world.fall_behind(versions, seconds)
        self._then("the_apiserver_falls_behind", then)

    @rule(how=st.sampled_from(["stalls", "goes on", "begins anew"]), then=moments)
    def the_watch(self, how: str, then: float) -> None:
        if (process := self.world.process) is not None:
            if how == "begins anew":
                self.world.soon(process.list_again)
            else:
                process.watching = how == "goes on"
            self._then("the_watch", then)

    @rule(seconds=st.sampled_from([0.001, 0.01, 0.1]), then=moments)
    def the_watch_takes(self, seconds: float, then: float) -> None:
        self.world.watch_takes = seconds
        self._then("the_watch_takes", then)

    # The operator process

    @rule(which=which, then=moments)
    def kill(self, which: int, then: float) -> None:
        self.world.kill(which)
        self._then("kill", then)

    @rule(calls=st.integers(1, 12), when=st.sampled_from(list(When)), which=which, then=whiles)
    def die_at_a_request(self, calls: int, when: When, which: int, then: float) -> None:
        self.world.die_at(calls, when, which)
        self._then("die_at_a_request", then)

    @precondition(lambda self: self.world.process is None)
    @rule(then=whiles)
    def start(self, then: float) -> None:
        self.world.start()
        self._then("start", then)

    @precondition(lambda self: len(self.world.processes) == 1)
    @rule(then=whiles)
    def a_second_operator_starts(self, then: float) -> None:
        """Start a second operator. In a :class:`.ReplicatedWorld`, the second operator waits for
        the Lease. In any other world, both operators act at the same time.
        """
        self.world.start(beside=True)
        self._then("a_second_operator_starts", then)

    @precondition(lambda self: len(self.world.processes) > 1)
    @rule(which=which, who=servers, then=moments)
    def one_operator_is_cut_off_or_back(self, which: int, who: str, then: float) -> None:
        self.world.processes[which].wire.cut ^= {who}
        self._then("one_operator_is_cut_off_or_back", then)

    # Time

    @rule(seconds=whiles)
    def time_passes(self, seconds: float) -> None:
        self._then("time_passes", seconds)

    @rule(who=st.sampled_from(["clock", "airflow_clock"]), seconds=st.sampled_from([-1.5, -4.0]), then=moments)
    def a_clock_jumps_back(self, who: str, seconds: float, then: float) -> None:
        getattr(self.world, who).skew = timedelta(seconds=seconds)
        self._then("a_clock_jumps_back", then)

    # Promises

    @invariant()
    def no_promise_is_broken(self) -> None:
        assert not (broken := self.world.broken), chr(10).join(broken)

    def teardown(self) -> None:
        try:
            if self.world.broken:
                return
            self.ends_well()
            for key in self.world.cluster.objects:
                event(f"ends {self.world.status(key).phase}")
        finally:
            self.world.close()

    def ends_well(self) -> None:
        """Repair all servers and the network. Assert that each status agrees with Airflow, and that
        each request of a user is fulfilled. Let the active runs succeed, and assert the same again.
        """
        self._mend()
        self._let_time_pass()
        self._assert_kept()
        for _ in range(12):
            if not (found := self.world.going_on()):
                break
            for airflow, run in found:
                airflow.finish(run, RunState.SUCCESS)
            self._let_time_pass()
        self._assert_kept()

    def _assert_kept(self) -> None:
        unkept_now = [*unkept(self.world), *self.world.broken]
        assert not unkept_now, "\n".join(unkept_now)

    def _mend(self) -> None:
        world = self.world
        world.network.down.clear()
        world.network.faults = {"airflow": [], "kubernetes": []}
        world.network.strays.clear()
        for airflow in world.airflows.values():
            airflow.denies = 0
        world.topic.down = False
        for airflow in world.airflows.values():
            airflow.paused.clear()
            airflow.dags["missing"] = ("score",)
            for run in list(airflow.runs.values()):
                airflow.store(run.dag_id, run.run_id)
        world.clock.skew = world.airflow_clock.skew
        while world.topic.under_way:
            world.topic.arrives(0, 1)
        world.cluster.catch_up()
        for process in world.processes:
            process.wire.dies_at = None
        world.leave_one()
        assert world.process is not None
        world.process.wire.cut.clear()
        world.soon(world.process.list_again)

    def _let_time_pass(self) -> None:
        """Let virtual time pass until the MLJobs no longer change. Fail if the MLJobs still change
        after ``ROUNDS_AT_MOST`` rounds of ``ROUND`` seconds.
        """
        rounds = at_rest = 0
        while rounds < self.rounds_at_least or (at_rest < ROUNDS_AT_REST and rounds < ROUNDS_AT_MOST):
            before = self.world.cluster.versions
            for airflow in self.world.airflows.values():
                airflow.cancellations_go_on()
                airflow.backfills.close_ended()
            self.world.look()
            self.world.run(ROUND)
            rounds += 1
            at_rest = at_rest + 1 if self.world.cluster.versions == before else 0
        restless = [f"MLJobs still change after {rounds * ROUND} s", *unkept(self.world)]
        assert at_rest >= ROUNDS_AT_REST, "\n".join(restless)


def hold(machine: type[Machine], *, usual_examples: int = 60) -> None:
    """Let Hypothesis try sequences of steps of ``machine``. Fail if an assertion of ``machine``
    fails in one of these sequences.

    Args:
        usual_examples: The number of sequences without ``PROMISES_EXAMPLES``.
    """
    examples = int(os.environ.get("PROMISES_EXAMPLES", "0"))
    searched = settings(
        max_examples=examples or usual_examples,
        stateful_step_count=40,
        derandomize=not examples,
        database=None,
        deadline=None,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )
    if examples:
        machine = seed(int(os.environ.get("PROMISES_SEED", "0")))(machine)
    run_state_machine_as_test(machine, settings=searched)
