from __future__ import annotations

from dataclasses import fields

from mljob_operator.core.mljob.capabilities import BACKFILL, SINGLE_RUN, Capabilities


def test_run_and_backfill_differ_in_every_capability() -> None:
    same = [
        field.name for field in fields(Capabilities) if getattr(BACKFILL, field.name) is getattr(SINGLE_RUN, field.name)
    ]
    # A field with the same value for both would be superfluous.
    assert same == []
