"""Failing without another try, where a retry would change nothing: a model that is too bad, data that is not there."""

from __future__ import annotations

from mljob_airflow.compatibility import assert_supported, fail_exception, installed_version

assert_supported(installed_version())


def fail_for_good(message: str) -> Exception:
    """The exception that ends a task without another try, for a task to raise::

        raise fail_for_good(f"accuracy {accuracy} is below {least}: not published")

    It is Airflow's ``AirflowFailException``.
    """
    return fail_exception()(message)
