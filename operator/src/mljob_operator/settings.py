"""The operator's settings. They come from environment variables with the prefix ``MLJOB_``, and are
read once into a frozen object.
"""

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

from mljob_contract.airflow_instance import AccessRule, ClientAuthentication, DagGlob, LabelSelector, Scope
from mljob_contract.run_id import MAX_PREFIX_LENGTH

from .core.airflow_instance.credentials import MAX_HEADER, Login, OAuth2Client, fits_header, unfit_headers
from .core.leadership.claims import Claims
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
"""The settings that name files, each with whether the file must be a CA bundle."""
_NUMBERS = {
    "http_port": "is not a port: a number from 1 to 65535",
    "cancel_fallback_seconds": "is not a number of seconds above 0, and at most 3600",
    "resync_interval_seconds": "is not a number of seconds above 0, and at most 3600",
    "status_interval_seconds": "is not a number of seconds from 0 to 60",
    "lease_seconds": "is not a whole number of seconds from 4 to 60",
}
"""The error texts for values that are not a number or are out of range."""
_SPACE = re.compile(r"\s")
_API = re.compile(r"/api(/v\d+)?/?$")
_LABEL_NAME = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_LABEL_KEY = re.compile(rf"([a-z0-9]([-a-z0-9.]{{0,251}}[a-z0-9])?/)?{_LABEL_NAME}")
_LABEL_VALUE = re.compile(rf"({_LABEL_NAME})?")
_BROKER = re.compile(r"(\w+://)?(\[[0-9a-fA-F:.%]+\]|[^\s:,/\[\]]+)(:\d{1,5})?")


def _url(text: str) -> str:
    if "@" in text:
        raise ValueError("must not hold credentials: URLs appear in logs and statuses")
    if (why := _url_problem(text)) is not None:
        raise ValueError(f"{cut(text, 200)!r} {why}. An example is https://airflow.example.com:8080")
    return text


def _base_url(text: str) -> str:
    """Check a base URL of Airflow. The operator appends paths to this URL, also for links."""
    parts = urlsplit(text)
    why = None
    if parts.query or parts.fragment:
        why = "has a query or a fragment: leave out everything from ? or # on"
    elif (found := _API.search(parts.path)) is not None:
        why = f"ends in {found[0]}: leave that out, the operator adds it"
    if why is not None:
        raise ValueError(f"{cut(text, 200)!r} {why}")
    return text


def _url_problem(text: str) -> str | None:
    """Return the reason why a text is not an http or https URL, or None if it is such a URL."""
    if _SPACE.search(text):
        return "holds white space"
    if not text.startswith(("http://", "https://")):
        return "begins with neither http:// nor https://"
    try:
        parts = urlsplit(text)
    except ValueError:
        return "holds an invalid IP address in brackets"
    try:
        if parts.port == 0:
            return "has the port 0"
    except ValueError:
        return "has a port that is not a number from 1 to 65535"
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


def _label_syntax(selector: LabelSelector) -> LabelSelector:
    """Check the keys and values of a selector. Otherwise the Kubernetes API would refuse every
    list.
    """
    expressions = selector.match_expressions
    for key in (*selector.match_labels, *(expression.key for expression in expressions)):
        if not _LABEL_KEY.fullmatch(key):
            raise ValueError(f"{cut(key, 200)!r} is not the key of a label. An example is example.com/team")
    for value in (*selector.match_labels.values(), *(value for each in expressions for value in each.values)):
        if not _LABEL_VALUE.fullmatch(value):
            raise ValueError(
                f"{value!r} is not the value of a label: at most 63 letters, digits, '-', '_' and '.', with a letter or digit at both ends"
            )
    return selector


Url = Annotated[str, AfterValidator(_url)]
BaseUrl = Annotated[Url, AfterValidator(_base_url)]
Namespace = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]


