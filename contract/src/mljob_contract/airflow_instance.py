"""The AirflowInstance resource, ``mljob.dev/v1alpha1``: one Airflow that MLJobs may run in, and how to reach it.

It belongs to whoever runs the platform, hence cluster-scoped, like an IngressClass or a StorageClass: MLJobs name one with
``spec.airflowRef``, or get the one that is annotated as the default. As in :mod:`.mljob`, the models are the source of the CRD.

Sources: Kubernetes API conventions; StorageClass for the default's annotation and for which of several counts; metav1.LabelSelector;
cert-manager's ClusterIssuer for where a cluster-scoped resource's Secrets are.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from .airflow_id import GLOB_PATTERN, MAX_ID_LENGTH
from .mljob import GROUP, Condition, ObjectName, _Model
from .times import Time

KIND = "AirflowInstance"
PLURAL = "airflowinstances"
IS_DEFAULT = f"{GROUP}/is-default-instance"
"""The annotation that, with the value "true", makes an instance the one for MLJobs without ``spec.airflowRef``."""
ACCEPT_VANISHED_RUNS = f"{GROUP}/accept-vanished-runs"
"""The annotation by which an administrator says that runs which have vanished from the Airflow are lost. Each new value, such as the time, counts once."""
MAX_ACCEPTED = 253
"""Characters of its value that count."""
FINALIZER = f"{GROUP}/in-use"
"""On every AirflowInstance, as long as MLJobs have runs in it: without its address they could be neither followed nor cancelled."""
CREDENTIALS_LABEL = f"{GROUP}/airflow-credentials"
"""The label, with any value, of the Secrets that may be named in ``credentials``: other Secrets in the operator's namespace are not for Airflow."""

SecretKey = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]


def _with_host(url: str) -> str:
    """What the pattern can't say: the host and the port are ones."""
    try:
        parts = urlsplit(url)
        there = bool(parts.hostname) and parts.port != 0
    except ValueError:
        there = False
    if not there:
        raise ValueError("must name a host, and a port from 1 to 65535 if any")
    return url


Url = Annotated[
    str,
    Field(min_length=1, max_length=2048, pattern=r"^https?://[^\x00-\x20/?#]+(/[^\x00-\x20?#]*)?$"),
    AfterValidator(_with_host),
]
"""Without query, fragment and white space; not \\s, which is ASCII's in Go and Unicode's in pydantic."""


class PasswordSecret(_Model):
    """A Secret with a user and a password."""

    name: ObjectName
    """The Secret's name."""
    user_key: SecretKey = "user"
    """Under which key the user is."""
    password_key: SecretKey = "password"  # noqa: S105  # a key's name
    """Under which key the password is."""


class TokenSecret(_Model):
    """A Secret with a token."""

    name: ObjectName
    """The Secret's name."""
    key: SecretKey = "token"
    """Under which key the token is."""


class TokenFile(_Model):
    """A file with a token, which something beside the operator keeps fresh."""

    name: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-zA-Z0-9][-._a-zA-Z0-9]*$")]
    """The file's name in the folder that the operator's setting MLJOB_AIRFLOW_TOKEN_FILES names."""


Scope = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[\x21\x23-\x5b\x5d-\x7e]+$")]
"""RFC 6749, 3.3."""


class ClientSecret(_Model):
    """A Secret with an OAuth 2 client's id and secret."""

    name: ObjectName
    """The Secret's name."""
    client_id_key: SecretKey = "client-id"
    """Under which key the client id is."""
    client_secret_key: SecretKey = "client-secret"  # noqa: S105  # a key's name
    """Under which key the client secret is."""


class ClientAuthentication(StrEnum):
    """How a client shows its secret to a token endpoint (RFC 6749, 2.3.1)."""

    BASIC = "Basic"
    POST = "Post"


class OAuth2(_Model):
    """OAuth 2 client credentials (RFC 6749, 4.4)."""

    client_secret_ref: ClientSecret
    """Client id and client secret."""
    token_url: Url | None = None
    """The token endpoint. Absent: Airflow's own POST /auth/token, which takes client credentials where Keycloak is Airflow's auth manager."""
    scopes: Annotated[tuple[Scope, ...], Field(max_length=32)] = ()
    """Scopes to ask for."""
    audience: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    """The parameter audience, which some providers want."""
    client_authentication: ClientAuthentication = ClientAuthentication.BASIC
    """Basic: in an Authorization header. Post: in the request's body."""


