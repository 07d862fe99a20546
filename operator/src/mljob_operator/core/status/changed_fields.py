"""Names the fields of an MLJob's spec that have changed since the newest attempt began.

The status stores the DAG and the Airflow of the attempt, and only a hash of the other fields.
"""

from __future__ import annotations

from ..mljob.classification.state import State
from ..run.run_key import airflow_in_words
from ..text.fitting import MAX_SHOWN
from ..text.storable import cut


def changed_fields(state: State) -> str:
    """Return the subject and the verb of a sentence about the change, such as "dagId changed from
    'train' to 'predict'". If neither the DAG nor the Airflow shows the change, the result lists the
    fields that may have changed. The spec must differ from the spec that the newest attempt runs.
    """
    spec, run = state.job.spec, state.run
    changes = []
    if spec.dag_id != run.dag_id:
        changes.append(f"dagId changed from {_shown(repr(run.dag_id))} to {_shown(repr(spec.dag_id))}")
    # An absent airflowRef means the default Airflow. The default may have changed since the attempt
    # began, so the Airflow of the run doesn't tell whether airflowRef has changed.
    if spec.airflow_ref is not None and spec.airflow_ref.name != run.airflow:
        before, after = _shown(airflow_in_words(run.airflow)), _shown(airflow_in_words(spec.airflow_ref.name))
        changes.append(f"airflowRef changed from {before} to {after}")
    return " and ".join(changes) or "conf, confFrom, airflowRef, backfill or logicalDate changed"


def _shown(text: str) -> str:
    return cut(text, MAX_SHOWN)
