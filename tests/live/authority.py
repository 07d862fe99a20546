from __future__ import annotations

import ssl
from pathlib import Path

import trustme
from cryptography.hazmat.primitives import serialization

LOOPBACK = ("localhost", "127.0.0.1")


class Authority:
    """A certificate authority for servers on loopback and for clients."""

    def __init__(self) -> None:
        self._authority = trustme.CA()
        self.certificate = self._authority.cert_pem.bytes()

    def write_certificate(self, file: Path) -> Path:
        file.write_bytes(self.certificate)
        return file

    def server(self, *names: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert(*LOOPBACK, *names).configure_cert(context)
        return context

    def broker(self) -> bytes:
        """Return the key and the certificate of a Kafka broker on loopback, in PEM."""
        issued = self._authority.issue_cert(*LOOPBACK, common_name="broker")
        return _pkcs8(issued, None) + issued.cert_chain_pems[0].bytes()

    def client(self, name: str, *, password: bytes | None = None) -> tuple[bytes, bytes]:
        """Return the certificate and the key of a client, in PEM. If ``password`` is given, this
        password encrypts the key.
        """
        issued = self._authority.issue_cert(name, common_name=name)
        return issued.cert_chain_pems[0].bytes(), _pkcs8(issued, password)


def _pkcs8(issued: trustme.LeafCert, password: bytes | None) -> bytes:
    """Return the private key as PKCS #8. Kafka's keystores of type PEM read no other format."""
    key = serialization.load_pem_private_key(issued.private_key_pem.bytes(), password=None)
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
