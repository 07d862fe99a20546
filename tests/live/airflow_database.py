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
    """Execute an SQL statement on Airflow's database, and return the number of changed rows. The
    statement has a placeholder ``:name`` for each value.

    Only Airflow's virtual environment has the database's driver, so the statement runs there.
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
