"""The settings of mljob-api. If only mljob-api has a setting, the name of the setting's environment
variable begins with ``MLJOB_API_``.
"""

from __future__ import annotations

import ssl
from typing import Annotated

from pydantic import Field

from ..settings import Settings, unusable_files, variable


class ApiSettings(Settings):
    """The settings that only mljob-api has, and all settings of the operator. mljob-api writes
    nothing to Kubernetes or Airflow, so the operator's settings about such writes have no effect in
    mljob-api.
    """

    api_host: str = "0.0.0.0"  # noqa: S104  # the Kubernetes API server connects from outside the Pod
    """The address on which mljob-api listens for the Kubernetes API server. ``::`` means every
    address of IPv6 and IPv4."""
    api_port: Annotated[int, Field(ge=1, le=65535)] = 6443
    """The port for the Kubernetes API server."""
    api_cert_file: str
    """The serving certificate (PEM), with its chain. mljob-api reads the file again after each
    change. Required."""
    api_key_file: str
    """The private key (PEM) of the serving certificate. Required."""
    api_probe_host: str = "::"
    """The address on which ``/livez``, ``/readyz`` and ``/metrics`` listen, without TLS."""
    api_probe_port: Annotated[int, Field(ge=1, le=65535)] = 8081
    """The port of ``/livez``, ``/readyz`` and ``/metrics``."""
    api_allow_any_front_proxy_name: bool = False
    """Whether every client with a certificate of the front proxy's CA may call, if the Kubernetes
    API server allows certificates with any name (``--requestheader-allowed-names`` is empty). Each
    such client could then read everything. Default: false. With false, mljob-api does not start if
    the Kubernetes API server allows certificates with any name.
    """
    api_connections: Annotated[int, Field(ge=1, le=10_000)] = 512
    """The maximum number of connections from the Kubernetes API server."""
    api_streams: Annotated[int, Field(ge=1, le=10_000)] = 200
    """The maximum number of requests at the same time. One user may have a quarter of them, and the
    MLJobs of one namespace at most as many as are left for others."""
    api_event_readers: Annotated[int, Field(ge=1, le=1_000)] = 60
    """The maximum number of readers of events at the same time. A reader needs up to 2 MB. Users
    and namespaces have the same shares as of ``api_streams``."""
    api_events_in_any_partition: bool = False
    """Whether the events of a run may be in any partition of the topic. By default, they are read
    from the partition that librdkafka's default partitioner chooses for the key, as the producers
    of Airflow do. Set this to true if partitions were added to the topic, or if another partitioner
    is used. Then readers read the whole topic.
    """
    api_follow_seconds: Annotated[float, Field(gt=0, le=86_400)] = 14_400.0
    """The maximum time for which a log or a watch of events is followed, in seconds."""


def problems(settings: ApiSettings) -> list[str]:
    """Return messages about the files that the settings name and that mljob-api can't use."""
    found = unusable_files(settings)
    names = f"{variable('api_cert_file')}, {variable('api_key_file')}"
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(settings.api_cert_file, settings.api_key_file, password=lambda: "")
    except ssl.SSLError as error:
        found.append(f"{names}: the files hold no certificate in PEM with its key: {error.reason or error}")
    except OSError as error:
        found.append(f"{names}: a file can't be read: {error.strerror}")
    return found
