"""The TLS context of requests to a cluster."""

from __future__ import annotations

import os
import ssl
import tempfile

from .credentials import Credential
from .errors import ConfigError
from .kubeconfig import ClusterConfig


def tls_context(config: ClusterConfig, credential: Credential) -> ssl.SSLContext:
    """Return the TLS context for requests to a cluster.

    Args:
        config: The settings of the cluster, with the trusted certificate authorities.
        credential: The credential of the user, which may have a client certificate with its key.

    Raises:
        ConfigError: A certificate or a key is not PEM, the client certificate and the key don't
            belong together, or the key is encrypted.
    """
    try:
        context = _trusting(config)
    except ssl.SSLError as error:
        raise ConfigError(
            f"{config.server}: certificate-authority-data is no certificate in PEM: {error.reason}."
        ) from None
    # Python 3.13 demands extensions that the certificate authorities of many clusters lack. kubectl
    # does not.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not config.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if credential.certificate and credential.key:
        _load(context, config, credential.certificate, credential.key)
    return context


def _trusting(config: ClusterConfig) -> ssl.SSLContext:
    if config.ca:
        return ssl.create_default_context(cadata=config.ca.decode("ascii", "replace"))
    if config.verify and not config.server.lower().startswith("http:"):
        return ssl.create_default_context()
    # No certificate is checked, and reading the system's authorities would take tens of
    # milliseconds.
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _load(context: ssl.SSLContext, config: ClusterConfig, certificate: bytes, key: bytes) -> None:
    # The ssl module reads files only. mkstemp makes a file that nobody else can read.
    descriptor, path = tempfile.mkstemp(prefix="mljob-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(certificate + b"\n" + key)
        context.load_cert_chain(path, password=_no_password)
    except ssl.SSLError as error:
        raise ConfigError(
            f"{config.server}: client-certificate and client-key are not a pair in PEM: {error.reason}. "
            "Renew them, or choose another context."
        ) from None
    finally:
        os.unlink(path)


def _no_password() -> str:
    raise ConfigError("client-key is encrypted with a password. Decrypt the key, or use an exec plugin.")
