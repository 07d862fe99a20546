# Generated from mljob.aio by client/generate.py.
"""A handle on one MLJob: reads the MLJob, waits for its end, and changes it."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Generator
from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Self

from ..changes import ChangeKind, Outage, Outages
from ..endings import LOG_TAIL, cancelled, deleted, failed_task, failure, timed_out
from ..errors import ApiError, Conflict, Invalid, NotAllowed, NotFound, RunApiMissing, RunApiUnavailable
from ..failure_log import SEARCHED_LINES, LogEnd, end_with_error
from ..metrics import LAST_REPORTS_ONLY, rows_of_history, rows_of_status, table_of
from ..names import object_name
from ..resource import RETRY_REQUESTED_AT, MLJob
from ..verdict import Verdict, can_be_cancelled, has_ended, verdict_of
from . import runtime
from .run_api import RunApi
from .transport import MERGE_PATCH, Transport
from .watch import watch_objects

if TYPE_CHECKING:
    import pandas

    from mljob_contract.graph import RunGraph
    from mljob_contract.history import HistoryEntry


_LOG_TAIL_SECONDS: Final = 10.0
"""How long the log of the failed task may be silent while it is read for the error of a failed
MLJob, in seconds.
"""


def collection_path(namespace: str | None) -> str:
    """Return the API path of the MLJobs of a namespace. None means all namespaces.

    Raises:
        InvalidArgument: The namespace is empty or no name of Kubernetes.
    """
    within = f"namespaces/{object_name(namespace, 'namespace')}/" if namespace is not None else ""
    return f"/apis/mljob.dev/v1alpha1/{within}mljobs"


def job_path(namespace: str, name: str) -> str:
    """Return the API path of an MLJob.

    Raises:
        InvalidArgument: The namespace or the name is empty or no name of Kubernetes.
    """
    return f"{collection_path(namespace)}/{object_name(name, 'name')}"


class Job:
    """A handle on one MLJob. The handle never refers to a later MLJob of the same name, because it
    compares the uid.

    Attributes:
        state: The newest state of the MLJob that the handle has read.
    """

    def __init__(self, transport: Transport, state: MLJob) -> None:
        self._transport = transport
        self._runs = RunApi(transport)
        self.state = state

    def __repr__(self) -> str:
        return f"<Job {self.namespace}/{self.name} {self.state.phase or 'new'}>"

    def _repr_html_(self) -> str:
        from ..notebook import job_html

        return job_html(self.state)

    @property
    def name(self) -> str:
        """The name of the MLJob."""
        return self.state.name

    @property
    def namespace(self) -> str:
        """The namespace of the MLJob."""
        return self.state.namespace

    @property
    def outputs(self) -> dict[str, Any]:
        """The outputs of the newest attempt in ``state``. Empty until the run has ended and the
        operator has stored the outputs. A failed run can have outputs too.
        """
        return self.state.outputs

    def refresh(self) -> MLJob:
        """Read the MLJob again, and return its state.

        Raises:
            NotFound: The MLJob was deleted, even if another MLJob has its name now.
        """
        found = MLJob(self._transport.request("GET", self._path))
        if found.uid != self.state.uid:
            raise NotFound(f"MLJob {self.namespace}/{self.name} was deleted, and another one has its name.", code=404)
        self.state = found
        return found

    def wait(self, timeout: float | None = None) -> Self:  # noqa: ASYNC109 - part of the watch itself
        """Wait until the MLJob has succeeded, and return this handle. A suspended MLJob does not
        end the wait. If the MLJob was deleted, and had ended in ``state``, this end counts.

        Args:
            timeout: The maximum wait, in seconds. Default: no maximum.

        Raises:
            JobFailed: The MLJob failed. The error has the failed task, the task's exception and the
                end of the task's log, if available.
            JobStalled: The MLJob can't continue without a change, for example of its conf. Or the
                spec has changed, and the changed spec can't run.
            JobCancelled: The MLJob was cancelled.
            JobDeleted: The MLJob was deleted before it ended. Or the MLJob was cancelled, and is
                being deleted.
            JobTimeout: The client has not read an end of the MLJob in time.
        """
        with runtime.closing(self.stream(timeout)) as states:
            for _ in states:
                pass
        verdict = verdict_of(self.state)
        if verdict is Verdict.CANCELLED:
            raise cancelled(self.state)
        if verdict is Verdict.FAILED:
            raise failure(self.state, verdict, self._log_end())
        if verdict is Verdict.STALLED:
            raise failure(self.state, verdict)
        return self

    def stream(
        self,
        timeout: float | None = None,  # noqa: ASYNC109 - as in wait
        *,
        on_outage: Callable[[Outage | None], object] | None = None,
    ) -> Generator[MLJob, None]:
        """Yield the current state and each new state of the MLJob, until the MLJob has ended or
        can't continue without a change. If the MLJob was deleted, or the time is over, and the MLJob
        had ended in ``state``, yield ``state``.

        Args:
            timeout: The maximum wait, in seconds. Default: no maximum.
            on_outage: A function that is called when the connection to the API server is lost, with
                the :class:`.Outage`, and when the connection works again, with None. The function
                is also called with the Outage when the exec credential plugin fails for the first
                time during the outage. Default: no function.

        Raises:
            JobDeleted: The MLJob was deleted before it ended.
            JobTimeout: The client has not read an end of the MLJob in time.
        """
        deadline = None if timeout is None else monotonic() + timeout
        params = {"fieldSelector": f"metadata.name={self.name}"}
        changes = watch_objects(self._transport, collection_path(self.namespace), MLJob, params, deadline)
        outages, is_there = Outages(), False
        with runtime.closing(changes) as received:
            for change in received:
                if outages.take(change) and on_outage is not None:
                    on_outage(outages.current)
                state = change.item
                if state is not None and state.uid == self.state.uid:
                    self.state, is_there = state, change.kind is not ChangeKind.DELETED
                    yield state
                    if verdict_of(state) is not None:
                        return
                if not is_there and change.kind in (ChangeKind.DELETED, ChangeKind.SYNCED):
                    if not has_ended(self.state):
                        raise deleted(self.state)
                    yield self.state  # for example, ttlSecondsAfterFinished is over
                    return
        if verdict_of(self.state) is None:
            raise timed_out(self.state, timeout or 0.0, outages.current)
        yield self.state  # it was read before this call, and the time was over before the first list

    def show(self, timeout: float | None = None) -> Self:  # noqa: ASYNC109 - as in wait
        """Show the MLJob in a notebook, until it has ended or can't continue without a change. Then
        return this handle. Outside of a notebook, print a line each time the state changes.

        Args:
            timeout: The maximum time, in seconds. Default: no maximum.

        Raises:
            JobDeleted: The MLJob was deleted before it ended.
            JobTimeout: The client has not read an end of the MLJob in time.
        """
        from ..notebook import Display

        display = Display(self.state)
        with runtime.closing(self.stream(timeout)) as states:
            for state in states:
                display.update(state)
        return self

    def logs(
        self,
        task: str | None = None,
        *,
        map_index: int | None = None,
        try_number: int | None = None,
        tail: int | None = None,
        follow: bool = False,
    ) -> Generator[str, None]:
        """Yield the lines of a task's log. For the arguments, see :meth:`RunApi.log`."""
        return self._runs.log(self.state, task, map_index=map_index, try_number=try_number, tail=tail, follow=follow)

    def history(self, *, follow: bool = False) -> Generator[HistoryEntry, None]:
        """Yield the entries of the run's history: see :meth:`RunApi.history`."""
        return self._runs.history(self.state, follow=follow)

    def metrics(self) -> pandas.DataFrame | list[dict[str, Any]]:
        """Return the metrics of the run as a table with a row for each report of metrics. If
        mljob-api is not installed in the cluster, the table has only the last report of each task,
        and the method warns of that. The table is a pandas DataFrame if pandas is installed, else a
        list with a dict for each row.

        Raises:
            Unavailable: The history can't be read completely, for example because mljob-api does
                not answer.
        """
        try:
            rows = rows_of_history([entry for entry in self.history()])
        except RunApiUnavailable:
            raise
        except RunApiMissing:
            warnings.warn(LAST_REPORTS_ONLY, stacklevel=2)
            rows = rows_of_status(self.refresh())
        return table_of(rows)

    def graph(self) -> RunGraph:
        """Return the tasks of the run and their dependencies: see :meth:`RunApi.graph`."""
        return self._runs.graph(self.state)

    def retry(self) -> Self:
        """Request another attempt. For a failed MLJob, ``retryStrategy`` decides which tasks run
        again. A succeeded MLJob runs again as a whole. If a run is in progress, the other attempt
        begins after the end of this run.

        Raises:
            Invalid: The MLJob was cancelled, which is final.
        """
        if verdict_of(self.state) is Verdict.CANCELLED:
            raise Invalid(f"MLJob {self.namespace}/{self.name} was cancelled, which is final. Submit another one.")
        return self._patch({"metadata": {"annotations": {RETRY_REQUESTED_AT: datetime.now(UTC).isoformat()}}})

    def cancel(self) -> Self:
        """Cancel the MLJob for good, and return this handle. The operator ends the run, but does not
        delete the MLJob. If the MLJob has already ended, only read its state: an MLJob that has
        succeeded stays as it is, and can run again. Without the right to read the MLJob, the last
        known ``state`` decides.
        """
        with contextlib.suppress(NotAllowed):
            self.refresh()
        if not can_be_cancelled(self.state):
            return self
        # The API server refuses cancel and suspend together.
        return self._patch({"spec": {"cancel": True, "suspend": False}})

    def suspend(self) -> Self:
        """Suspend the MLJob until :meth:`resume`. The operator cancels the run, or pauses the
        backfill.
        """
        return self._patch({"spec": {"suspend": True}})

    def resume(self) -> Self:
        """Resume a suspended MLJob. A new attempt starts, or a paused backfill continues."""
        return self._patch({"spec": {"suspend": False}})

    def delete(self) -> None:
        """Delete the MLJob. The operator first cancels a run in progress, unless ``deletionPolicy``
        says otherwise. Do nothing if the MLJob no longer exists.
        """
        try:
            body = {"preconditions": {"uid": self.state.uid}}
            self._transport.request("DELETE", self._path, body=body, repeatable=True)
        except (NotFound, Conflict):
            return

    @property
    def _path(self) -> str:
        return job_path(self.namespace, self.name)

    def _patch(self, change: dict[str, Any]) -> Self:
        # With the uid, the API server refuses a change of another MLJob of this name.
        body = {**change, "metadata": {**change.get("metadata", {}), "uid": self.state.uid}}
        try:
            answer = self._transport.request("PATCH", self._path, body=body, content_type=MERGE_PATCH, repeatable=True)
        except (Conflict, Invalid):
            self.refresh()  # NotFound, if it is another one
            raise
        self.state = MLJob(answer)
        return self

    def _log_end(self) -> LogEnd | None:
        """Return the :class:`.LogEnd` for the failed task. Return None if the status has no failed
        task, or if the log of the task can't be read.
        """
        task = failed_task(self.state)
        if task is None:
            return None
        index = task.map_index if task.map_index >= 0 else None
        log = self._runs.log(
            self.state, task.task_id, map_index=index, tail=SEARCHED_LINES, idle_seconds=_LOG_TAIL_SECONDS
        )
        try:
            with runtime.closing(log) as lines:
                return end_with_error([line for line in lines], LOG_TAIL, task.error)
        except ApiError:
            return None
