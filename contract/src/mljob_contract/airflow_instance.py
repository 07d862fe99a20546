"""The AirflowInstance resource, ``mljob.dev/v1alpha1``. An AirflowInstance describes an Airflow in
which MLJobs can run, and how the operator reaches this Airflow.

The platform team owns AirflowInstances. They are cluster-scoped, like an IngressClass or a
StorageClass. An MLJob names an AirflowInstance in ``spec.airflowRef``. An MLJob that names no
AirflowInstance runs in the AirflowInstance that is annotated as the default. Without a default, the
MLJob runs in the Airflow of the operator's settings. As in :mod:`.mljob`, ``make generate`` writes
the CRD from these models, and ``kubectl explain`` shows the docstrings.

Sources: the Kubernetes API conventions; StorageClass for the annotation that marks the default, and
for the choice between several defaults; metav1.LabelSelector; cert-manager's ClusterIssuer for the
namespace of a cluster-scoped resource's Secrets.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from .airflow_id import GLOB_PATTERN, MAX_ID_LENGTH
from .mljob import Condition
from .resource import GROUP, ObjectName, ResourceModel
from .times import Time

KIND = "AirflowInstance"
PLURAL = "airflowinstances"
IS_DEFAULT = f"{GROUP}/is-default-instance"
"""The annotation that makes an AirflowInstance the default for MLJobs without ``spec.airflowRef``.
Its value is "true"."""
ACCEPT_VANISHED_RUNS = f"{GROUP}/accept-vanished-runs"
"""The annotation with which an administrator accepts the loss of the runs that have vanished from
the AirflowInstance's Airflow. Its value is a time with a time zone, such as 2026-01-31T12:00:00Z,
that does not lie in the future. Missing runs that were submitted before this time count as deleted.
"""
MAX_ACCEPTED = 253
"""The operator reads and stores at most this number of characters of the value of the annotation
``ACCEPT_VANISHED_RUNS``, and ignores the rest.
"""
FINALIZER = f"{GROUP}/in-use"
"""The operator's finalizer on an AirflowInstance. The operator keeps the finalizer while MLJobs
have runs in the Airflow, because without the URL and the credentials the operator can neither
follow nor cancel these runs.
"""
CREDENTIALS_LABEL = f"{GROUP}/airflow-credentials"
"""The label, with any value, of Secrets that ``credentials`` may name. The label protects the other
Secrets in the operator's namespace: the operator never sends a Secret without the label to the URL
of an AirflowInstance.
"""

SecretKey = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
"""A key of a Secret."""


def _require_host(url: str) -> str:
    """Return ``url`` if it has a host, and if its port, if any, is from 1 to 65535. The pattern of
    ``Url`` can't check these two rules.

    Raises:
        ValueError: The URL breaks one of the rules.
    """
    try:
        parts = urlsplit(url)
        is_usable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable:
        raise ValueError("must have a host name or address, and a port from 1 to 65535 if it has a port")
    return url


Url = Annotated[
    str,
    Field(min_length=1, max_length=2048, pattern=r"^https?://[^\x00-\x20/?#]+(/[^\x00-\x20?#]*)?$"),
    AfterValidator(_require_host),
]
"""An http or https URL without query, fragment and white space. The pattern lists the excluded
characters, because \\s means ASCII white space in Go and Unicode white space in pydantic.
"""


class PasswordSecret(ResourceModel):
    """A Secret with a user name and a password."""

    name: ObjectName
    """The name of the Secret."""
    user_key: SecretKey = "user"
    """The key of the user name in the Secret. Default: user."""
    password_key: SecretKey = "password"  # noqa: S105  # a key's name
    """The key of the password in the Secret. Default: password."""


class TokenSecret(ResourceModel):
    """A Secret with a token."""

    name: ObjectName
    """The name of the Secret."""
    key: SecretKey = "token"
    """The key of the token in the Secret. Default: token."""


class TokenFile(ResourceModel):
    """A file with a token that another program, such as a sidecar, keeps valid."""

    name: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-zA-Z0-9][-._a-zA-Z0-9]*$")]
    """The name of the file, without its folder. The operator's setting MLJOB_AIRFLOW_TOKEN_FILES
    names the folder (airflowInstances.tokenFiles in the values of the chart)."""


Scope = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[\x21\x23-\x5b\x5d-\x7e]+$")]
"""A scope of OAuth 2 (RFC 6749, section 3.3)."""


class ClientSecret(ResourceModel):
    """A Secret with the id and the secret of an OAuth 2 client."""

    name: ObjectName
    """The name of the Secret."""
    client_id_key: SecretKey = "client-id"
    """The key of the client id in the Secret. Default: client-id."""
    client_secret_key: SecretKey = "client-secret"  # noqa: S105  # a key's name
    """The key of the client secret in the Secret. Default: client-secret."""


class ClientAuthentication(StrEnum):
    """How a client authenticates to a token endpoint (RFC 6749, section 2.3.1)."""

    BASIC = "Basic"
    POST = "Post"


class OAuth2(ResourceModel):
    """The OAuth 2 client credentials grant (RFC 6749, section 4.4)."""

    client_secret_ref: ClientSecret
    """The Secret with the client id and the client secret."""
    token_url: Url | None = None
    """The URL of the token endpoint. The operator trusts the CAs of tls.caBundle and of its image.
    Default: Airflow's own /auth/token, which accepts client credentials if Keycloak is Airflow's
    auth manager."""
    scopes: Annotated[tuple[Scope, ...], Field(max_length=32)] = ()
    """The scopes to request, at most 32. Default: none."""
    audience: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    """The parameter audience of the token request, which some providers require. Default: not
    sent."""
    client_authentication: ClientAuthentication = ClientAuthentication.BASIC
    """How the operator sends the client secret to the token endpoint. Basic, the default: in the
    Authorization header. Post: in the body of the request."""


class HeadersSecret(ResourceModel):
    """A Secret with HTTP headers. Each key is the name of a header, and the value of the key is the
    value of the header.
    """

    name: ObjectName
    """The name of the Secret. It may have at most 16 headers, with values of at most 8192
    characters. Headers that every request has, such as Authorization and Host, are refused."""


class Credentials(ResourceModel):
    """How the operator logs in to Airflow. Set exactly one of passwordSecretRef, tokenSecretRef,
    tokenFile and oauth2.
    """

    password_secret_ref: PasswordSecret | None = None
    """A user name and a password. The operator exchanges them for a token at Airflow's /auth/token,
    and renews the token when Airflow rejects it."""
    token_secret_ref: TokenSecret | None = None
    """A bearer token from a Secret, sent as it is."""
    token_file: TokenFile | None = None
    """A bearer token from a file. The operator reads the file again after each change."""
    oauth2: OAuth2 | None = None
    """A bearer token from an OAuth 2 provider. The operator renews the token before it expires and
    when Airflow rejects it."""
    headers_secret_ref: HeadersSecret | None = None
    """HTTP headers to send with every request to Airflow, in addition to the token, such as an API
    key for a gateway in front of Airflow. Default: none."""

    @model_validator(mode="after")
    def _require_exactly_one_login(self) -> Self:
        logins = (self.password_secret_ref, self.token_secret_ref, self.token_file, self.oauth2)
        if sum(login is not None for login in logins) != 1:
            raise ValueError("set exactly one of passwordSecretRef, tokenSecretRef, tokenFile and oauth2")
        return self

    @property
    def source(self) -> str:
        """The name of the Secret or of the token file with the login, for messages: ``Secret
        airflow-prod`` or ``token file prod``.
        """
        if self.token_file is not None:
            return f"token file {self.token_file.name}"
        client = self.oauth2.client_secret_ref if self.oauth2 is not None else None
        reference = self.password_secret_ref or self.token_secret_ref or client
        assert reference is not None, "the validator requires one login"
        return f"Secret {reference.name}"


class Tls(ResourceModel):
    """The CA certificates with which the operator verifies Airflow's server if the url is https."""

    ca_bundle: Annotated[str, Field(min_length=1, max_length=262144)]
    """The CA certificates that the operator trusts, in PEM format. Certificates are public, so they
    need no Secret.
    """


