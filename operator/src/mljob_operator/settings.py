"""The operator's settings: environment variables with the prefix ``MLJOB_``, read once into one frozen object."""

from __future__ import annotations

import re
import ssl
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    AwareDatetime,
    Field,
    SecretStr,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from mljob_contract.airflow_instance import AccessRule, ClientAuthentication, DagGlob, Scope
from mljob_contract.run_id import MAX_PREFIX_LENGTH

from .core.airflow_instance.credentials import MAX_HEADER, Login, OAuth2Client, fits_header, unfit_headers
from .core.run.run_key import SETTINGS_AIRFLOW
from .core.text.storable import cut
from .kafka_properties import Unusable, from_json
from .kafka_properties import properties as kafka_properties

PREFIX = "MLJOB_"
_ACCESS = TypeAdapter(tuple[AccessRule, ...])
_FILES = {
    "airflow_ca_file": True,
    "airflow_token_file": False,
    "kafka_ssl_ca_file": True,
    "kafka_ssl_certificate_file": False,
    "kafka_ssl_key_file": False,
    "kafka_oidc_ca_file": True,
}
"""The settings that name files, and whether each is a CA bundle."""
_NUMBERS = {
    "http_port": "is not a port: a number from 1 to 65535",
    "cancel_fallback_seconds": "is not a number of seconds above 0, and at most 3600",
    "resync_interval_seconds": "is not a number of seconds above 0, and at most 3600",
    "status_interval_seconds": "is not a number of seconds from 0 to 60",
}
"""What is said of a number that is none, or out of range."""
_SPACE = re.compile(r"\s")
_API = re.compile(r"/api(/v\d+)?/?$")
_BROKER = re.compile(r"(\w+://)?(\[[0-9a-fA-F:.%]+\]|[^\s:,/\[\]]+)(:\d{1,5})?")


def _url(text: str) -> str:
    if "@" in text:
        raise ValueError("must not hold credentials: URLs are logged, and shown in statuses")
    if (why := _misfit(text)) is not None:
        raise ValueError(f"{cut(text, 200)!r} {why}. An example is https://airflow.example.com:8080")
    return text


def _base_url(text: str) -> str:
    """One of Airflow's, to which the operator and people's links add paths."""
    parts = urlsplit(text)
    why = None
    if parts.query or parts.fragment:
        why = "has a query or a fragment: leave out everything from ? or # on"
    elif (found := _API.search(parts.path)) is not None:
        why = f"ends in {found[0]}: leave that out, the operator adds it"
    if why is not None:
        raise ValueError(f"{cut(text, 200)!r} {why}")
    return text


def _misfit(text: str) -> str | None:
    """Why this is not a URL of http or https."""
    if _SPACE.search(text):
        return "holds white space"
    if not text.startswith(("http://", "https://")):
        return "begins with neither http:// nor https://"
    try:
        parts = urlsplit(text)
    except ValueError:
        return "holds an address in brackets that is none"
    try:
        if parts.port == 0:
            return "has the port 0"
    except ValueError:
        return "has a port that is no number from 1 to 65535"
    if not parts.hostname:
        return "names no host"
    return None


def _brokers(text: str) -> str:
    brokers = [part.strip() for part in text.split(",")]
    for broker in filter(None, brokers):
        if not _BROKER.fullmatch(broker):
            raise ValueError(f"{broker!r} is not a broker's host:port")
    if not any(brokers):
        raise ValueError("names no broker")
    return text


def _token(token: SecretStr) -> SecretStr:
    if not fits_header(token.get_secret_value()):
        raise ValueError("holds characters that can't be in an HTTP header, such as a line break within it")
    return token


Url = Annotated[str, AfterValidator(_url)]
BaseUrl = Annotated[Url, AfterValidator(_base_url)]
Namespace = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]


