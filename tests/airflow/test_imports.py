"""Importing ``mljob_airflow`` loads neither Airflow, Kafka nor pydantic."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "airflow-provider" / "example_dags"
KAFKA = ("confluent_kafka", "airflow.providers.apache.kafka.hooks")

IMPORT = "import mljob_airflow"
NAME_CALLBACKS = "from mljob_airflow import mljob_callbacks; mljob_callbacks()"
PARSE = f"""
from pathlib import Path
from mljob_airflow.compatibility import read_dag_files
bag = read_dag_files(Path({str(EXAMPLES)!r}))
assert bag.dags and not bag.import_errors, bag.import_errors
assert all(task.on_success_callback for dag in bag.dags.values() for task in dag.tasks)
"""


def loaded_by(program: str) -> set[str]:
    asked = "import json, sys; before = set(sys.modules)\n{}\nprint(json.dumps(sorted(set(sys.modules) - before)))"
    done = subprocess.run([sys.executable, "-c", asked.format(program)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_importing_the_package_imports_no_other_package() -> None:
    foreign = {name.partition(".")[0] for name in loaded_by(IMPORT)} & {"airflow", "confluent_kafka", "pydantic"}
    assert not foreign


@pytest.mark.parametrize("program", [NAME_CALLBACKS, PARSE], ids=["naming the callbacks", "parsing the examples"])
def test_kafka_is_not_loaded_before_the_first_event(program: str) -> None:
    assert not [name for name in loaded_by(program) if name.startswith(KAFKA)]


def test_sending_task_events_does_not_load_the_models_of_reports() -> None:
    assert "mljob_contract.reports" not in loaded_by("import mljob_airflow.events.producer")


def test_the_models_of_events_are_made_without_reading_their_source() -> None:
    # Each task's process imports these models. A search for their source would make its start
    # slow.
    no_source = "import inspect; inspect.getmodule = inspect.findsource = None"
    assert "mljob_contract.events" in loaded_by(f"{no_source}; import mljob_airflow.events.producer")