class EventSource(ResourceModel):
    """The Kafka topic with the events of this Airflow. The operator's settings name the brokers."""

    topic: Annotated[str, Field(min_length=1, max_length=249, pattern=r"^[a-zA-Z0-9._\-]+$")] | None = None
    """The topic with the events. Default: the topic of the operator's settings, MLJOB_EVENTS_TOPIC.
    For any other topic the operator uses a separate consumer group. The name of this group is the
    name of the operator's consumer group, a dot, and the topic."""
    source: Annotated[str, Field(min_length=1, max_length=253)] | None = None
    """The source in the events of this Airflow, which Airflow's configuration sets with
    [kafka_event_producer] source and [mljob] source. Airflows that share a topic need different
    sources. Default: all events on the topic whose source belongs to no other AirflowInstance."""


class SelectorOperator(StrEnum):
    """How a requirement compares a label's value with the requirement's values, as in
    metav1.LabelSelector.
    """

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


LabelKey = Annotated[str, Field(min_length=1, max_length=317)]
"""A label's key: a prefix of at most 253 characters, a slash and a name of at most 63."""
LabelValue = Annotated[str, Field(max_length=63)]
"""A label's value."""


class LabelRequirement(ResourceModel):
    """One requirement of a label selector."""

    key: LabelKey
    """The key of the label."""
    operator: SelectorOperator
    """In: the label has one of the values. NotIn: the label has none of the values, or does not
    exist. Exists: the label exists. DoesNotExist: the label does not exist."""
    values: Annotated[list[LabelValue], Field(max_length=64)] = Field(default_factory=list)
    """The values for In and NotIn, at most 64. Leave them out with Exists and DoesNotExist."""

    @model_validator(mode="after")
    def _require_values_to_compare(self) -> Self:
        compares = self.operator in (SelectorOperator.IN, SelectorOperator.NOT_IN)
        if compares != bool(self.values):
            raise ValueError("values are required with In and NotIn, and must be absent with Exists and DoesNotExist")
        return self


