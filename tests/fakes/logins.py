"""Logins for tests, whose passwords and tokens need not be hidden from anybody."""

from __future__ import annotations

from typing import Any

from pydantic import SecretStr

from mljob_operator.core.airflow_instance.credentials import Login


def login(
    user: str | None = None, password: str | None = None, token: str | None = None, headers: Any = (), **rest: Any
) -> Login:
    """A login by plain texts; ``headers`` is a mapping."""
    return Login(
        user,
        SecretStr(password) if password is not None else None,
        SecretStr(token) if token is not None else None,
        headers=tuple((name, SecretStr(value)) for name, value in dict(headers).items()),
        **rest,
    )


def split(how: dict[str, Any], **default: Any) -> tuple[Login, dict[str, Any]]:
    """The login among the arguments of an adapter, or else the default one, and the other arguments."""
    ca = {name: value for name, value in how.items() if name.startswith("ca_")}
    given = {name: value for name, value in how.items() if name not in ca}
    return login(**(given or default)), ca
