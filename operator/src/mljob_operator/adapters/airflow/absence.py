"""The texts by which Airflow says that a requested object does not exist.

The status 404 alone proves nothing, because a proxy without a backend answers with 404 too. The
proof is Airflow's own text, most often with the ids of the request. If a later Airflow changes a
text, a request for a missing object raises AirflowUnreadable instead of :class:`.Absent`. The error
quotes the new text, which must then be added to this module.

Source: ``airflow/api_fastapi`` of Airflow 3.1.0, 3.1.8, 3.2.2 and 3.3.2. Most constants have a
docstring that names the file and the function in Airflow.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_PLACEHOLDER = re.compile(r"\{(\w+)\}")


class Absence:
    """The texts by which Airflow says that the object of a request does not exist.

    Args:
        texts: The texts. A name in braces, for example ``{dag_id}``, stands for an id.
        ids: The ids of the request, by the names in the braces.
    """

    def __init__(self, *texts: str, ids: Mapping[str, str] | None = None) -> None:
        self.texts = texts
        self._ids = ids or {}

    def with_ids(self, **ids: str) -> Absence:
        """Return an Absence with the same texts and the ids of a request."""
        return Absence(*self.texts, ids=ids)

    def proved_by(self, detail: str) -> bool:
        """Return whether ``detail``, the text of a 404 answer, equals one of :attr:`texts`, after
        each name in braces is replaced by the id in the request. Upper and lower case may differ,
        except in the ids.
        """
        return any(re.fullmatch(self._pattern(text), detail) for text in self.texts)

    def _pattern(self, text: str) -> str:
        parts = enumerate(_PLACEHOLDER.split(text))
        return "".join(re.escape(self._ids[part]) if i % 2 else f"(?i:{re.escape(part)})" for i, part in parts if part)


NO_SERIALIZED_DAG = "The Dag with ID: `{dag_id}` was not found"
"""Source: ``common/dagbag.py``. Many requests load the DAG. A request that names a run loads the
run first, so the missing run is reported before the missing DAG.
"""

GET_RUN = Absence("The DagRun with dag_id: `{dag_id}` and run_id: `{run_id}` was not found")
"""Source: ``routes/public/dag_run.py``, get_dag_run."""
PATCH_RUN = Absence(*GET_RUN.texts, NO_SERIALIZED_DAG)
"""Source: ``routes/public/dag_run.py``, patch_dag_run."""
CLEAR_RUN = Absence(*GET_RUN.texts, "Dag with id {dag_id} was not found")
"""Source: ``routes/public/dag_run.py``, clear_dag_run; since 3.3 ``services/public/dag_run.py``."""
TRIGGER_RUN = Absence("Dag with dag_id: '{dag_id}' not found", NO_SERIALIZED_DAG)
"""Source: ``routes/public/dag_run.py``, trigger_dag_run."""
LIST_TASK_INSTANCES = Absence(
    "DagRun with run_id: `{run_id}` was not found",
    "DagRun with dag_id: `{dag_id}` and run_id: `{run_id}` was not found",
    NO_SERIALIZED_DAG,
)
"""Source: ``routes/public/task_instances.py``, get_task_instances: the first text in 3.1, the
second since 3.2.
"""
GET_TASK_INSTANCE = Absence(
    "The Mapped Task Instance with dag_id: `{dag_id}`, run_id: `{run_id}`, task_id: `{task_id}`, and map_index: `{map_index}` was not found"
)
"""Source: ``routes/public/task_instances.py``, get_mapped_task_instance."""
GET_DAG = Absence(NO_SERIALIZED_DAG, "Unable to obtain dag with id {dag_id} from session")
"""Source: ``routes/public/dags.py``, get_dag and get_dag_details."""
LIST_TASKS = Absence(NO_SERIALIZED_DAG)
"""Source: ``routes/public/tasks.py``, get_tasks."""
GET_LOG = Absence("TaskInstance not found")
"""Source: ``routes/public/log.py``, get_log: the task instance, or the try, does not exist."""
GET_XCOM = Absence("XCom entry with key: `{key}` not found")
"""Source: ``routes/public/xcom.py``, get_xcom_entry."""
CREATE_BACKFILL = Absence("Could not find dag {dag_id}")
"""Source: ``routes/public/backfills.py``, create_backfill."""
CHANGE_BACKFILL = Absence("Could not find backfill with id {backfill_id}", "Backfill not found")
"""Source: ``routes/public/backfills.py``, pause_backfill, unpause_backfill and cancel_backfill: the
first text before 3.3, the second since 3.3, without the id."""
NEVER = Absence()
"""For requests that Airflow never answers with 404, such as a list of many DAGs' runs. A 404 to
such a request proves nothing.
"""
