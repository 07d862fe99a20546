"""The messages of errors that mljob-api sends to clients."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mljob_operator import logs
from mljob_operator.api.errors import explained, status_object
from mljob_operator.errors import AirflowUnreadable

PASSWORD = "correct-horse-battery"


@pytest.fixture(autouse=True)
def _hidden() -> Iterator[None]:
    logs.hide("test", PASSWORD)
    yield
    logs.hide("test")


def test_credential_in_a_message_is_redacted() -> None:
    assert status_object(400, f"Airflow answered {PASSWORD}.")["message"] == "Airflow answered ***."
    assert explained(AirflowUnreadable(f"Airflow answered {PASSWORD}.")) == "Airflow answered ***."


@pytest.mark.parametrize("guess", [PASSWORD[:4], PASSWORD[:12], PASSWORD[:-1]])
@pytest.mark.parametrize("ellipsis", ["...", "…", ""])
def test_words_of_a_client_do_not_tell_the_beginning_of_a_credential(guess: str, ellipsis: str) -> None:
    message = f"There is no parameter {guess}{ellipsis}"
    assert status_object(400, message)["message"] == message
    assert explained(AirflowUnreadable(message)) == message