class LabelSelector(ResourceModel):
    """A condition on an object's labels. The object is selected if it meets all requirements. An
    empty selector selects every object.
    """

    match_labels: Annotated[dict[str, LabelValue], Field(max_length=64)] = Field(default_factory=dict)
    """The labels that the object must have, with their values."""
    match_expressions: Annotated[list[LabelRequirement], Field(max_length=64)] = Field(default_factory=list)
    """Further requirements for the labels, at most 64."""


DagGlob = Annotated[str, Field(min_length=1, max_length=MAX_ID_LENGTH, pattern=GLOB_PATTERN)]
"""A pattern of DAG ids, in the syntax of Python's fnmatch."""


class AccessRule(ResourceModel):
    """Lets some namespaces run some DAGs. The first rule that matches an MLJob applies to it."""

    namespace_selector: LabelSelector = Field(default_factory=LabelSelector)
    """The namespaces whose MLJobs the rule allows, by labels. The label kubernetes.io/metadata.name
    is the namespace's own name. Default: all namespaces."""
    dags: Annotated[list[DagGlob], Field(min_length=1, max_length=64)] = Field(default_factory=lambda: ["*"])
    """The DAGs that the rule allows, as patterns of their ids, such as train_*. An asterisk stands
    for any text, ? for one character, [ab] for a or b, [!ab] for any other character. Default: all
    DAGs."""
    credentials: Credentials | None = None
    """The credentials for MLJobs under this rule. The operator uses them to submit, follow and
    cancel the runs of these MLJobs. Airflow then checks the permissions of the user of these
    credentials, and records this user in its audit log. The Secret must be in the operator's
    namespace and have the label mljob.dev/airflow-credentials, with any value. Default:
    spec.credentials.
    """
    max_active_runs: Annotated[int, Field(ge=1, le=100000)] | None = None
    """How many MLJobs under this rule may have an active run at a time, in all namespaces of the
    rule together. Range: 1 to 100000. Default: no limit.
    """
    priority: Annotated[int, Field(ge=-1000000, le=1000000)] = 0
    """The order of MLJobs that wait because of maxActiveRuns: a higher number goes first. With the
    same number, namespaces take turns. Range: -1000000 to 1000000. Default: 0."""


