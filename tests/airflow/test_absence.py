"""The operator recognises a missing run, task or DAG by the text of Airflow's error. Airflow's
source code must contain these texts.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import airflow.api_fastapi
import pytest

MODULE = Path(__file__).parents[2] / "operator/src/mljob_operator/adapters/airflow/absence.py"
FILES = {
    "GET_RUN": "dag_run",
    "PATCH_RUN": "dag_run",
    "CLEAR_RUN": "dag_run",
    "TRIGGER_RUN": "dag_run",
    "LIST_TASK_INSTANCES": "task_instances",
    "GET_TASK_INSTANCE": "task_instances",
    "GET_DAG": "dags",
    "GET_LOG": "log",
    "GET_XCOM": "xcom",
    "CREATE_BACKFILL": "backfills",
    "CHANGE_BACKFILL": "backfills",
}


def absence() -> ModuleType:
    # The operator is not installed in this environment.
    spec = importlib.util.spec_from_file_location("absence", MODULE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def plain(text: str) -> str:
    return re.sub(r"\{[^}]*\}", "{}", text).casefold()


def sources(*parts: str) -> str:
    root = Path(airflow.api_fastapi.__file__).parent
    return "\n".join(plain(path.read_text()) for part in parts for path in root.glob(part))


@pytest.mark.parametrize(("constant", "file"), FILES.items())
def test_the_source_of_airflow_has_the_text_of_its_answer(constant: str, file: str) -> None:
    module = absence()
    texts = [text for text in getattr(module, constant).texts if text != module.NO_SERIALIZED_DAG]
    said = sources(f"core_api/routes/public/{file}.py", f"core_api/services/public/{file}.py", "core_api/security.py")
    assert any(plain(text) in said for text in texts), texts


def test_airflow_has_the_text_for_a_dag_that_is_not_serialized() -> None:
    assert plain(absence().NO_SERIALIZED_DAG) in sources("common/dagbag.py")


def test_each_text_is_searched_for_in_a_file() -> None:
    module = absence()
    named = {name for name, value in vars(module).items() if isinstance(value, module.Absence)}
    assert named - {"NEVER", "LIST_TASKS"} == FILES.keys()
