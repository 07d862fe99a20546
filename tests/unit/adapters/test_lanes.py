"""Each kind of request to an Airflow has its own threads, which are called a lane."""

from __future__ import annotations

import asyncio
import logging
import threading
from datetime import UTC, datetime
from typing import Any

import pytest

from mljob_operator.adapters.airflow import lanes, lists
from mljob_operator.adapters.airflow.lanes import FAILURES, THREADS, Circuit, Lane, Work
from mljob_operator.adapters.airflow.single_flight import SingleFlight
from mljob_operator.core.run.outputs import Outputs
from mljob_operator.errors import AirflowUnavailable, AirflowUnreadable, NotLeading, OperatorError, backoff
from tests.live.eventually import until
from tests.scripted_airflow import DAG, HANGS, RUN, Says, ScriptedAirflow, page, run_row, said

from .conftest import Connect

TOKEN = "ey-secret"
DAY = datetime(2026, 1, 1, tzinfo=UTC)


OTHER_RUN = RUN.replace("team-a", "team-b")


async def hold_up(server: ScriptedAirflow, request: str, *asking: Any, number: int = 4) -> list[asyncio.Task[Any]]:
    """Start the coroutines ``asking`` as tasks. Return the tasks once the server has received
    ``number`` requests of the kind ``request``. These requests get no answer until a test calls
    :func:`release`.
    """
    server.told[request] = HANGS
    tasks = [asyncio.create_task(ask) for ask in asking]
    await until(lambda: server.asked.count(request) >= number)
    return tasks


async def release(server: ScriptedAirflow, tasks: list[asyncio.Task[Any]]) -> None:
    assert not any(task.done() for task in tasks), "they hang until the end"
    server.go_on.set()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_hanging_submissions_do_not_delay_cancellations_the_feed_or_probes(
    server: ScriptedAirflow, connect: Connect
) -> None:
    airflow = connect(server)
    assert await airflow.get(DAG, RUN) is not None
    hanging = await hold_up(server, "get dag details", *(airflow.params(DAG) for _ in range(50)))
    await airflow.trigger_cancellation(DAG, RUN, "a test")
    assert await airflow.is_cancelling(RUN)
    await airflow.cancel(DAG, RUN)
    assert await airflow.changed_runs(DAY) != []
    assert await airflow.get(DAG, RUN) is not None
    assert (await airflow.probe()).version == "3.3.2"
    await release(server, hanging)


async def test_hanging_lookups_do_not_delay_lookups_of_a_cancellation(
    server: ScriptedAirflow, connect: Connect
) -> None:
    airflow = connect(server)
    hanging = await hold_up(server, "get run", *(airflow.get(DAG, RUN) for _ in range(50)))
    del server.told["get run"]
    assert await airflow.cancelling.get(DAG, RUN) is not None
    assert await airflow.cancelling.tasks(DAG, RUN) != []
    await release(server, hanging)


async def test_outputs_that_hang_delay_no_lookups_and_no_cancellations(
    server: ScriptedAirflow, connect: Connect
) -> None:
    airflow = connect(server)
    reading = (runs.outputs(DAG, run, []) for run in [RUN, OTHER_RUN] for runs in [airflow, airflow.cancelling] * 10)
    hanging = await hold_up(server, "get xcom", *reading)
    assert await airflow.get(DAG, RUN) is not None
    assert await airflow.cancelling.get(DAG, RUN) is not None
    await release(server, hanging)


async def test_run_that_has_published_nothing_does_not_wait_for_outputs_of_others(
    server: ScriptedAirflow, connect: Connect
) -> None:
    airflow = connect(server)
    hanging = await hold_up(
        server, "get xcom", *(airflow.outputs(DAG, run, []) for run in [RUN, OTHER_RUN] for _ in range(10))
    )
    await until(lambda: server.asked.count("list xcoms") == 20)
    server.told["list xcoms"] = page("xcom_entries")
    assert await airflow.outputs(DAG, RUN, []) == Outputs({})
    assert await airflow.cancelling.outputs(DAG, RUN, []) == Outputs({})
    await release(server, hanging)


async def test_outputs_of_one_namespace_leave_threads_to_other_namespaces(
    server: ScriptedAirflow, connect: Connect
) -> None:
    airflow = connect(server)
    reading = (runs.outputs(DAG, RUN, []) for runs in [airflow, airflow.cancelling] * 10)
    hanging = await hold_up(server, "get xcom", *reading, number=2)
    await until(lambda: server.asked.count("list xcoms") == 20)
    del server.told["get xcom"]
    assert await airflow.outputs(DAG, OTHER_RUN, []) == Outputs({"a": 1})
    await release(server, hanging)


