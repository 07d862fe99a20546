"""Generates AirflowInstances and their edits for a walk. A walk is a test that edits objects, and
rolls the edits back.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping

from .generate import Choice, Generator, fixed
from .users import Object, Spec
from .walk import Edit, changed, spec_schema

RIGHT, WRONG, UNLABELLED, BROKEN = "walk-right", "walk-wrong", "walk-unlabelled", "walk-broken"
"""Existing Secrets. An AirflowInstance may name other Secrets, which don't exist."""
NOBODY_LISTENS = ("http://127.0.0.1:9", "https://127.0.0.1:9/airflow")
NO_ADDRESSES = ("http://[::1", "http://127.0.0.1:port")
LOGINS = (*["passwordSecretRef"] * 4, *["tokenSecretRef"] * 3, "tokenFile", "oauth2", None)
NO_CERTIFICATE = "-----BEGIN CERTIFICATE-----\nbm90IGEgY2VydGlmaWNhdGU=\n-----END CERTIFICATE-----\n"
OUTCOMES = {
    "Ready",
    "Unauthorized",
    "Unreachable",
    "NotAirflow",
    "Unsupported",
    "SecretMissing",
    "SecretUnlabelled",
    "InvalidCredentials",
    "ValidationFailed",
}
"""Reasons of the condition Ready that every walk reaches."""


def edits(seed: int, urls: list[str], certificate: str) -> Iterator[Edit]:
    """Yield edits without end. The API server refuses the specs of some edits.

    Args:
        urls: URLs of Airflows and of other servers. The Airflow at the first URL accepts the login
            in the Secret ``RIGHT``.
        certificate: A valid certificate.
    """
    rng = random.Random(seed)
    secret = fixed(RIGHT, RIGHT, RIGHT, RIGHT, WRONG, UNLABELLED, BROKEN, "nobody-made-it")
    hints: dict[str, Choice] = {".tls.caBundle": fixed(certificate, certificate, NO_CERTIFICATE)}
    for owner in (".credentials", ".access[].credentials"):
        hints |= {
            f"{owner}.passwordSecretRef.name": secret,
            f"{owner}.passwordSecretRef.userKey": fixed("user"),
            f"{owner}.passwordSecretRef.passwordKey": fixed("password"),
            f"{owner}.tokenSecretRef.name": secret,
            f"{owner}.tokenSecretRef.key": fixed("token"),
            f"{owner}.oauth2.clientSecretRef.name": secret,
            f"{owner}.oauth2.clientSecretRef.clientIdKey": fixed("user"),
            f"{owner}.oauth2.clientSecretRef.clientSecretKey": fixed("password"),
            f"{owner}.oauth2.tokenUrl": fixed(NOBODY_LISTENS[0]),
            f"{owner}.headersSecretRef.name": secret,
        }
    schema, generator = spec_schema("airflowinstances"), Generator(rng, hints)

    def spec() -> Spec:
        # A host name that doesn't exist would be looked up in a name server, which a test must not
        # load.
        made = generator.some(schema, rng.choice((0.1, 0.4, 0.8)))
        for owner in (made, *made.get("access", ())):
            if "credentials" in owner:
                owner["credentials"] = one_login(owner["credentials"])
        return made | {"url": rng.choice((*[urls[0]] * 4, *urls, *NOBODY_LISTENS, *NO_ADDRESSES))}

    def one_login(credentials: Spec) -> Spec:
        # The API server refuses credentials without exactly one login.
        way = rng.choice(LOGINS)
        if way is None:
            return credentials
        of_all = schema["properties"]["credentials"]["properties"][way]
        login = credentials.get(way) or generator.some(of_all, 0.4, f".credentials.{way}")
        headers = {name: value for name, value in credentials.items() if name == "headersSecretRef"}
        return {way: login, **headers}

    while True:
        first = spec()
        yield Edit(first, changed(rng, first, spec(), needed=schema["required"]))


def settled(body: Object) -> bool:
    status = body.get("status", {})
    seen = status.get("observedGeneration") == body["metadata"]["generation"]
    return seen and all(condition["reason"] != "NotAskedYet" for condition in status.get("conditions", ()))


def outcome(body: Object) -> Mapping[str, object]:
    """Return the fields of an AirflowInstance that must not depend on earlier edits."""
    status = body["status"]
    return {
        "spec": body["spec"],
        "finalizers": body["metadata"].get("finalizers"),
        # Whether the brokers are connected is the same for all AirflowInstances, and reported at
        # any time.
        "conditions": {
            found["type"]: (found["status"], found["reason"], found["message"])
            for found in status["conditions"]
            if found["type"] != "EventsConnected"
        },
        "health": status.get("health"),
    }


def reason(body: Object) -> str:
    return next(str(found["reason"]) for found in body["status"]["conditions"] if found["type"] == "Ready")
