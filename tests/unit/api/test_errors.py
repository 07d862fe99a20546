"""The messages of errors that mljob-api sends to clients."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mljob_operator import logs
from mljob_operator.api.errors import explained, status_object
from mljob_operator.errors import AirflowUnreadable

PASSWORD = "correct-horse-battery"
JWT = "eyJhbGciOi.eyJzdWIi.c2lnbmF0dXJl"


@pytest.fixture(autouse=True)
def _credentials() -> Iterator[None]:
    logs.hide("test", PASSWORD)
    yield
    logs.hide("test")


def test_text_with_the_form_of_a_token_is_redacted_in_an_error_of_an_adapter() -> None:
    assert explained(AirflowUnreadable(f"A proxy answered Basic dXNlcjpwYXNz and {JWT}.")) == (
        "A proxy answered Basic *** and ***."
    )


def test_message_of_mljob_api_is_not_redacted() -> None:
    message = f"{JWT}: is no parameter here."
    assert status_object(400, message)["message"] == message


@pytest.mark.parametrize("guess", [PASSWORD[:4], PASSWORD[:12], PASSWORD[:-1], PASSWORD])
@pytest.mark.parametrize("ellipsis", ["...", "…", ""])
def test_words_of_a_client_do_not_tell_a_credential(guess: str, ellipsis: str) -> None:
    message = f"There is no parameter {guess}{ellipsis}"
    assert status_object(400, message)["message"] == message
    assert explained(AirflowUnreadable(message)) == message
