"""The events of a task contain ``***`` in place of each secret that Airflow masks."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from airflow.sdk._shared.secrets_masker import reset_secrets_masker
from airflow.sdk.log import mask_secret

from mljob_airflow.compatibility import WITHHELD, masked


@pytest.fixture(autouse=True)
def nothing_masked_before() -> Iterator[None]:
    reset_secrets_masker()
    yield
    reset_secrets_masker()


def test_secrets_that_airflow_masks_in_logs_are_masked_in_events() -> None:
    text = "postgresql://ml:hunter2-correct-horse@warehouse refused"
    assert masked(text) == text
    mask_secret("hunter2-correct-horse")
    assert masked(text) == "postgresql://ml:***@warehouse refused"


def test_text_that_cannot_be_masked_is_withheld(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "airflow.sdk.log", None)  # its import raises ImportError
    assert masked("postgresql://ml:hunter2-correct-horse@warehouse refused") == WITHHELD
