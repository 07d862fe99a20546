"""How Airflow says that something is not there: the texts that prove it, for each request.

A 404 says little: a proxy that has lost its backend answers it, and so does another service at the same address. What counts is Airflow's own
sentence about the very thing that was asked for, so each text is compared whole, with the ids of the request in it. A text that a later Airflow
rewords proves nothing until it is added here; what was asked for is then not known, and the error says why.

Source: ``airflow/api_fastapi`` of 3.1.0, 3.1.8, 3.2.2 and 3.3.2; the files are named beside the texts. Whether fixed words begin with a capital
differs between versions ("DAG", "Dag") and does not count.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_PLACE = re.compile(r"\{(\w+)\}")


class Absence:
    """The texts by which Airflow says that what a request names is not there.

    Args:
        texts: Each with ids in braces.
        ids: What they are, by their names.
    """

    def __init__(self, *texts: str, ids: Mapping[str, str] | None = None) -> None:
        self.texts = texts
        self._ids = ids or {}

    def about(self, **ids: str) -> Absence:
        """The same, of one request."""
        return Absence(*self.texts, ids=ids)

    def proved_by(self, detail: str) -> bool:
        """Whether Airflow's words are one of these texts, about these ids."""
        return any(re.fullmatch(self._pattern(text), detail) for text in self.texts)

    def _pattern(self, text: str) -> str:
        """The text with ids in its places. Ids are compared exactly, the words around them whatever their case."""
        parts = enumerate(_PLACE.split(text))
        return "".join(re.escape(self._ids[part]) if i % 2 else f"(?i:{re.escape(part)})" for i, part in parts if part)


NO_SERIALIZED_DAG = "The Dag with ID: `{dag_id}` was not found"
"""``common/dagbag.py``: asked for by many requests, after the run where there is one."""

GET_RUN = Absence("The DagRun with dag_id: `{dag_id}` and run_id: `{run_id}` was not found")
"""``routes/public/dag_run.py``, get_dag_run."""
PATCH_RUN = Absence(*GET_RUN.texts, NO_SERIALIZED_DAG)
"""The same file, patch_dag_run."""
CLEAR_RUN = Absence(*GET_RUN.texts, "Dag with id {dag_id} was not found")
"""The same file, clear_dag_run; since 3.3 ``services/public/dag_run.py``."""
TRIGGER_RUN = Absence("Dag with dag_id: '{dag_id}' not found", NO_SERIALIZED_DAG)
"""``routes/public/dag_run.py``, trigger_dag_run."""
LIST_TASK_INSTANCES = Absence(
    "DagRun with run_id: `{run_id}` was not found",
    "DagRun with dag_id: `{dag_id}` and run_id: `{run_id}` was not found",
    NO_SERIALIZED_DAG,
)
"""``routes/public/task_instances.py``, get_task_instances: the first one in 3.1, the second one since 3.2."""
GET_TASK_INSTANCE = Absence(
    "The Mapped Task Instance with dag_id: `{dag_id}`, run_id: `{run_id}`, task_id: `{task_id}`, and map_index: `{map_index}` was not found"
)
"""The same file, get_mapped_task_instance."""
GET_DAG = Absence(NO_SERIALIZED_DAG, "Unable to obtain dag with id {dag_id} from session")
"""``routes/public/dags.py``, get_dag and get_dag_details."""
LIST_TASKS = Absence(NO_SERIALIZED_DAG)
"""``routes/public/tasks.py``, get_tasks."""
GET_XCOM = Absence("XCom entry with key: `{key}` not found")
"""``routes/public/xcom.py``, get_xcom_entry."""
CREATE_BACKFILL = Absence("Could not find dag {dag_id}")
"""``routes/public/backfills.py``, create_backfill."""
CHANGE_BACKFILL = Absence("Could not find backfill with id {backfill_id}", "Backfill not found")
"""The same file, pause_backfill, unpause_backfill and cancel_backfill: the first one before 3.3, which no longer names the id."""
NEVER = Absence()
"""What Airflow has no such text for: lists over many DAGs are empty instead."""
