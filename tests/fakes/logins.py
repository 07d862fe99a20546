from __future__ import annotations

from typing import Any

from pydantic import SecretStr

from mljob_operator.core.airflow_instance.credentials import Login


def login(
    user: str | None = None, password: str | None = None, token: str | None = None, headers: Any = (), **rest: Any
) -> Login:
    """Return a login to Airflow, made from plain strings instead of SecretStr."""
    return Login(
        user,
        SecretStr(password) if password is not None else None,
        SecretStr(token) if token is not None else None,
        headers=tuple((name, SecretStr(value)) for name, value in dict(headers).items()),
        **rest,
    )


def split(how: dict[str, Any], **default: Any) -> tuple[Login, dict[str, Any]]:
    """Split ``how`` into a login and the items whose names begin with ``ca_``. :func:`login` makes
    the login from the other items, or from ``default`` if there are no other items.
    """
    ca = {name: value for name, value in how.items() if name.startswith("ca_")}
    given = {name: value for name, value in how.items() if name not in ca}
    return login(**(given or default)), ca
