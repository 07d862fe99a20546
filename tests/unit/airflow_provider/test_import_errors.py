"""The traceback of a DAG file's import error is shortened to one line."""

from __future__ import annotations

import pytest

from mljob_airflow.jobs.import_errors import MAX_LENGTH, one_line

HEAD = "Traceback (most recent call last):\n"


@pytest.mark.parametrize(
    ("traceback", "told"),
    [
        (
            HEAD + '  File "/dags/a.py", line 3, in <module>\n    f()\n  File "/dags/a.py", line 2, in f\n    1/0\n    ~^~\n'
            "ZeroDivisionError: division by zero\n",
            "line 2: ZeroDivisionError: division by zero",
        ),
        (
            HEAD + '  File "/dags/a.py", line 3, in <module>\n    f()\n  File "/lib/b.py", line 9, in f\n    raise X\nb.X: no',
            "line 3: b.X: no",
        ),
        (HEAD + '  File "/lib/b.py", line 9, in f\nb.X: no', "b.X: no"),
        ('  File "/dags/a.py", line 7\n    def f(:\n          ^\nSyntaxError: invalid syntax\n', "line 7: SyntaxError: invalid syntax"),
        (
            HEAD + '  File "/dags/a.py", line 1, in f\nKeyError: 1\n\nDuring handling of the above exception, another exception '
            'occurred:\n\n' + HEAD + '  File "/dags/a.py", line 4, in f\nValueError: 2',
            "line 4: ValueError: 2",
        ),
        (
            HEAD + '  File "/dags/a.py", line 5, in f\npydantic.ValidationError: 1 error\nepochs\n  Input should be 1',
            "line 5: pydantic.ValidationError: 1 error epochs Input should be 1",
        ),
        ("AirflowDagDuplicatedIdException: two", "AirflowDagDuplicatedIdException: two"),
        ("", "Airflow gives no reason"),
        (HEAD, "Traceback (most recent call last):"),
    ],
    ids=["own line", "deeper", "elsewhere", "syntax", "while handling", "many lines", "no traceback", "nothing", "head"],
)  # fmt: skip
def test_an_import_error_has_its_line_and_its_error(traceback: str, told: str) -> None:
    assert one_line("/dags/a.py", traceback) == told


def test_an_import_error_is_cut() -> None:
    assert len(one_line("/dags/a.py", HEAD + '  File "/lib/b.py", line 9, in f\nX: ' + "y" * 10_000)) == MAX_LENGTH