class HeadersSecret(_Model):
    """A Secret whose keys are names of HTTP headers."""

    name: ObjectName
    """The Secret's name."""


class Credentials(_Model):
    """How the operator logs in: by exactly one of passwordSecretRef, tokenSecretRef, tokenFile and oauth2."""

    password_secret_ref: PasswordSecret | None = None
    """User and password, for Airflow's POST /auth/token. The token that it gives is renewed when Airflow refuses it."""
    token_secret_ref: TokenSecret | None = None
    """A bearer token, sent as it is."""
    token_file: TokenFile | None = None
    """A bearer token in a file, which is read again when it changes."""
    oauth2: OAuth2 | None = None
    """A bearer token from an OAuth 2 provider, renewed before it expires and when Airflow refuses it."""
    headers_secret_ref: HeadersSecret | None = None
    """HTTP headers for every request to Airflow, beside the token: what a gateway in front of it asks for, such as an API key."""

    @model_validator(mode="after")
    def _has_one_login(self) -> Self:
        ways = (self.password_secret_ref, self.token_secret_ref, self.token_file, self.oauth2)
        if sum(way is not None for way in ways) != 1:
            raise ValueError("name exactly one of passwordSecretRef, tokenSecretRef, tokenFile and oauth2")
        return self

    @property
    def source(self) -> str:
        """Where the login is kept, for people."""
        if self.token_file is not None:
            return f"token file {self.token_file.name}"
        by_client = self.oauth2.client_secret_ref if self.oauth2 is not None else None
        reference = self.password_secret_ref or self.token_secret_ref or by_client
        assert reference is not None, "validated above"
        return f"Secret {reference.name}"


class Tls(_Model):
    """How an https URL is trusted."""

    ca_bundle: Annotated[str, Field(min_length=1, max_length=262144)]
    """Certificates (PEM) of the CAs that may have signed Airflow's."""


class EventSource(_Model):
    """Where this Airflow's events are, on the brokers of the operator's settings."""

    topic: Annotated[str, Field(min_length=1, max_length=249, pattern=r"^[a-zA-Z0-9._\-]+$")] | None = None
    """The topic; absent: the one of the operator's settings."""
    source: Annotated[str, Field(min_length=1, max_length=253)] | None = None
    """What its events have as source ([kafka_event_producer] source, [mljob] source): others on the topic are another Airflow's. Absent: all
    events on the topic whose source no other AirflowInstance names."""


class SelectorOperator(StrEnum):
    """How a label's value relates to the values of a requirement."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


LabelKey = Annotated[str, Field(min_length=1, max_length=317)]
LabelValue = Annotated[str, Field(max_length=63)]


class LabelRequirement(_Model):
    """One requirement of a label selector."""

    key: LabelKey
    """The label's key."""
    operator: SelectorOperator
    """In and NotIn compare with values, which Exists and DoesNotExist must not have. NotIn holds without the label, too."""
    values: Annotated[list[LabelValue], Field(max_length=64)] = Field(default_factory=list)
    """What to compare with."""

    @model_validator(mode="after")
    def _has_values_where_it_compares(self) -> Self:
        compares = self.operator in (SelectorOperator.IN, SelectorOperator.NOT_IN)
        if compares != bool(self.values):
            raise ValueError("values are required with In and NotIn, and must be absent with Exists and DoesNotExist")
        return self


class LabelSelector(_Model):
    """Selects by labels; all of it has to hold, and an empty one selects everything."""

    match_labels: Annotated[dict[str, LabelValue], Field(max_length=64)] = Field(default_factory=dict)
    """Labels that have to have these values."""
    match_expressions: Annotated[list[LabelRequirement], Field(max_length=64)] = Field(default_factory=list)
    """Further requirements."""