async def test_closing_does_not_wait_for_the_remaining_pages_of_a_list(
    server: ScriptedAirflow, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "MAX_PAGES", 20)
    is_closing = threading.Event()

    def answer(_: object) -> Says:
        if server.asked.count("list changed runs") == 2:
            is_closing.wait(30)
        return said(200, dag_runs=[run_row()], total_entries=10**9)

    server.told["list changed runs"] = answer
    airflow = connect(server)
    reading = asyncio.create_task(airflow.changed_runs(DAY))
    await until(lambda: server.asked.count("list changed runs") == 2)
    reading.cancel()
    closing = asyncio.create_task(airflow.close())
    await asyncio.sleep(0)
    is_closing.set()
    await closing
    assert server.asked.count("list changed runs") == 2


async def test_few_requests_are_sent_to_an_airflow_that_is_down(server: ScriptedAirflow, connect: Connect) -> None:
    airflow = connect(server)
    server.told["get run"] = Says(502, "bad gateway", "text/plain", {"Retry-After": "200"})
    found = await asyncio.gather(*(airflow.get(DAG, RUN) for _ in range(100)), return_exceptions=True)
    assert {type(error) for error in found} == {AirflowUnavailable}
    assert len({str(error) for error in found}) == 1, "the status says the same, asked or not"
    assert server.asked.count("get run") < FAILURES + THREADS[Work.LOOKUPS]
    assert await airflow.params(DAG) == {}, "other lanes are open"


async def test_requests_are_sent_at_once_to_an_airflow_that_answers_again(
    server: ScriptedAirflow, connect: Connect
) -> None:
    airflow = connect(server)
    server.told["get run"] = Says(502, "bad gateway", "text/plain", {"Retry-After": "200"})
    await asyncio.gather(*(airflow.get(DAG, RUN) for _ in range(100)), return_exceptions=True)
    del server.told["get run"]
    with pytest.raises(AirflowUnavailable, match="bad gateway"):
        await airflow.get(DAG, RUN)
    airflow.resume()
    found = await asyncio.gather(*(airflow.get(DAG, RUN) for _ in range(20)))
    assert None not in found


async def test_unreadable_answers_do_not_block_a_lane(server: ScriptedAirflow, connect: Connect) -> None:
    airflow = connect(server)
    server.told["get run"] = Says(200, "{}")
    for _ in range(2 * FAILURES):
        with pytest.raises(AirflowUnreadable):
            await airflow.get(DAG, RUN)
    assert server.asked.count("get run") == 2 * FAILURES


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def admits(circuit: Circuit) -> bool:
    try:
        circuit.admit()
    except AirflowUnavailable:
        return False
    return True


def test_circuit_blocks_after_consecutive_failures_and_then_admits_one_request_at_a_time() -> None:
    clock = Clock()
    circuit, error = Circuit(clock, jitter=lambda: 0.0), AirflowUnavailable("no answer")
    for _ in range(FAILURES - 1):
        circuit.failed(error)
    circuit.answered()
    for _ in range(FAILURES):
        assert admits(circuit), "none was in a row"
        circuit.failed(error)
    for failures in range(1, 7):
        assert not admits(circuit)
        clock.now += backoff(error, failures, lambda: 0.0)
        assert admits(circuit), "one may try"
        assert not admits(circuit), "the others wait for what it meets"
        circuit.failed(error)
    clock.now += 15
    assert admits(circuit)
    circuit.answered()
    assert admits(circuit)
    assert admits(circuit)


async def test_request_that_was_not_sent_does_not_block_the_next_request() -> None:
    clock = Clock()
    circuit = Circuit(clock, jitter=lambda: 0.0)
    lane = Lane("submissions", 1, circuit)
    for _ in range(FAILURES):
        circuit.failed(AirflowUnavailable("no answer"))
    clock.now += backoff(AirflowUnavailable("no answer"), 1, lambda: 0.0)

    def refused() -> None:
        raise NotLeading("this process is not the leader")

    with pytest.raises(NotLeading):
        await lane.run(refused)

    assert await lane.run(lambda: "sent") == "sent"
    lane.close()


def test_error_of_a_blocked_request_has_the_remaining_retry_after() -> None:
    clock = Clock()
    circuit = Circuit(clock, jitter=lambda: 0.0)
    for _ in range(FAILURES):
        circuit.failed(AirflowUnavailable("busy", retry_after=120))
    clock.now += 20
    with pytest.raises(AirflowUnavailable, match="busy") as caught:
        circuit.admit()
    assert caught.value.retry_after == 100
    assert not caught.value.outcome_unknown, "nothing was sent"


