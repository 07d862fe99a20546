"""The settings of the operator's own Airflow: an Airflow that the operator uses without an
AirflowInstance. The settings ``airflow_instances`` and ``airflow_token_files`` concern
AirflowInstances.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AwareDatetime, Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode

from mljob_contract.airflow_instance import AccessRule, ClientAuthentication, Scope

from ..core.airflow_instance.credentials import MAX_HEADER, Login, OAuth2Client, unfit_headers
from ..core.run.accepted_loss import require_past
from .environment import EnvironmentSettings
from .values import BaseUrl, Token, Url, json_of


class AirflowSettings(EnvironmentSettings):
    """The settings of the operator's own Airflow (``airflow_url``), and the settings that concern
    AirflowInstances.
    """

    airflow_url: BaseUrl | None = None
    """The base URL of the API server of the operator's own Airflow, without ``/api/v2`` and without
    credentials. MLJobs that name no AirflowInstance run in this Airflow if no AirflowInstance is
    the default. Absent: the operator has no Airflow of its own.
    """
    airflow_ui_url: BaseUrl | None = None
    """The base URL of Airflow's UI. Links in statuses start with it. Default: ``airflow_url``."""
    airflow_user: str | None = None
    """The user for ``POST /auth/token``. Requires ``airflow_password``."""
    airflow_password: SecretStr | None = None
    """The password of ``airflow_user``."""
    airflow_token: Token | None = None
    """A bearer token, instead of user and password."""
    airflow_token_file: str | None = None
    """A file with a bearer token, instead of user and password. The operator reads the file again
    after each change.
    """
    airflow_oauth2_client_id: str | None = None
    """The id of a client of an OAuth 2 provider (client credentials, RFC 6749, section 4.4),
    instead of user and password. Requires ``airflow_oauth2_client_secret``.
    """
    airflow_oauth2_client_secret: SecretStr | None = None
    """The secret of the OAuth 2 client."""
    airflow_oauth2_token_url: Url | None = None
    """The token endpoint of the OAuth 2 provider. Default: Airflow's own ``POST /auth/token``,
    which accepts client credentials if Keycloak is Airflow's auth manager."""
    airflow_oauth2_scopes: Annotated[tuple[Scope, ...], NoDecode, Field(max_length=32)] = ()
    """The scopes to request, separated by spaces, at most 32. Default: none."""
    airflow_oauth2_audience: Annotated[str, Field(max_length=1024)] | None = None
    """The parameter ``audience`` of the token request, which some providers require. Default: not
    sent."""
    airflow_oauth2_client_authentication: ClientAuthentication = ClientAuthentication.BASIC
    """How the client secret is sent to the token endpoint. ``Basic``, the default: in the
    Authorization header. ``Post``: in the body of the request."""
    airflow_headers_dir: str | None = None
    """A folder, such as a mounted Secret, with HTTP headers for every request to the Airflow of
    ``airflow_url``. Each file is one header: the name of the file is the name of the header. The
    operator reads the folder when it starts."""
    airflow_token_files: str | None = None
    """The folder with the files that AirflowInstances and access rules name in
    ``credentials.tokenFile``. Absent: ``tokenFile`` can't be used."""
    airflow_ca_file: str | None = None
    """The CA bundle (PEM) for an https ``airflow_url``. Default: the CAs of the system."""
    airflow_access: Annotated[
        tuple[AccessRule, ...] | None, NoDecode, Field(min_length=1, max_length=64), json_of(tuple[AccessRule, ...])
    ] = None
    """The access rules of the Airflow of ``airflow_url``: a JSON list, as in ``spec.access`` of an
    AirflowInstance. Absent: every namespace may run every DAG while no AirflowInstance exists, and
    no namespace may run anything while an AirflowInstance exists.
    """
    airflow_accept_vanished_runs_before: AwareDatetime | None = None
    """A time (RFC 3339). Runs that are missing in the Airflow of ``airflow_url``, and that were
    submitted before this time, count as deleted. An administrator sets this time after many runs
    have vanished at once. Until then, the operator does not count these runs as deleted, and starts
    no runs in that Airflow. The time must not lie in the future. Default: not set.
    """
    airflow_instances: bool = True
    """Whether the operator manages AirflowInstances. This needs cluster-wide permissions."""

    @field_validator("airflow_accept_vanished_runs_before")
    @classmethod
    def _past(cls, value: datetime | None) -> datetime | None:
        return require_past(value, datetime.now(UTC)) if value is not None else None

    @field_validator("airflow_oauth2_scopes", mode="before")
    @classmethod
    def _words(cls, value: Any) -> Any:
        return tuple(value.split()) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _credentials(self) -> Self:
        if self.airflow_url is None:
            if not self.airflow_instances:
                raise ValueError("set MLJOB_AIRFLOW_URL, or MLJOB_AIRFLOW_INSTANCES to true")
            return self
        logins = {
            "MLJOB_AIRFLOW_TOKEN": self.airflow_token is not None,
            "MLJOB_AIRFLOW_TOKEN_FILE": self.airflow_token_file is not None,
            "both MLJOB_AIRFLOW_USER and MLJOB_AIRFLOW_PASSWORD": None
            not in (self.airflow_user, self.airflow_password),
            "both MLJOB_AIRFLOW_OAUTH2_CLIENT_ID and MLJOB_AIRFLOW_OAUTH2_CLIENT_SECRET": None
            not in (self.airflow_oauth2_client_id, self.airflow_oauth2_client_secret),
        }
        given = [login for login, is_set in logins.items() if is_set]
        if len(given) != 1:
            found = f"; set are {' and '.join(given)}" if given else ""
            raise ValueError(f"set exactly one of {', or '.join(logins)}{found}")
        return self

    def airflow_login(self) -> Login:
        """Return a Login: the credentials and the additional headers for ``airflow_url``.

        Raises:
            ValueError: The folder ``airflow_headers_dir`` can't be read, has too many files, or has
                a file that is not a valid HTTP header.
        """
        client = None
        if self.airflow_oauth2_client_id is not None and self.airflow_oauth2_client_secret is not None:
            client = OAuth2Client(
                self.airflow_oauth2_client_id,
                self.airflow_oauth2_client_secret,
                self.airflow_oauth2_token_url,
                self.airflow_oauth2_scopes,
                self.airflow_oauth2_audience,
                self.airflow_oauth2_client_authentication,
            )
        headers = _headers(Path(self.airflow_headers_dir)) if self.airflow_headers_dir is not None else {}
        return Login(
            self.airflow_user,
            self.airflow_password,
            self.airflow_token,
            self.airflow_token_file,
            client,
            tuple((name, SecretStr(value)) for name, value in headers.items()),
        )


def _headers(folder: Path) -> dict[str, str]:
    headers = {}
    try:
        # In a mounted Secret, names that begin with a dot belong to files of the kubelet.
        for file in sorted(file for file in folder.iterdir() if not file.name.startswith(".")):
            with file.open("rb") as content:
                headers[file.name] = content.read(MAX_HEADER + 1).decode(errors="replace").strip()
    except OSError as error:
        raise ValueError(f"{error.filename or folder} can't be read: {error.strerror}") from None
    if (why := unfit_headers(headers)) is not None:
        raise ValueError(f"{folder} can't be used: {why}")
    return headers
