"""Fails a task without a retry, for errors that a retry can't fix, such as missing data."""

from __future__ import annotations

from mljob_airflow.compatibility import assert_supported, fail_exception, installed_version

assert_supported(installed_version())


def fail_for_good(message: str) -> Exception:
    """Return an ``AirflowFailException`` with this message. If a task raises the exception, Airflow
    fails the task without a retry::

        raise fail_for_good(f"accuracy {accuracy} is below {least}: the model is not published")
    """
    return fail_exception()(message)
