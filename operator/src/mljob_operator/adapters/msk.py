"""Creates tokens for Amazon MSK with IAM.

The library for the tokens is the optional dependency ``msk``. The library is imported only when
:func:`tokens` is called.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from ..errors import CannotStart


class NoCredentials(Exception):
    """AWS gives the operator no credentials."""


def tokens(region: str) -> Callable[[str | None], tuple[str, float]]:
    """Return the callback for confluent-kafka's property ``oauth_cb``.

    The callback returns a token and its expiry in seconds since the epoch, or raises
    :class:`NoCredentials`.

    Args:
        region: The AWS region of the brokers.

    Raises:
        CannotStart: The optional dependency ``msk`` is not installed.
    """
    try:
        import botocore.session
        from aws_msk_iam_sasl_signer import MSKAuthTokenProvider
    except ImportError as error:
        raise CannotStart(
            f"MLJOB_KAFKA_OAUTH_METHOD=MSK_IAM needs the Python package {error.name}, which is not installed: use an image that was built with "
            "--build-arg EXTRAS=msk, or pip install 'mljob-operator[msk]'",
            code=2,
        ) from error
    logging.getLogger("botocore").setLevel(logging.ERROR)

    def token(_: str | None) -> tuple[str, float]:
        # Without credentials, the library raises an AttributeError that doesn't name the cause.
        if botocore.session.Session().get_credentials() is None:
            raise NoCredentials(
                "AWS gives the operator no credentials: its ServiceAccount needs an IAM role (IRSA or EKS Pod Identity)"
            )
        signed, expires_ms = MSKAuthTokenProvider.generate_auth_token(region)
        return signed, expires_ms / 1000

    return token