class Counted:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.taken = 0

    def __enter__(self) -> None:
        self._lock.acquire()
        self.taken += 1

    def __exit__(self, *_: object) -> None:
        self._lock.release()


async def test_callers_share_one_login_and_its_error() -> None:
    flight: SingleFlight[str] = SingleFlight()
    flight._lock = Counted()  # type: ignore[assignment]
    end, begun = threading.Event(), []

    def log_in() -> str:
        begun.append(1)
        end.wait(30)
        raise AirflowUnavailable("no answer", retry_after=3)

    waiting = [asyncio.create_task(asyncio.to_thread(flight.do, log_in)) for _ in range(4)]
    await until(lambda: flight._lock.taken == 4)  # type: ignore[attr-defined]
    end.set()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert begun == [1]
    assert [(str(error), error.retry_after) for error in found] == [("no answer", 3)] * 4  # type: ignore[union-attr]
    assert len({id(error) for error in found}) == 4, "each may change its own"


async def test_all_lanes_share_one_login(server: ScriptedAirflow, connect: Connect) -> None:
    airflow = connect(server)
    await airflow.get(DAG, RUN)
    await asyncio.gather(airflow.params(DAG), airflow.cancelling.get(DAG, RUN), airflow.paused_dags(), airflow.probe())
    assert server.asked.count("login") == 1


async def test_unexpected_exception_is_logged_once_without_its_text(
    caplog: pytest.LogCaptureFixture,
) -> None:
    lane = Lane("airflow prod lookups", 1, Circuit())

    def stumble() -> None:
        raise ValueError(f"Invalid header value b'Bearer {TOKEN}'")

    for _ in range(3):
        with pytest.raises(AirflowUnreadable, match="ValueError") as caught:
            await lane.run(stumble)
        assert caught.value.outcome_unknown
        assert TOKEN not in str(caught.value)
    (record,) = (record for record in caplog.records if record.levelno >= logging.WARNING)
    assert "in stumble" in record.getMessage()
    assert TOKEN not in caplog.text
    lane.close()


async def test_requests_time_out_in_a_lane_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "OPERATION_TIMEOUT", 0.05)
    lane, end, begun = Lane("airflow prod lookups", 1, None), threading.Event(), threading.Event()

    def hang() -> None:
        begun.set()
        end.wait(30)

    first = asyncio.create_task(lane.run(hang))
    await until(begun.is_set)
    found = await asyncio.gather(first, lane.run(hang), return_exceptions=True)
    end.set()
    assert [type(error) for error in found] == [AirflowUnavailable] * 2
    assert [error.outcome_unknown for error in found] == [True, False], "the second one was never begun"  # type: ignore[union-attr]
    lane.close()


@pytest.mark.parametrize(
    ("failures", "retry_after", "shortest", "longest"),
    [(1, 0, 0.8, 1), (3, 0, 3.2, 4), (50, 0, 12, 15), (1, 2, 2, 2.4), (5, 10, 12, 15), (1, 300, 300, 360)],
)
def test_delays_vary_and_are_never_shorter_than_retry_after(
    failures: int, retry_after: float, shortest: float, longest: float
) -> None:
    error = AirflowUnavailable("no answer", retry_after=retry_after)
    found = [backoff(error, failures, lambda x=x: x / 10) for x in range(11)]  # type: ignore[misc]
    assert min(found) == pytest.approx(shortest)
    assert max(found) == pytest.approx(longest)


def test_delays_are_random_by_default() -> None:
    assert len({backoff(OperatorError(), 10) for _ in range(20)}) > 1


async def test_failures_of_one_request_do_not_block_a_lane(server: ScriptedAirflow, connect: Connect) -> None:
    # An error 500 may concern a single DAG. An error 503 concerns the whole Airflow.
    airflow = connect(server)
    server.told["trigger"] = Says(500, "Internal Server Error", "text/plain")
    for _ in range(2 * FAILURES):
        with pytest.raises(AirflowUnavailable, match="answered 500"):
            await airflow.submit(DAG, RUN, {}, "")
    del server.told["trigger"]
    assert await airflow.submit(DAG, RUN, {}, "")
    server.told["trigger"] = Says(503, "", "text/plain")
    for _ in range(2 * FAILURES):
        with pytest.raises(AirflowUnavailable, match="answered 503"):
            await airflow.submit(DAG, RUN, {}, "")
    assert server.asked.count("trigger") == 3 * FAILURES + 1
