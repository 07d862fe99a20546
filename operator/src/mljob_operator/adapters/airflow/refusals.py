"""Why Airflow did not trigger a DAG, and what to do about it."""

from __future__ import annotations

from airflow_client.client import ImportErrorApi

from ...errors import AirflowError, DagImportError, DagNotFound, ValidationFailed
from .answers import Answer
from .session import Session


class Refusals:
    """Explains the answers of one Airflow.

    Args:
        session: Logged in.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._import_errors = ImportErrorApi(session.client)

    def of_submission(self, dag_id: str, answer: Answer) -> AirflowError:
        """To be raised for what Airflow answered to the submission of a DAG."""
        detail = answer.detail
        if answer.status == 404:
            return self.no_dag(dag_id)
        if answer.status == 400 and "import error" in detail.lower():
            broken = self._broken_files()
            return DagImportError(
                f"DAG {dag_id!r} has import errors and can't be run: fix its file{f' ({broken})' if broken else ''}; "
                "`airflow dags list-import-errors` shows the traceback."
            )
        if answer.status in (400, 422):
            return ValidationFailed(
                f"Airflow refused spec.conf for DAG {dag_id!r}: {detail} Change spec.conf to try again."
            )
        return AirflowError(f"Airflow answered {answer.status} to the submission of DAG {dag_id!r}: {detail}")

    def no_dag(self, dag_id: str) -> DagNotFound:
        """To be raised where there is no such DAG."""
        broken = self._broken_files()
        hint = f" Airflow can't import {broken}." if broken else ""
        return DagNotFound(
            f"Airflow knows no DAG {dag_id!r} (spec.dagId). A new DAG file takes until the dag processor's next scan to appear; "
            f"check the spelling with `airflow dags list`.{hint}"
        )

    def _broken_files(self) -> str:
        """Files that don't import, and the last line of each traceback; empty when there are none, or nobody tells."""
        try:
            page = self._session.ask(self._import_errors.get_import_errors_without_preload_content, limit=3)
            rows = page.rows("import_errors")
            traces = {row.text("filename"): row.prose("stack_trace").strip() or "?" for row in rows}
            rest = page.number("total_entries") - len(rows)
        except (Answer, AirflowError):
            return ""
        told = "; ".join(f"{file}: {trace.rpartition(chr(10))[2]}" for file, trace in traces.items())
        return told + (f" and {rest} more" if rest > 0 else "")
