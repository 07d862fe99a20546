from __future__ import annotations

import pytest
from pydantic import SecretStr

from mljob_operator.core.airflow_instance.credentials import (
    MAX_HEADER,
    MAX_HEADERS,
    Login,
    OAuth2Client,
    fits_header,
    unfit_header,
    unfit_headers,
)


@pytest.mark.parametrize(
    ("token", "fits"),
    [
        pytest.param("eyJhbGciOiJIUzI1NiJ9.e30.x-_~+/=", True, id="a JWT"),
        pytest.param("", False, id="empty"),
        pytest.param("two words", False, id="a space"),
        pytest.param("token\n", False, id="a line break at the end"),
        pytest.param("token\r\nX-Admin: 1", False, id="another header"),
        pytest.param("tök", False, id="a letter outside of ASCII"),
        pytest.param("token\x00", False, id="a NUL"),
    ],
)
def test_a_token_has_visible_ascii_characters_only(token: str, fits: bool) -> None:
    assert fits_header(token) is fits


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("X-Tenant", "team a, team b", id="spaces within"),
        pytest.param("X-Tenant", "a\tb", id="a tab within"),
        pytest.param("X-Tenant", "7", id="one character"),
        pytest.param("X-Tenant", "x" * MAX_HEADER, id="the longest value"),
        pytest.param("x" * 128, "a", id="the longest name"),
        pytest.param("Cookie", "session=1", id="a cookie for a proxy"),
    ],
)
def test_a_header_that_http_allows_can_be_sent(name: str, value: str) -> None:
    assert unfit_header(name, value) is None


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        pytest.param("", "hunter2", "no name of an HTTP header", id="no name"),
        pytest.param("X Tenant", "hunter2", "no name of an HTTP header", id="a name with a space"),
        pytest.param("X-Tenant\r\nHost", "hunter2", "no name of an HTTP header", id="a name with a line break"),
        pytest.param("x" * 129, "hunter2", "no name of an HTTP header", id="a long name"),
        pytest.param("Authorization", "hunter2", "not for a Secret to set", id="the login itself"),
        pytest.param("HOST", "hunter2", "not for a Secret to set", id="a reserved name in upper case"),
        pytest.param("X-Tenant", "hunter2" * MAX_HEADER, f"more than {MAX_HEADER} characters", id="a long value"),
        pytest.param("X-Tenant", "", "empty", id="no value"),
        pytest.param("X-Tenant", "hunter2\r\nX-Admin: 1", "line break", id="another header"),
        pytest.param("X-Tenant", "hunter2 ", "characters that no HTTP header", id="a space at the end"),
        pytest.param("X-Tenant", "hunter2ü", "characters that no HTTP header", id="a letter outside of ASCII"),
    ],
)
def test_a_header_that_can_not_be_sent_has_a_reason_without_its_value(name: str, value: str, says: str) -> None:
    why = unfit_header(name, value)
    assert why is not None
    assert says in why
    assert "hunter2" not in why


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        pytest.param({}, None, id="none"),
        pytest.param({f"X-{number}": "a" for number in range(MAX_HEADERS)}, None, id="as many as allowed"),
        pytest.param({f"X-{number}": "a" for number in range(MAX_HEADERS + 1)}, "17 headers", id="too many"),
        pytest.param({"X-A": "a", "Host": "b", "X-C": ""}, "the header Host", id="the first unfit header"),
    ],
)
def test_headers_are_sent_together_or_not_at_all(headers: dict[str, str], says: str | None) -> None:
    why = unfit_headers(headers)
    assert why is None if says is None else why is not None and says in why


TENANT = (("X-Tenant", SecretStr("hunter5")),)


@pytest.mark.parametrize(
    ("login", "values"),
    [
        pytest.param(Login(user="admin", password=SecretStr("hunter2")), ["hunter2"], id="a password, not the user"),
        pytest.param(Login(token=SecretStr("hunter3")), ["hunter3"], id="a token"),
        pytest.param(Login(token_file="/var/run/token"), [], id="the path of a token file is public"),
        pytest.param(Login(oauth2=OAuth2Client("client", SecretStr("hunter4"))), ["hunter4"], id="an OAuth 2 client"),
        pytest.param(Login(token=SecretStr("hunter3"), headers=TENANT), ["hunter3", "hunter5"], id="headers too"),
        pytest.param(Login(token=SecretStr("")), [], id="an empty value hides nothing"),
    ],
)
def test_every_secret_value_of_a_login_is_kept_out_of_logs(login: Login, values: list[str]) -> None:
    assert list(login.secrets()) == values
    assert "hunter" not in repr(login)