class Settings(BaseSettings):
    """All settings. White space around a value is removed. An empty variable counts as absent."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        frozen=True,
        extra="ignore",
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
    )

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
    airflow_token: Annotated[SecretStr, AfterValidator(_token)] | None = None
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
    airflow_access: Annotated[tuple[AccessRule, ...] | None, NoDecode, Field(min_length=1, max_length=64)] = None
    """The access rules of the Airflow of ``airflow_url``: a JSON list, as in ``spec.access`` of an
    AirflowInstance. Absent: every namespace may run every DAG while no AirflowInstance exists, and
    no namespace may run anything while an AirflowInstance exists.
    """
    airflow_accept_vanished_runs_before: AwareDatetime | None = None
    """A time (RFC 3339). Runs that are missing in the Airflow of ``airflow_url``, and that were
    submitted before this time, count as deleted. An administrator sets this time after many runs
    have vanished at once. Until then, the operator does not count these runs as deleted, and starts
    no runs in that Airflow. Default: not set.
    """
    airflow_instances: bool = True
    """Whether the operator manages AirflowInstances. This needs cluster-wide permissions."""
    credentials_namespace: str = "mljob-system"
    """The namespace of the Secrets that AirflowInstances name. This must be the operator's own
    namespace.
    """
    pod_name: str | None = None
    """The name of the operator's Pod, in ``credentials_namespace``. Events that concern neither an
    MLJob nor an AirflowInstance belong to this Pod. Absent: the Events belong to the namespace.
    """
    pod_uid: str | None = None
    """The uid of the operator's Pod, with which ``kubectl describe pod`` finds the Pod's Events."""
    cancel_dag_id: str = "mljob_cancel"
    """The id of the cancellation DAG. No MLJob may run this DAG."""
    reserved_dags: Annotated[tuple[DagGlob, ...], NoDecode] = ()
    """DAGs that no MLJob may run, as comma-separated globs of DAG ids. The cancellation DAG is
    always reserved, and so are the monitoring DAGs unless an access rule has their ids."""
    cancel_fallback_seconds: Annotated[float, Field(gt=0, le=3600)] = 20.0
    """How many seconds the run of the cancellation DAG may wait for a slot before the operator
    cancels through the REST API. After its start, the run of the cancellation DAG may take 60
    seconds.
    """

    kafka_bootstrap_servers: Annotated[str, AfterValidator(_brokers)] | None = None
    """The brokers, each as ``host:port``, comma-separated. Absent: the operator reads no events,
    and statuses come from Airflow's REST API alone."""
    events_topic: str = "airflow.events"
    """The topic of Airflow's events."""
    kafka_group_id: str = "mljob-operator"
    """The consumer group. Operators in different clusters need different groups."""
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """The property ``security.protocol`` of librdkafka."""
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] | None = None
    """The property ``sasl.mechanism`` of librdkafka. Required with SASL_PLAINTEXT and SASL_SSL."""
    kafka_sasl_username: str | None = None
    """The SASL user, for all mechanisms except OAUTHBEARER."""
    kafka_sasl_password: SecretStr | None = None
    """The SASL password, for all mechanisms except OAUTHBEARER."""
    kafka_oauth_method: Literal["OIDC", "MSK_IAM"] | None = None
    """Where the tokens for OAUTHBEARER come from. ``OIDC``: an OpenID Connect provider.
    ``MSK_IAM``: the operator's AWS identity, for Amazon MSK. Required with OAUTHBEARER."""
    kafka_oidc_token_endpoint: Url | None = None
    """The token endpoint of the OpenID Connect provider. Required with OIDC."""
    kafka_oidc_client_id: str | None = None
    """The id of the operator's client at the provider. Required with OIDC."""
    kafka_oidc_client_secret: SecretStr | None = None
    """The secret of the client (grant ``client_credentials``). Required with OIDC."""
    kafka_oidc_scope: str | None = None
    """The scope to request. Required if the provider has no default scope."""
    kafka_oidc_extensions: str | None = None
    """SASL extensions for the brokers, each as ``name=value``, comma-separated."""
    kafka_oidc_ca_file: str | None = None
    """The CA bundle (PEM) for an https token endpoint. Default: the CAs of the system."""
    kafka_aws_region: Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d{1,2}$", max_length=63)] | None = None
    """The AWS region of the brokers. Required with MSK_IAM."""
    kafka_ssl_ca_file: str | None = None
    """The CA bundle (PEM) for the brokers."""
    kafka_ssl_certificate_file: str | None = None
    """The client certificate (PEM), for mutual TLS."""
    kafka_ssl_key_file: str | None = None
    """The private key (PEM) of the client certificate."""
    kafka_ssl_key_password: SecretStr | None = None
    """The password of the private key, if the key is encrypted."""
    kafka_extra_config: Annotated[dict[str, str], NoDecode] = {}
    """Further properties of librdkafka, as a JSON object. The operator refuses properties that have
    their own setting, and properties that the operator sets itself.
    """
    kafka_extra_config_file: str | None = None
    """A file with further properties that are secret, in lines ``name=value``. The file takes
    precedence over ``kafka_extra_config``."""
    dead_letter_topic: str | None = None
    """The topic for unreadable messages. Absent: unreadable messages are only counted and
    logged."""

    run_id_prefix: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length=MAX_PREFIX_LENGTH)] = (
        "mljob"
    )
    """The first part of dag run ids. Clusters that share one Airflow need different prefixes."""
    resync_interval_seconds: Annotated[float, Field(gt=0, le=3600)] = 5.0
    """The time between two requests for the recent changes in Airflow (the change feed), in
    seconds. If no event reports a change, the status shows the change within twice this time.
    """
    orphaned_runs: Literal["Report", "Cancel"] = "Report"
    """What the operator does about runs with its prefix that no MLJob follows. ``Report``: report
    them. ``Cancel``: report and cancel them."""
    status_interval_seconds: Annotated[float, Field(ge=0, le=60)] = 0.1
    """The minimum time between two patches of one MLJob's status, in seconds. The pause lets one
    patch show a burst of events. The first patch of a burst is not delayed.
    """
    namespaces: Annotated[tuple[Namespace, ...], NoDecode] = ()
    """The namespaces to watch, comma-separated. Absent: all namespaces."""
    selector: Annotated[Annotated[LabelSelector, AfterValidator(_label_syntax)] | None, NoDecode] = None
    """The label selector of the MLJobs to manage, as a JSON object (``metav1.LabelSelector``).
    Absent: all MLJobs. Operators that share a cluster need selectors that exclude each other.
    """
    lease_name: Annotated[str, Field(pattern=r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$", max_length=253)] = "mljob-operator"
    """The name of the Lease in ``credentials_namespace``. Processes with the same Lease are replicas
    of one operator, and one of them acts. Different operators need different Leases.
    """
    lease_seconds: Annotated[int, Field(ge=4, le=60)] = 10
    """The duration of the Lease, in seconds. After the leader was killed, another replica acts at
    most about 2 seconds later than this. A leader that can't renew the Lease for 0.7 of this time
    stops. A shorter time makes a leader stop when the Kubernetes API is slow for a moment.
    """

    http_host: str = "::"
    """The address on which ``/livez``, ``/readyz`` and ``/metrics`` listen. The kubelet and
    Prometheus connect to this address from outside the Pod. ``::`` means every address of IPv6 and
    IPv4. On a host without IPv6, ``::`` means every address of IPv4.
    """
    http_port: Annotated[int, Field(ge=1, le=65535)] = 8080
    """The port of ``/livez``, ``/readyz`` and ``/metrics``."""
    traces_endpoint: Url | None = None
    """The URL of an OTLP receiver over HTTP, with the path, such as
    ``http://otel-collector:4318/v1/traces``. The operator sends it a trace of each attempt that
    ends. This needs the extra ``tracing``. Absent: no traces."""
    log_format: Literal["json", "text"] = "json"
    """``json``: one JSON object per line. ``text``: lines for people."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The level of the operator's own loggers. Libraries always log at level warning and above."""

    @model_validator(mode="before")
    @classmethod
    def _trimmed(cls, values: Any) -> Any:
        """Remove white space around all values. An editor may have added a newline at the end of a
        file with a password, for example.
        """
        trimmed = {name: value.strip() if isinstance(value, str) else value for name, value in values.items()}
        return {name: value for name, value in trimmed.items() if value != ""}

    @field_validator("airflow_access", mode="before")
    @classmethod
    def _rules(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            # Unknown fields are refused. Otherwise a rule with a misspelt selector would have no
            # selector, and would admit every namespace.
            return _ACCESS.validate_json(value, extra="forbid", by_alias=True, by_name=False)
        except ValidationError as error:
            raise ValueError(_all_problems(error)) from error

    @field_validator("selector", mode="before")
    @classmethod
    def _selector(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            # As for access rules: without the misspelt field, the selector would select more.
            return LabelSelector.model_validate_json(value, extra="forbid", by_alias=True, by_name=False)
        except ValidationError as error:
            raise ValueError(_all_problems(error)) from error

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
                "the operator would read unreadable messages again and again. Set another topic, or none"
            )
        return self

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
        """Return the login for ``airflow_url``.

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

    def claims(self) -> Claims:
        """Return what this operator claims for itself among the operators of its namespace."""
        return Claims(
            selector=self.selector or LabelSelector(),
            namespaces=self.namespaces,
            run_id_prefix=self.run_id_prefix,
            brokers=self.kafka_bootstrap_servers,
            group_id=self.kafka_group_id,
        )

    def lost_before(self) -> dict[str, datetime]:
        """Return a time for each Airflow, by name. A missing run that was submitted before this
        time counts as lost, and so as deleted.
        """
        before = self.airflow_accept_vanished_runs_before
        return {SETTINGS_AIRFLOW: before} if before is not None else {}

    def kafka(self) -> dict[str, Any]:
        """Return the properties for librdkafka.

        Raises:
            Unusable: ``kafka_extra_config_file`` can't be read, or has a property that is refused.
        """
        return kafka_properties(self)

    def _needed_to_log_in(self) -> tuple[str, ...]:
        if self.kafka_sasl_mechanism != "OAUTHBEARER":
            return ("kafka_sasl_mechanism", "kafka_sasl_username", "kafka_sasl_password")
        if self.kafka_oauth_method == "OIDC":
            return ("kafka_oidc_token_endpoint", "kafka_oidc_client_id", "kafka_oidc_client_secret")
        return ("kafka_oauth_method", "kafka_aws_region") if self.kafka_oauth_method else ("kafka_oauth_method",)


def _all_problems(error: ValidationError) -> str:
    """Return the problems of a JSON value, each with the field."""
    found = ((".".join(map(str, problem["loc"])), problem["msg"]) for problem in error.errors())
    return "; ".join(f"{where}: {what}" if where else what for where, what in found)


def _headers(folder: Path) -> dict[str, str]:
    """Return the headers in a folder, by name.

    Raises:
        ValueError: A header can't be read or can't be sent.
    """
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


def unusable_files(settings: Settings) -> list[str]:
    """Return the problems of the files that the settings name, one sentence each."""
    problems = []
    try:
        settings.airflow_login()
    except ValueError as error:
        problems.append(f"{variable('airflow_headers_dir')}: {error}")
    if (tokens := settings.airflow_token_files) is not None and not Path(tokens).is_dir():
        problems.append(f"{variable('airflow_token_files')}: {tokens} is not a folder")
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
    """Return the name of the environment variable of a setting."""
    return f"{PREFIX}{name.upper()}"


def explained(error: ValidationError) -> list[str]:
    """Return the problems of the settings, one sentence each, without secret values."""
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    found: dict[str, str] = {}
    for problem in problems:
        name = str(next(iter(problem["loc"]), ""))
        sentence = _NUMBERS.get(name) or problem["msg"].removeprefix("Value error, ")
        # If several items of a list are wrong, only the first problem is reported.
        found.setdefault(name or sentence, f"{variable(name)}: {sentence}" if name else sentence)
    return list(found.values())
