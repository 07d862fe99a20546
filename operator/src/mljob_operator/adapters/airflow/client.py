"""The adapter of one Airflow: the operations on its dag runs and backfills, and a check of the
credentials that also reads Airflow's version and health.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, TypeVar

from airflow_client.client import DAGApi, MonitorApi, VersionApi

from mljob_contract.airflow_instance import InstanceHealth

from ...core.airflow_instance.credentials import Login
from ...errors import AirflowError
from ...ports import DagRuns, Gate, ProbeResult, ReadOnly, RequestMeter
from .answers import Answer
from .dag_runs import AirflowRuns
from .lanes import CONNECTIONS, THREADS, Circuit, Lane, Work
from .output_turns import OutputTurns
from .session import Session

T = TypeVar("T")


class Airflow(AirflowRuns):
    """The adapter of one Airflow. It sends the operator's requests to the REST API.

    Args:
        name: The name of the AirflowInstance, for metrics. Empty for the Airflow of the operator's
            settings.
        url: The base URL, without ``/api/v2``.
        meter: Records each operation with its outcome and duration, as metrics.
        login: The credentials.
        ca_file: The path of a file with the CA bundle for https.
        ca_bundle: The CA bundle for https, as text (PEM).
        prefix: The prefix of the operator's dag run ids.
        cancel_dag_id: The id of the cancellation DAG.
        gate: Refuses requests that change something, unless this process is the leader. If None,
            all such requests are refused.

    Attributes:
        cancelling: The :class:`.DagRuns` to use in a cancellation. Its requests, except for
            the values of outputs, have their own threads, so a cancellation never waits for
            submissions.
    """

    def __init__(
        self,
        name: str,
        url: str,
        meter: RequestMeter,
        login: Login,
        *,
        ca_file: str | None = None,
        ca_bundle: str | None = None,
        prefix: str,
        cancel_dag_id: str,
        gate: Gate | None = None,
    ) -> None:
        self._name = name
        self._meter = meter
        session = Session(
            url, login, ca_file=ca_file, ca_bundle=ca_bundle, gate=gate or ReadOnly(), connections=CONNECTIONS
        )
        self._lanes = {
            work: Lane(f"airflow {name} {work}", threads, None if work is Work.PROBE else Circuit())
            for work, threads in THREADS.items()
        }
        output_turns = OutputTurns()
        super().__init__(session, self._in_lane, output_turns, prefix=prefix, cancel_dag_id=cancel_dag_id)
        self.cancelling: DagRuns = AirflowRuns(
            session, self._in_lane_of_cancellations, output_turns, prefix=prefix, cancel_dag_id=cancel_dag_id
        )
        self._dags = DAGApi(session.client)
        self._monitor = MonitorApi(session.client)
        self._versions = VersionApi(session.client)

    async def close(self) -> None:
        """Stop the threads that send requests. Wait for the answers to the requests that are being
        sent, and send no further requests.
        """
        # The threads end before the next request of an operation, such as the next page of a list.
        self._session.close()
        await asyncio.gather(*(asyncio.to_thread(lane.close) for lane in self._lanes.values()))

    async def probe(self) -> ProbeResult:
        """Check that Airflow accepts the credentials, and return Airflow's version and health.

        Requests: ``GET /version``, ``GET /dags``, ``GET /monitor/health``.

        Raises:
            AirflowUnavailable: There is no answer, or the answer is a server error or is not from
                Airflow.
            AirflowUnauthorized: The credentials are wrong.
            AirflowForbidden: The credentials lack the permission to read DAGs.
            AirflowUnsupported: This version of Airflow is too old, or is not a version number.
        """
        return await self._in_lane(Work.PROBE, "probe", self._probe)

    def _probe(self) -> ProbeResult:
        ask = self._session.ask
        version = ask(self._versions.get_version_without_preload_content).text("version")
        # Of the three requests, only this request needs a permission. So it checks that the
        # credentials have this permission.
        ask(self._dags.get_dags_without_preload_content, limit=1).rows("dags")
        health = ask(self._monitor.get_health_without_preload_content)
        parts = {part: health.row_or_none(part) for part in InstanceHealth.model_fields}
        return ProbeResult(
            version,
            InstanceHealth.model_validate(
                {part: found.text_or_none("status") for part, found in parts.items() if found is not None}
            ),
        )

    def resume(self) -> None:
        """End the pauses of the circuit breakers, because Airflow answers again."""
        for lane in self._lanes.values():
            lane.resume()

    async def _in_lane(self, work: Work, operation: str, function: Callable[..., T], *args: Any) -> T:
        """Call ``function`` in a thread of a lane, and return the result. The lane is the group of
        threads for ``work``, which is a kind of request. Record the outcome and the duration as
        metrics, under the name ``operation``.

        Raises:
            NotLeading: The request would change something, and this process is not the leader.
            AirflowError: The call failed, or Airflow's response was an error.
        """
        started = time.perf_counter()
        outcome = "error"
        try:
            result = await self._lanes[work].run(function, *args)
            outcome = "ok"
        except Answer as answer:
            raise AirflowError(f"Airflow answered {answer.status} to {operation}: {answer.detail}") from answer
        except AirflowError as error:
            outcome = error.reason
            raise
        finally:
            self._meter.airflow_request(self._name, operation, outcome, time.perf_counter() - started)
        return result

    async def _in_lane_of_cancellations(self, work: Work, operation: str, function: Callable[..., T], *args: Any) -> T:
        # The values of outputs are read after the run's end, so the end of other runs must not wait
        # for them.
        lane = work if work is Work.OUTPUTS else Work.CANCELLATIONS
        return await self._in_lane(lane, operation, function, *args)
