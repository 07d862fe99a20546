from __future__ import annotations

import pytest

from benchmarks import table
from benchmarks.__main__ import PARTS, _parser, merged
from benchmarks.api_requests import kinds
from benchmarks.growth import as_json
from benchmarks.live import Result, exponent
from benchmarks.rates import throughput
from benchmarks.upgrade import _longest_gap, _usual_gap
from benchmarks.watcher import Observation

METRICS = """\
# HELP apiserver_request_total [STABLE] Counter of apiserver requests.
apiserver_request_total{code="200",group="mljob.dev",resource="mljobs",subresource="status",verb="PATCH"} 7
apiserver_request_total{code="409",group="mljob.dev",resource="mljobs",subresource="status",verb="PATCH"} 2
apiserver_request_total{code="200",group="mljob.dev",resource="mljobs",subresource="",verb="PATCH"} 3
apiserver_request_total{code="200",group="mljob.dev",resource="mljobs",subresource="",verb="GET"} 1
apiserver_request_total{code="201",group="mljob.dev",resource="mljobs",subresource="",verb="POST"} 9
apiserver_request_total{code="201",group="",resource="events",subresource="",verb="POST"} 1.2e+01
apiserver_request_total{code="504",group="",resource="events",subresource="",verb="POST"} 1
apiserver_request_total{code="200",group="",resource="nodes",subresource="",verb="PATCH"} 5
"""


def test_requests_are_counted_by_what_the_operator_writes() -> None:
    expected = {"status patches": 9, "finalizer patches": 3, "gets": 1, "events": 13, "conflicts": 2, "timeouts": 1}
    assert kinds(METRICS) == expected


@pytest.mark.parametrize(("power", "expected"), [(0, 0), (1, 1), (2, 2)])
def test_exponent_is_the_power_of_the_growth(power: int, expected: float) -> None:
    assert exponent({size: 3.0 * size**power for size in (100, 1000, 10_000)}) == pytest.approx(expected)


def test_gap_that_spans_the_start_of_an_update_counts_once() -> None:
    times = [0.0, 1.5, 2.5, 2.6, 2.8, 4.0, 4.1, 9.0]
    found = [Observation("a", "b", at, -1, None, "Running") for at in times]

    assert _usual_gap(found, begin=2, end=3) == pytest.approx(0.2), "from 2.6 to 2.8"
    assert _longest_gap(found, begin=3, end=4) == pytest.approx(1.2), "from 2.8 to 4.0"
    assert _longest_gap(found, begin=3, end=5) == pytest.approx(4.9), "from 4.1 to 9.0"


def test_throughput_counts_the_time_until_the_last_write() -> None:
    created = [number / 10 for number in range(101)]
    assert throughput(created, [at + 2 for at in created], alone=2) == pytest.approx(10)
    # The operator is done with all MLJobs at nearly the same time, 20 seconds after the first creation.
    late = [2.0, *(20 + number / 1000 for number in range(100))]
    assert throughput(created, late, alone=2) == pytest.approx(100 / 18, rel=0.01)


def test_throughput_is_not_higher_if_all_mljobs_have_waited() -> None:
    created = [number / 10 for number in range(101)]
    assert throughput(created, [20 + number / 1000 for number in range(101)], alone=2) == pytest.approx(
        100 / 18, rel=0.01
    )


def test_every_result_is_in_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    def result(size: int) -> Result:
        return Result(size, 70, 35, 4, 3, [0.5, 2.5], 130, 130 + size / 10, 4.7, 2.5, 3.5, 130 + size / 8, 7.4)

    row = {
        "jobs_per_second": 14.1, "of_floor": 0.31, "end_to_seen_p50_ms": 2500, "end_to_seen_p99_ms": 4500,
        "progress_to_seen_p50_ms": 210, "progress_to_seen_p99_ms": 790,
        "per_job": {"status patches": 8.8}, "operator_cpu_ms_per_job": 39.5, "api_server_cpu_ms_per_job": 130.5,
        "submitted_twice": 11,
    }  # fmt: skip
    floor = {"jobs_per_second": 45.5, "writes_per_job": 8, "api_server_cpu_ms_per_job": 22.5}
    table.show({"floor": floor, "rates": {"20": row}, "live": as_json({100: result(100), 1000: result(1000)})})
    printed = capsys.readouterr().out
    for figure in (
        "14.1",
        "0.31",
        "2500",
        "4500",
        "210",
        "790",
        "8.8",
        "39.5",
        "130.5",
        "11",
        "45.5",
        "22.5",
        "102.4",
        "4.7",
        "7.4",
    ):
        assert figure in printed
    (memory,) = [line for line in printed.splitlines() if line.startswith("live_mib")]
    assert memory.split()[-1] == "1.0", "memory grows in proportion"
    (ready,) = [line for line in printed.splitlines() if line.startswith("restart_ready_s")]
    assert ready.split()[-1] == "15", "the goal"


def test_each_benchmark_can_be_chosen_with_a_size() -> None:
    chosen = _parser().parse_args(["--only", "rates", "live", "--rates", "5", "--seconds", "3", "--live", "10", "20"])
    assert (chosen.only, chosen.rates, chosen.seconds, chosen.live) == (["rates", "live"], [5.0], 3.0, [10, 20])
    with pytest.raises(SystemExit):
        _parser().parse_args(["--only", "nothing"])
    assert {"floor", "rates", "live"} <= set(PARTS)


def test_results_of_some_benchmarks_say_when_they_were_measured() -> None:
    old = {"date": "monday", "machine": {"cores": 2}, "fold": 1, "floor": 2, "gone": 3}
    new = {"date": "friday", "machine": {"cores": 4}, "floor": 5}
    assert merged(old, new, whole=True) == new
    assert merged(old, new, whole=False) == {
        "date": "monday",
        "machine": {"cores": 2},
        "fold": 1,
        "floor": 5,
        "measured": {"floor": {"date": "friday", "machine": {"cores": 4}}},
    }
