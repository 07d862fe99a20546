"""The credentials with which the operator logs in to Airflow: user and password, a bearer token, a
token file or an OAuth 2 client. Each kind of credentials may have additional HTTP headers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from urllib.parse import quote_plus

from pydantic import SecretStr

from mljob_contract.airflow_instance import ClientAuthentication

from ..frozen import frozen

MAX_HEADERS = 16
"""The maximum number of HTTP headers from a Secret that requests to one Airflow may have."""
MAX_HEADER = 8 * 1024
"""The maximum length of a header's value, in characters. Most servers accept no more for all
headers together.
"""
RESERVED_HEADERS = frozenset(
    {
        "accept",
        "accept-encoding",
        "authorization",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "referer",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers that a Secret may not set, because HTTP or Airflow's API prescribes them."""

_VISIBLE = re.compile(r"[\x21-\x7e]+")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")
_HEADER_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?")


def fits_header(token: str) -> bool:
    """Return whether a bearer token can be sent in an HTTP header: the token has at least one
    character, and all its characters are visible ASCII characters. RFC 6750, section 2.1, allows
    only some of these characters.

    Call this function before an HTTP library gets the token, because an error of the library may
    quote the token.
    """
    return _VISIBLE.fullmatch(token) is not None


def unfit_header(name: str, value: str) -> str | None:
    """Return the reason why a header from a Secret can't be sent to Airflow, or None if the header
    can be sent. The reason is a text for people, and doesn't quote the value.

    Source: RFC 9110, sections 5.1 and 5.5.
    """
    if _HEADER_NAME.fullmatch(name) is None:
        return f"{name!r} is no name of an HTTP header"
    if name.lower() in RESERVED_HEADERS:
        return f"the header {name} is not for a Secret to set"
    if len(value) > MAX_HEADER:
        return f"the header {name} has more than {MAX_HEADER} characters"
    if _HEADER_VALUE.fullmatch(value) is None:
        return f"the header {name} is empty, or has characters that no HTTP header can have, such as a line break within it"
    return None


def unfit_headers(headers: Mapping[str, str]) -> str | None:
    """Return the reason why headers from a Secret can't be sent to Airflow together, or None if the
    headers can be sent. There are two reasons: more than ``MAX_HEADERS`` headers, and a header that
    can't be sent (:func:`unfit_header`). The reason is a text for people, and doesn't quote the
    values.
    """
    if len(headers) > MAX_HEADERS:
        return f"there are {len(headers)} headers, and at most {MAX_HEADERS} can be sent"
    return next((why for name, value in headers.items() if (why := unfit_header(name, value)) is not None), None)


@frozen
class OAuth2Client:
    """The id and the secret of an OAuth 2 client, and the parameters of its requests for tokens.

    Attributes:
        token_url: The URL of the token endpoint, or None for Airflow's own ``/auth/token``.
    """

    client_id: str
    client_secret: SecretStr
    token_url: str | None = None
    scopes: tuple[str, ...] = ()
    audience: str | None = None
    authentication: ClientAuthentication = ClientAuthentication.BASIC

    def secrets(self) -> Iterator[str]:
        """Yield the client's secret, and the id with the secret as a request for a token has both
        in base64 (RFC 6749, 2.3.1).
        """
        secret = self.client_secret.get_secret_value()
        yield from (secret, f"{self.client_id}:{secret}", f"{quote_plus(self.client_id)}:{quote_plus(secret)}")


@frozen
class Login:
    """The credentials with which the operator logs in to an Airflow: ``user`` and ``password``,
    ``token``, ``token_file`` or ``oauth2``.

    Attributes:
        token_file: The path of a file with a bearer token.
        headers: The name and value of each additional HTTP header.
        source: The place where the credentials are stored, as text for people.
    """

    user: str | None = None
    password: SecretStr | None = None
    token: SecretStr | None = None
    token_file: str | None = None
    oauth2: OAuth2Client | None = None
    headers: tuple[tuple[str, SecretStr], ...] = ()
    source: str = "the Secret that the operator's settings name"

    def secrets(self) -> Iterator[str]:
        """Yield the secret values in these credentials. The token in the file ``token_file`` is not
        among these values.
        """
        held = [self.password, self.token, self.oauth2.client_secret if self.oauth2 else None]
        yield from (value.get_secret_value() for value in (*held, *(value for _, value in self.headers)) if value)
