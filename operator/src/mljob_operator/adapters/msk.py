"""Tokens for Amazon MSK with IAM: requests to connect, signed with the operator's AWS identity by AWS's own library.

The library brings botocore along, which nobody else needs: it is the extra ``msk``, and imported here and late.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from ..errors import CannotStart


class NoCredentials(Exception):
    """AWS's chain of credentials gives the operator none."""


def tokens(region: str) -> Callable[[str | None], tuple[str, float]]:
    """What librdkafka asks for tokens (``oauth_cb``): each is a token and when it expires, in seconds since the epoch.

    Args:
        region: Of the brokers.

    Raises:
        CannotStart: The library is not there.
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
        # The signer fails on None with an AttributeError, which helps nobody.
        if botocore.session.Session().get_credentials() is None:
            raise NoCredentials(
                "AWS gives the operator no credentials: its ServiceAccount needs an IAM role (IRSA or EKS Pod Identity)"
            )
        signed, expires_ms = MSKAuthTokenProvider.generate_auth_token(region)
        return signed, expires_ms / 1000

    return token
