"""Where an owner is written to in Slack.

Three places, the first that knows wins: the Variable ``mljob_owners`` (a JSON object, owner -> address), which people can change without a
release; the DAG's ``owner_links``, where many teams have it already; the fallback channel.

An address is a channel (``#name``, or its id ``C0123456789``), a member (``U0123456789``) or a member's e-mail address.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

_ID = re.compile(r"[CGDUW][A-Z0-9]{7,}")


@dataclass(frozen=True, slots=True)
class Target:
    """An address, and whether it is the fallback."""

    address: str
    is_fallback: bool = False

    @property
    def is_email(self) -> bool:
        """Whether Slack has to be asked whose it is."""
        return "@" in self.address.lstrip("@")


def target_of(owner: str, mapping: Mapping[str, str], link: str | None, fallback: str) -> Target:
    """Where ``owner`` is written to.

    Args:
        owner: As Airflow has it; empty for the platform.
        mapping: The Variable's.
        link: The owner's entry of a DAG's ``owner_links``.
        fallback: The channel for everybody else.
    """
    address = mapping.get(owner, "").strip() or (address_in_link(link) if link else None)
    return Target(address) if address else Target(fallback, is_fallback=True)


def address_in_link(link: str) -> str | None:
    """The Slack address in an owner's link; ``None`` for a link that leads elsewhere.

    ``https://acme.slack.com/archives/C0123456789``, ``https://app.slack.com/client/T0123456789/C0123456789``,
    ``https://acme.slack.com/team/U0123456789``, ``slack://channel?team=T...&id=C...`` and ``mailto:somebody@example.com``.
    """
    parts = urlsplit(link.strip())
    if parts.scheme == "mailto":
        return unquote(parts.path) or None
    if parts.scheme == "slack":
        ids = parse_qs(parts.query).get("id", [])
        return ids[0] if ids and _ID.fullmatch(ids[0]) else None
    host = parts.hostname or ""
    if host != "slack.com" and not host.endswith(".slack.com"):
        return None
    ids = [part for part in parts.path.split("/") if _ID.fullmatch(part)]
    return ids[-1] if ids else None


def mapping_of(variable: object) -> dict[str, str]:
    """The Variable's mapping.

    Raises:
        ValueError: It is not one.
    """
    if variable is None:
        return {}
    if not isinstance(variable, Mapping) or not all(isinstance(value, str) for value in variable.values()):
        raise ValueError("the Variable mljob_owners must be a JSON object: owner -> Slack channel or member")
    return {str(owner): str(address) for owner, address in variable.items()}
