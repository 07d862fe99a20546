"""Changes Airflow's database, to set test data that Airflow's REST API can't set."""

from __future__ import annotations

import json
import subprocess
from typing import Final

from devstack.stack import Stack

_PROGRAM: Final = """
import json, os, sys
from sqlalchemy import create_engine, text

request = json.load(sys.stdin)
with create_engine(os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]).begin() as connection:
    print(connection.execute(text(request["statement"]), request["values"]).rowcount)
"""


def execute(stack: Stack, statement: str, **values: object) -> int:
    """Execute an SQL statement on Airflow's database. The statement runs in a process of Airflow's
    virtual environment, because only this environment has the database's driver.

    Args:
        stack: The stack whose database is changed.
        statement: The statement, with a placeholder ``:name`` for each value.
        values: The values of the placeholders: strings, numbers, booleans or None.

    Returns:
        The number of rows that the statement changed.
    """
    done = subprocess.run(
        ["python", "-c", _PROGRAM],
        input=json.dumps({"statement": statement, "values": values}),
        env=stack.airflow_env(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)
