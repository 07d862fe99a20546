"""A certificate authority for tests, made with trustme. It issues certificates of servers, Kafka
brokers and Kafka clients.
"""

from __future__ import annotations

import ssl
from pathlib import Path

import trustme
from cryptography.hazmat.primitives import serialization

LOOPBACK = ("localhost", "127.0.0.1")


class Authority:
    """A certificate authority for one test. Its certificates are valid for servers on loopback and
    for clients.

    Attributes:
        certificate: The authority's certificate in PEM.
    """

    def __init__(self) -> None:
        self._authority = trustme.CA()
        self.certificate = self._authority.cert_pem.bytes()

    def write_certificate(self, file: Path) -> Path:
        """Write the authority's certificate to a file in PEM, and return the file's path."""
        file.write_bytes(self.certificate)
        return file

    def server(self, *names: str) -> ssl.SSLContext:
        """Return the TLS context of a server on loopback. The server's certificate is valid for
        localhost, 127.0.0.1 and ``names``.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert(*LOOPBACK, *names).configure_cert(context)
        return context

    def broker(self) -> bytes:
        """Return the key and the certificate of a Kafka broker on loopback, for a keystore of type
        PEM.
        """
        issued = self._authority.issue_cert(*LOOPBACK, common_name="broker")
        return _pkcs8(issued, None) + issued.cert_chain_pems[0].bytes()

    def client(self, name: str, *, password: bytes | None = None) -> tuple[bytes, bytes]:
        """Return the certificate and the key of a client, both in PEM. If ``password`` is given,
        the key is encrypted with the password.
        """
        issued = self._authority.issue_cert(name, common_name=name)
        return issued.cert_chain_pems[0].bytes(), _pkcs8(issued, password)


def _pkcs8(issued: trustme.LeafCert, password: bytes | None) -> bytes:
    """Return the private key as PKCS #8, the one format that Kafka's keystore type PEM reads."""
    key = serialization.load_pem_private_key(issued.private_key_pem.bytes(), password=None)
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
