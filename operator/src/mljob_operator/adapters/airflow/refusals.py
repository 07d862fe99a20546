"""Explains why Airflow did not trigger a DAG. A message has the cause and, if the operator knows
the kind of the refusal, the remedy.

Tenants read the messages in an MLJob's status. So a message names only the file of the MLJob's own
DAG, because other files may belong to other teams.

An answer with the HTTP status 409 is not explained here, because the callers interpret the answer.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from pathlib import PurePosixPath

from airflow_client.client import DAGApi, ImportErrorApi

from ...core.text.sentences import sentence
from ...core.text.spelling import of_param
from ...core.text.storable import cut
from ...errors import TRIED_AGAIN, AirflowError, DagImportError, DagNotFound, SubmissionRefused, ValidationFailed
from . import absence
from .answers import Absent, Answer
from .bodies import MAX_PAGE_BYTES
from .lists import PAGE
from .rows import Row
from .session import Session

MAX_CAUSE = 300
"""The maximum number of characters of a traceback's last line that a message quotes."""
MAX_SIMILAR = 10
"""The maximum number of similar DAG ids in the error for a DAG that does not exist."""
MAX_PATH = 4000
"""The maximum number of characters of a file's path. Airflow's column has 2000."""
_NO_MANUAL_RUNS = "does not allow manual runs"
"""Part of Airflow's message about a DAG whose ``allowed_run_types`` lacks ``manual``. Source:
``routes/public/dag_run.py``, trigger_dag_run, since 3.2."""
_RUN_ID = "does not match regex pattern"
"""Part of Airflow's message about a run id that ``[scheduler] allowed_run_id_pattern`` forbids.
Source: ``serialization/definitions/dag.py``, create_dagrun."""


class Refusals:
    """Explains why one Airflow did not trigger a DAG.

    Args:
        session: The session with the Airflow.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._import_errors = ImportErrorApi(session.client)
        self._dags = DAGApi(session.client)

    def of_submission(self, dag_id: str, answer: Answer) -> AirflowError:
        """Return the error for Airflow's refusal to create a run of the DAG. ``answer`` is the
        refusal.
        """
        detail = answer.detail
        if answer.status == 404:
            return self.no_dag(dag_id)
        if answer.status == 400 and "import error" in detail.lower():
            broken = self._import_error_of(dag_id)
            return DagImportError(
                f"DAG {dag_id!r} has import errors and can't be run: fix its file{f' ({broken})' if broken else ''}; "
                "Airflow's UI shows the traceback, on the page of all DAGs."
            )
        if answer.status == 400 and _NO_MANUAL_RUNS in detail.lower():
            return SubmissionRefused(
                f"DAG {dag_id!r} allows no manual runs, and an MLJob's run is one: Airflow says: {sentence(detail)} Add manual to the DAG's "
                "allowed_run_types. The operator tries again every few minutes."
            )
        if answer.status in (400, 422) and _RUN_ID in detail:
            return SubmissionRefused(
                f"Airflow does not allow the run ids of MLJobs: {sentence(detail)} An administrator of Airflow has to extend [scheduler] allowed_run_id_pattern, "
                "so that it matches such ids. The operator tries again every few minutes."
            )
        if answer.status in (400, 422):
            hint = of_param(detail)
            return ValidationFailed(
                f"Airflow refused the conf for DAG {dag_id!r}: {sentence(detail)}{f' ({hint}.)' if hint else ''} Change spec.conf, an object of spec.confFrom, or the DAG's params. {TRIED_AGAIN}"
            )
        return AirflowError(f"Airflow answered {answer.status} to the submission of DAG {dag_id!r}: {detail}")

    def no_dag(self, dag_id: str) -> DagNotFound:
        """Return the error for a DAG that Airflow does not know. The error's attribute ``similar``
        has similar DAG ids. If Airflow can't import the DAG's file, the message says why.
        """
        broken = self._import_error_of(dag_id)
        hint = f" Airflow can't import {broken}." if broken else ""
        return DagNotFound(
            f"Airflow knows no DAG {dag_id!r} (spec.dagId). A new DAG file takes until the dag processor's next scan to appear. "
            f"Check the spelling, and the file: Airflow's UI lists all DAGs, and above them the files that it can't import.{hint}",
            self._similar(dag_id),
        )

    def _similar(self, dag_id: str) -> list[str]:
        part = max(re.split(r"[-_.]", dag_id), key=len)
        try:
            page = self._session.ask(
                self._dags.get_dags_without_preload_content,
                dag_id_pattern=f"%{part[: max(3, len(part) // 2)]}%",
                limit=PAGE,
                max_bytes=MAX_PAGE_BYTES,
            )
            return get_close_matches(dag_id, [row.text("dag_id") for row in page.rows("dags")], n=MAX_SIMILAR)
        except (Answer, AirflowError):
            return []

    def _import_error_of(self, dag_id: str) -> str:
        """Return why Airflow can't import the DAG's file, as ``file: error``. Return an empty text
        if there is no such error, or if a request fails.
        """
        try:
            dag = self._dag(dag_id)
            path = dag.text_or_none("fileloc", MAX_PATH) if dag is not None else None
            page = self._session.ask(
                self._import_errors.get_import_errors_without_preload_content,
                filename_pattern=PurePosixPath(path).name if path else f"{dag_id}.py",
                limit=PAGE,
                max_bytes=MAX_PAGE_BYTES,
            )
            own = next((row for row in page.rows("import_errors") if _is_of(row, dag_id, dag)), None)
            if own is None:
                return ""
            cause = own.prose("stack_trace", max_length=None).strip().rpartition("\n")[2] or "?"
            return f"{own.text('filename', MAX_PATH)}: {cut(cause, MAX_CAUSE)}"
        except (Answer, AirflowError):
            return ""

    def _dag(self, dag_id: str) -> Row | None:
        try:
            return self._session.ask(
                self._dags.get_dag_without_preload_content, dag_id, absent=absence.GET_DAG.with_ids(dag_id=dag_id)
            )
        except Absent:
            return None


def _is_of(error: Row, dag_id: str, dag: Row | None) -> bool:
    """Return whether an import error is about the file of the DAG ``dag_id``. ``dag`` is Airflow's
    answer about this DAG, or None if Airflow does not know the DAG. If ``dag`` is None, return
    whether the name of the import error's file, without its suffix, is ``dag_id``.
    """
    file, bundle = error.text("filename", MAX_PATH), error.text_or_none("bundle_name")
    if dag is None:
        return PurePosixPath(file).stem == dag_id
    files = (dag.text_or_none("fileloc", MAX_PATH), dag.text_or_none("relative_fileloc", MAX_PATH))
    return bundle in (None, dag.text_or_none("bundle_name")) and file in files