class Settings(BaseSettings):
    """Everything that can be set. White space around a value is no part of it; an empty variable counts as absent."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        frozen=True,
        extra="ignore",
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
    )

    airflow_url: BaseUrl | None = None
    """Base URL of the api-server of the operator's own Airflow, without ``/api/v2``: the one for MLJobs that name no AirflowInstance where none is
    the default. Absent: there is none."""
    airflow_ui_url: BaseUrl | None = None
    """Base URL of Airflow for people, in links; by default ``airflow_url``."""
    airflow_user: str | None = None
    """User for ``POST /auth/token``, with ``airflow_password``."""
    airflow_password: SecretStr | None = None
    """Its password."""
    airflow_token: Annotated[SecretStr, AfterValidator(_token)] | None = None
    """A bearer token, instead of user and password."""
    airflow_token_file: str | None = None
    """A file with a bearer token, instead of user and password; it is read again when it changes."""
    airflow_oauth2_client_id: str | None = None
    """A client of an OAuth 2 provider (client credentials, RFC 6749, 4.4), with ``airflow_oauth2_client_secret``, instead of user and password."""
    airflow_oauth2_client_secret: SecretStr | None = None
    """Its secret."""
    airflow_oauth2_token_url: Url | None = None
    """The provider's token endpoint. Absent: Airflow's own ``POST /auth/token``, which takes client credentials where Keycloak is its auth manager."""
    airflow_oauth2_scopes: Annotated[tuple[Scope, ...], NoDecode, Field(max_length=32)] = ()
    """Scopes to ask for, separated by spaces."""
    airflow_oauth2_audience: Annotated[str, Field(max_length=1024)] | None = None
    """The parameter ``audience``, which some providers want."""
    airflow_oauth2_client_authentication: ClientAuthentication = ClientAuthentication.BASIC
    """``Basic``: the secret is in an Authorization header. ``Post``: in the request's body."""
    airflow_headers_dir: str | None = None
    """A folder, such as a mounted Secret, each file of which is an HTTP header for every request to that Airflow: the file's name is the header's. It
    is read at the start."""
    airflow_token_files: str | None = None
    """The folder of the files that AirflowInstances and access rules name with ``credentials.tokenFile``. Absent: they can't name any."""
    airflow_ca_file: str | None = None
    """CA bundle (PEM) for an https ``airflow_url``; by default the system's."""
    airflow_access: Annotated[tuple[AccessRule, ...] | None, NoDecode, Field(min_length=1, max_length=64)] = None
    """Who may run what in that Airflow: a list of access rules in JSON, as in ``spec.access`` of an AirflowInstance. Absent: everybody may run
    everything as long as there is no AirflowInstance, and nobody otherwise."""
    airflow_accept_vanished_runs_before: AwareDatetime | None = None
    """Where many runs have vanished from that Airflow at once: those that were submitted before this time (RFC 3339) are lost and count as deleted."""
    airflow_instances: bool = True
    """Whether to look after AirflowInstances; it takes rights that are not bound to namespaces."""
    credentials_namespace: str = "mljob-system"
    """Where the Secrets are that AirflowInstances name: the operator's own namespace."""
    pod_name: str | None = None
    """The operator's Pod, in ``credentials_namespace``: Events that are about no MLJob and no AirflowInstance are about it. Absent: about that namespace."""
    pod_uid: str | None = None
    """Its uid, by which ``kubectl describe pod`` finds these Events."""
    cancel_dag_id: str = "mljob_cancel"
    """The cancellation DAG. No MLJob may run it."""
    reserved_dags: Annotated[tuple[DagGlob, ...], NoDecode] = ()
    """DAGs that no MLJob may run, beside the cancellation DAG and the monitoring DAGs: globs of their ids, comma-separated."""
    cancel_fallback_seconds: Annotated[float, Field(gt=0, le=3600)] = 20.0
    """How long the cancellation DAG's run may wait for a slot before the operator cancels through REST itself. One that has begun has
    60 seconds."""

    kafka_bootstrap_servers: Annotated[str, AfterValidator(_brokers)] | None = None
    """Brokers, each ``host:port``, comma-separated; absent: no events, statuses come from REST alone."""
    events_topic: str = "airflow.events"
    """The topic that Airflow's events are on."""
    kafka_group_id: str = "mljob-operator"
    """The consumer group; operators of different clusters need different ones."""
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """As librdkafka's ``security.protocol``."""
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] | None = None
    """As librdkafka's ``sasl.mechanism``; required with SASL_PLAINTEXT and SASL_SSL."""
    kafka_sasl_username: str | None = None
    """SASL user; of all mechanisms but OAUTHBEARER."""
    kafka_sasl_password: SecretStr | None = None
    """SASL password; likewise."""
    kafka_oauth_method: Literal["OIDC", "MSK_IAM"] | None = None
    """Where the tokens for OAUTHBEARER come from: an OpenID Connect provider, or the operator's AWS identity, for Amazon MSK. Required with OAUTHBEARER."""
    kafka_oidc_token_endpoint: Url | None = None
    """The provider's token endpoint; required with OIDC."""
    kafka_oidc_client_id: str | None = None
    """The client's id there; required with OIDC."""
    kafka_oidc_client_secret: SecretStr | None = None
    """Its secret (grant ``client_credentials``); required with OIDC."""
    kafka_oidc_scope: str | None = None
    """The scope to ask for, where the provider has no default one."""
    kafka_oidc_extensions: str | None = None
    """SASL extensions for the brokers, ``name=value``, comma-separated."""
    kafka_oidc_ca_file: str | None = None
    """CA bundle (PEM) for an https token endpoint; by default the system's."""
    kafka_aws_region: Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d{1,2}$", max_length=63)] | None = None
    """The AWS region of the brokers; required with MSK_IAM."""
    kafka_ssl_ca_file: str | None = None
    """CA bundle (PEM) for the brokers."""
    kafka_ssl_certificate_file: str | None = None
    """Client certificate (PEM), for mutual TLS."""
    kafka_ssl_key_file: str | None = None
    """Its key (PEM)."""
    kafka_ssl_key_password: SecretStr | None = None
    """The key's password, where the key is encrypted."""
    kafka_extra_config: Annotated[dict[str, str], NoDecode] = {}
    """Further properties of librdkafka's: a JSON object. Those that have a setting, or that the operator depends on, are refused."""
    kafka_extra_config_file: str | None = None
    """A file with such properties, for those that are secret: lines ``name=value``. It wins over ``kafka_extra_config``."""
    dead_letter_topic: str | None = None
    """Where messages go that can't be read; absent: they are counted and logged only."""

    run_id_prefix: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length=MAX_PREFIX_LENGTH)] = (
        "mljob"
    )
    """First part of dag run ids; clusters that share one Airflow need different ones."""
    resync_interval_seconds: Annotated[float, Field(gt=0, le=3600)] = 5.0
    """Seconds between two looks at Airflow's change feed. A transition that gives no event is in the status within twice that."""
    orphaned_runs: Literal["Report", "Cancel"] = "Report"
    """What becomes of runs with our prefix that no MLJob follows: they are reported, or reported and cancelled."""
    status_interval_seconds: Annotated[float, Field(ge=0, le=60)] = 0.1
    """Seconds between two patches of one MLJob's status: a burst of events is one patch. The first is never delayed."""
    namespaces: Annotated[tuple[Namespace, ...], NoDecode] = ()
    """Namespaces to watch, comma-separated; absent: all."""

    http_host: str = "::"
    """Where ``/livez``, ``/readyz`` and ``/metrics`` listen: the kubelet and Prometheus come from outside the pod. ``::`` is every address, of IPv6 and of
    IPv4; on a host without IPv6 every address of IPv4."""
    http_port: Annotated[int, Field(ge=1, le=65535)] = 8080
    """Their port."""
    log_format: Literal["json", "text"] = "json"
    """One JSON object a line, or lines for people."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Of the operator's own loggers; libraries log warnings."""

    @model_validator(mode="before")
    @classmethod
    def _trimmed(cls, values: Any) -> Any:
        """An editor's newline at the end of a file is no part of a password, nor of anything else."""
        trimmed = {name: value.strip() if isinstance(value, str) else value for name, value in values.items()}
        return {name: value for name, value in trimmed.items() if value != ""}

    @field_validator("airflow_access", mode="before")
    @classmethod
    def _rules(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            # Strict: a selector whose name is misspelt would be no selector, and let everybody in.
            return _ACCESS.validate_json(value, extra="forbid", by_alias=True, by_name=False)
        except ValidationError as error:
            found = ((".".join(map(str, problem["loc"])), problem["msg"]) for problem in error.errors())
            raise ValueError("; ".join(f"{where}: {what}" if where else what for where, what in found)) from error

    @field_validator("kafka_extra_config", mode="before")
    @classmethod
    def _properties(cls, value: Any) -> Any:
        return from_json(value) if isinstance(value, str) else value

    @field_validator("namespaces", "reserved_dags", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("airflow_oauth2_scopes", mode="before")
    @classmethod
    def _words(cls, value: Any) -> Any:
        return tuple(value.split()) if isinstance(value, str) else value

    @field_validator("log_level", mode="before")
    @classmethod
    def _lower(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value

    @model_validator(mode="after")
    def _dead_letters(self) -> Self:
        if self.dead_letter_topic == self.events_topic:
            raise ValueError(
                f"MLJOB_DEAD_LETTER_TOPIC is the topic of the events, {self.events_topic!r}: "
                "unreadable messages would be read again for ever. Set another one, or none"
            )
        return self

    @model_validator(mode="after")
    def _credentials(self) -> Self:
        if self.airflow_url is None:
            if not self.airflow_instances:
                raise ValueError("set MLJOB_AIRFLOW_URL, or MLJOB_AIRFLOW_INSTANCES to true")
            return self
        ways = {
            "MLJOB_AIRFLOW_TOKEN": self.airflow_token is not None,
            "MLJOB_AIRFLOW_TOKEN_FILE": self.airflow_token_file is not None,
            "both MLJOB_AIRFLOW_USER and MLJOB_AIRFLOW_PASSWORD": None
            not in (self.airflow_user, self.airflow_password),
            "both MLJOB_AIRFLOW_OAUTH2_CLIENT_ID and MLJOB_AIRFLOW_OAUTH2_CLIENT_SECRET": None
            not in (self.airflow_oauth2_client_id, self.airflow_oauth2_client_secret),
        }
        there = [way for way, is_set in ways.items() if is_set]
        if len(there) != 1:
            found = f"; set are {' and '.join(there)}" if there else ""
            raise ValueError(f"set exactly one of {', or '.join(ways)}{found}")
        return self

    @model_validator(mode="after")
    def _kafka_login(self) -> Self:
        if self.kafka_bootstrap_servers is None or not self.kafka_security_protocol.startswith("SASL_"):
            return self
        if missing := [variable(name) for name in self._needed_to_log_in() if getattr(self, name) is None]:
            asking = [f"{variable('kafka_security_protocol')}={self.kafka_security_protocol}"]
            if self.kafka_sasl_mechanism == "OAUTHBEARER":
                asking.append(f"{variable('kafka_sasl_mechanism')}=OAUTHBEARER")
            raise ValueError(f"{' with '.join(asking)} needs {', '.join(missing)}")
        return self

    def airflow_login(self) -> Login:
        """How to log in to ``airflow_url``.

        Raises:
            ValueError: ``airflow_headers_dir`` can't be read, or a header can't be sent.
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

    def lost_before(self) -> dict[str, datetime]:
        """Before when runs were submitted that count as lost where they are missing, by Airflow."""
        before = self.airflow_accept_vanished_runs_before
        return {SETTINGS_AIRFLOW: before} if before is not None else {}

    def kafka(self) -> dict[str, Any]:
        """Librdkafka's properties for the brokers; only those that are set.

        Raises:
            Unusable: The file with further ones can't be read, or holds what must not be there.
        """
        return kafka_properties(self)

    def _needed_to_log_in(self) -> tuple[str, ...]:
        if self.kafka_sasl_mechanism != "OAUTHBEARER":
            return ("kafka_sasl_mechanism", "kafka_sasl_username", "kafka_sasl_password")
        if self.kafka_oauth_method == "OIDC":
            return ("kafka_oidc_token_endpoint", "kafka_oidc_client_id", "kafka_oidc_client_secret")
        return ("kafka_oauth_method", "kafka_aws_region") if self.kafka_oauth_method else ("kafka_oauth_method",)


def _headers(folder: Path) -> dict[str, str]:
    """Name and value of each header that a folder holds.

    Raises:
        ValueError: A header can't be read, or not be sent.
    """
    headers = {}
    try:
        # Where a Secret is mounted, names that begin with a dot are the kubelet's.
        for file in sorted(file for file in folder.iterdir() if not file.name.startswith(".")):
            with file.open("rb") as content:
                headers[file.name] = content.read(MAX_HEADER + 1).decode(errors="replace").strip()
    except OSError as error:
        raise ValueError(f"{error.filename or folder} can't be read: {error.strerror}") from None
    if (why := unfit_headers(headers)) is not None:
        raise ValueError(f"{folder} can't be used: {why}")
    return headers


def unusable_files(settings: Settings) -> list[str]:
    """What is wrong with the files that the settings name, a sentence for each."""
    problems = []
    try:
        settings.airflow_login()
    except ValueError as error:
        problems.append(f"{variable('airflow_headers_dir')}: {error}")
    if (tokens := settings.airflow_token_files) is not None and not Path(tokens).is_dir():
        problems.append(f"{variable('airflow_token_files')}: {tokens} is no folder")
    for name, is_bundle in _FILES.items():
        if (path := getattr(settings, name)) is None:
            continue
        try:
            with open(path, "rb"):
                if is_bundle:
                    ssl.create_default_context(cafile=path)
        except ssl.SSLError as error:
            problems.append(f"{variable(name)}: {path} holds no CA certificate in PEM: {error.reason or error}")
        except OSError as error:
            problems.append(f"{variable(name)}: {path} can't be read: {error.strerror}")
    try:
        settings.kafka()
    except Unusable as error:
        problems.append(f"{variable('kafka_extra_config_file')}: {error}")
    return problems


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return f"{PREFIX}{name.upper()}"


def explained(error: ValidationError) -> list[str]:
    """What is wrong with the settings, a sentence for each; no value of a secret is in them."""
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    found: dict[str, str] = {}
    for problem in problems:
        name = str(next(iter(problem["loc"]), ""))
        sentence = _NUMBERS.get(name) or problem["msg"].removeprefix("Value error, ")
        # Of a list, several parts may be wrong: the first one is told.
        found.setdefault(name or sentence, f"{variable(name)}: {sentence}" if name else sentence)
    return list(found.values())
