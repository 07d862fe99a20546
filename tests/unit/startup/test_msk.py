"""The operator logs in at Amazon MSK with tokens.

The tests install the packages that ``requirements/msk.txt`` locks. They send no request to AWS.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from urllib.parse import parse_qs, urlsplit

import pytest

from devstack import wheels

ASK = """
import json
from mljob_operator.adapters.msk import tokens
token, expires = tokens("eu-west-1")(None)
print(json.dumps([token, expires]))
"""


@pytest.fixture(scope="module")
def library() -> str:
    return str(wheels.installed("msk"))


def ask(library: str, **identity: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    without = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/dev/null"}
    environment = inherited | without | {"PYTHONPATH": library, "AWS_SHARED_CREDENTIALS_FILE": "/dev/null"} | identity
    return subprocess.run([sys.executable, "-c", ASK], env=environment, capture_output=True, text=True, check=False)


def test_token_is_a_connect_request_signed_for_the_region(library: str) -> None:
    asked = ask(library, AWS_ACCESS_KEY_ID="AKIAEXAMPLE", AWS_SECRET_ACCESS_KEY="geheim-und-lang")
    assert asked.returncode == 0, asked.stderr
    token, expires = json.loads(asked.stdout)
    url = urlsplit(base64.urlsafe_b64decode(token + "==").decode())
    query = parse_qs(url.query)
    assert url.hostname == "kafka.eu-west-1.amazonaws.com"
    assert query["Action"] == ["kafka-cluster:Connect"]
    assert query["X-Amz-Credential"][0].startswith("AKIAEXAMPLE/")
    assert query["X-Amz-Expires"] == ["900"]
    assert 1_000_000_000 < expires < 10_000_000_000, "seconds, as librdkafka's client asks for"
    assert "geheim" not in url.geturl()


def test_error_without_an_aws_identity_says_what_the_service_account_needs(library: str) -> None:
    asked = ask(library)
    assert (
        asked.stderr.strip()
        .splitlines()[-1]
        .endswith(
            "AWS gives the operator no credentials: its ServiceAccount needs an IAM role (IRSA or EKS Pod Identity)"
        )
    )