class AirflowInstanceSpec(ResourceModel):
    """Where Airflow is, how the operator logs in, and which namespaces may run which DAGs."""

    url: Url
    """The base URL of Airflow's API server as the operator reaches it, without /api/v2, such as
    http://airflow-api-server.airflow:8080. It must not contain credentials. A change takes effect
    at once. The operator then looks for runs in progress at the new URL.
    """
    ui_url: Url | None = None
    """The base URL of Airflow's UI as people reach it. The links in MLJobs start with it. Default:
    url."""
    credentials: Credentials
    """How the operator logs in to Airflow. The Secret must be in the operator's namespace and have
    the label mljob.dev/airflow-credentials, with any value. The operator reads the Secret again
    every 15 seconds and when Airflow rejects the credentials, so that a changed Secret needs no
    restart."""
    tls: Tls | None = None
    """The certificates that the operator trusts for an https url. Default: the CAs of the
    operator's image."""
    kafka: EventSource = Field(default_factory=EventSource)
    """The Kafka topic with the events of this Airflow. Default: the topic of the operator's
    settings."""
    access: Annotated[list[AccessRule], Field(min_length=1, max_length=64)] | None = None
    """Which namespaces may run which DAGs: 1 to 64 rules. The first rule that matches an MLJob
    applies to it. If no rule matches an MLJob, the MLJob is Stalled with reason ValidationFailed,
    and its message shows the missing rule. Default: no rules, which lets no namespace run anything.
    A single empty rule, [{}], lets every namespace run every DAG.
    """
    max_active_runs: Annotated[int, Field(ge=1, le=100000)] | None = None
    """How many MLJobs may have an active run in this Airflow at a time. Range: 1 to 100000.
    Default: no limit. Further MLJobs wait with reason ConcurrencyLimit. MLJobs with a higher
    priority go first. Within a priority, namespaces take turns, each with its oldest MLJob.
    """


class InstanceHealth(ResourceModel):
    """The health of Airflow's components as Airflow reports it: healthy or unhealthy. A component
    that Airflow does not have is absent.
    """

    metadatabase: str | None = None
    """The metadata database: healthy or unhealthy."""
    scheduler: str | None = None
    """The scheduler: healthy or unhealthy. Without a scheduler, no run starts."""
    dag_processor: str | None = None
    """The DAG processor: healthy or unhealthy. Without a DAG processor, Airflow finds no new
    DAGs."""
    triggerer: str | None = None
    """The triggerer: healthy or unhealthy. Without a triggerer, deferred tasks do not continue."""


class AirflowInstanceStatus(ResourceModel):
    """The state of the Airflow. Only the operator writes the status."""

    observed_generation: int | None = None
    """The metadata.generation that the status describes. The value is -1 until an operator has read
    the AirflowInstance.
    """
    version: str | None = None
    """The version of Airflow, such as 3.3.2, as Airflow last reported it."""
    health: InstanceHealth | None = None
    """The health of Airflow's components. Absent while Airflow does not answer."""
    active_runs: Annotated[int, Field(ge=0)] | None = None
    """How many MLJobs have an active run in this Airflow."""
    waiting_jobs: Annotated[int, Field(ge=0)] | None = None
    """How many MLJobs wait because of maxActiveRuns, of the spec or of an access rule."""
    last_probe_time: Time | None = None
    """When Airflow last answered the operator's check, which runs every 15 seconds. The operator
    updates this field with every other change of the status, and otherwise every 5 minutes."""
    last_accepted_vanished_runs: Annotated[str, Field(max_length=MAX_ACCEPTED)] | None = None
    """The time in the annotation mljob.dev/accept-vanished-runs: missing runs that were submitted
    before this time count as deleted. Absent while the annotation is absent or refused. Only for
    people: the operator follows the annotation."""
    conditions: list[Condition] | None = None
    """The state for programs: Ready and Healthy; EventsConnected if the operator reads Kafka;
    DefaultInstance if the AirflowInstance is annotated as the default; AccessCredentials if access
    rules have credentials; Secure if the url is not secure; VanishedRunsAccepted if the annotation
    mljob.dev/accept-vanished-runs is refused. For example: kubectl wait
    --for=condition=Ready airflowinstance/prod."""