DagGlob = Annotated[str, Field(min_length=1, max_length=MAX_ID_LENGTH, pattern=GLOB_PATTERN)]


class AccessRule(_Model):
    """Who may run what. An MLJob comes under the first rule that matches it."""

    namespace_selector: LabelSelector = Field(default_factory=LabelSelector)
    """The namespaces, by their labels; every namespace has kubernetes.io/metadata.name. Empty: all."""
    dags: Annotated[list[DagGlob], Field(min_length=1, max_length=64)] = Field(default_factory=lambda: ["*"])
    """The DAGs, by globs of their ids: * is any text, ? one character, [ab] one of these."""
    credentials: Credentials | None = None
    """How the operator logs in for MLJobs under this rule: it submits, follows and cancels their runs so, and Airflow checks the permissions of
    this user and names it in the audit log. The Secret is in the operator's own namespace, with the label mljob.dev/airflow-credentials. Absent:
    the credentials of the Airflow."""
    max_active_runs: Annotated[int, Field(ge=1, le=100000)] | None = None
    """How many runs of MLJobs under this rule may be active at a time; those of all namespaces together count. Absent: any number."""
    priority: Annotated[int, Field(ge=-1000000, le=1000000)] = 0
    """Which MLJobs go first when some have to wait for maxActiveRuns: those with the higher number. With the same number, namespaces take turns."""


class AirflowInstanceSpec(_Model):
    """Where the Airflow is, and who may use it for what."""

    url: Url
    """Base URL of its api-server as the operator reaches it, without /api/v2."""
    ui_url: Url | None = None
    """Base URL for people: links of MLJobs begin with it. Absent: url."""
    credentials: Credentials
    """How the operator logs in. The Secret is in the operator's own namespace, with the label mljob.dev/airflow-credentials. It is read again when
    Airflow refuses it and every 15 seconds: rotating it needs no restart."""
    tls: Tls | None = None
    """How an https URL is trusted; absent: by the CAs of the operator's image."""
    kafka: EventSource = Field(default_factory=EventSource)
    """Where its events are."""
    access: Annotated[list[AccessRule], Field(min_length=1, max_length=64)] | None = None
    """Who may run what: one rule that matches is enough. An MLJob that none matches is refused with reason ValidationFailed. Absent: nobody. A
    single empty rule, [{}], lets every namespace run every DAG."""
    max_active_runs: Annotated[int, Field(ge=1, le=100000)] | None = None
    """How many runs of MLJobs may be active in it at a time. Further MLJobs wait: those with a higher priority go first, then namespaces take turns,
    each with its oldest MLJob. Absent: any number."""


class InstanceHealth(_Model):
    """What Airflow says of its parts: healthy or unhealthy; absent where it has no such part."""

    metadatabase: str | None = None
    """Its database."""
    scheduler: str | None = None
    """Its scheduler: without it, no run is started."""
    dag_processor: str | None = None
    """Its DAG processor: without it, no new DAG is found."""
    triggerer: str | None = None
    """Its triggerer: without it, deferred tasks stay so."""


class AirflowInstanceStatus(_Model):
    """How it is. Written by the operator alone."""

    observed_generation: int | None = None
    """The generation of the spec that this speaks of; -1 before the operator has seen it."""
    version: str | None = None
    """Airflow's version."""
    health: InstanceHealth | None = None
    """How its parts are."""
    active_runs: Annotated[int, Field(ge=0)] | None = None
    """How many MLJobs have a run in it that is not over."""
    waiting_jobs: Annotated[int, Field(ge=0)] | None = None
    """How many MLJobs wait because of a maxActiveRuns, the instance's or an access rule's."""
    last_probe_time: Time | None = None
    """When it last answered as told here: renewed with any other change, else every 5 minutes."""
    last_accepted_vanished_runs: Annotated[str, Field(max_length=MAX_ACCEPTED)] | None = None
    """The value of the annotation mljob.dev/accept-vanished-runs that was acted on last."""
    conditions: list[Condition] | None = None
    """Ready, Healthy; EventsConnected where the operator reads Kafka; DefaultInstance where it is annotated as the default; AccessCredentials where
    access rules have credentials; Secure where the url is not."""
