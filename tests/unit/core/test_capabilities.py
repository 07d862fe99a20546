"""The capabilities: what Airflow can do with a single run, and what it can do with a backfill."""

from __future__ import annotations

from dataclasses import fields

from mljob_operator.core.mljob.capabilities import BACKFILL, SINGLE_RUN, Capabilities


def test_run_and_backfill_differ_in_every_capability() -> None:
    """Each field of ``Capabilities`` has another value for a run than for a backfill. A field with
    the same value for both would be superfluous.
    """
    same = [
        field.name for field in fields(Capabilities) if getattr(BACKFILL, field.name) is getattr(SINGLE_RUN, field.name)
    ]
    assert same == []
