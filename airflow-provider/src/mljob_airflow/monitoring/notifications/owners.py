"""Finds the Slack addresses of the owners of DAGs.

These places are searched in turn for an owner's address:

1. the Variable ``mljob_owners``, a JSON object that maps owners to addresses;
2. the owner's link in the ``owner_links`` of the DAG that has the problem.

If neither has an address for the owner, the owner's messages go to the fallback channel, which the
option ``[mljob] slack_channel`` names.

An address is a channel (``#name``, or its id ``C0123456789``), a member (``U0123456789``) or a
member's e-mail address.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

from mljob_airflow.monitoring.variables import json_object
from mljob_contract.reports import Finding

VARIABLE = "mljob_owners"
"""The Variable with the Slack addresses of owners."""
_EXAMPLE = '{"team-a": "#team-a"}'
_ID = re.compile(r"[CGDUW][A-Z0-9]{7,}")
MAX_OWNERS = 10
"""The maximum number of owners who are notified of one finding. Without this maximum, one DAG could
send a message to any number of addresses.
"""
PLATFORM = ""
"""Stands for the owner of findings without an owner: the people who run the platform."""
PLATFORM_NAME = "the platform"
"""The name of :data:`PLATFORM` in messages, in logs and in the task's return value."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """The Slack address to which a message is sent."""

    address: str
    is_fallback: bool = False
    """Whether ``address`` is the fallback channel."""

    @property
    def is_email(self) -> bool:
        """Whether the address is an e-mail address."""
        return "@" in self.address.lstrip("@")


def owners_of(finding: Finding) -> tuple[str, ...]:
    """Return the owners who are notified of a finding: :data:`PLATFORM` for a finding without an
    owner. Of more than :data:`MAX_OWNERS` owners, :data:`PLATFORM` takes the place of the rest.
    """
    if len(finding.owners) > MAX_OWNERS:
        return (*finding.owners[:MAX_OWNERS], PLATFORM)
    return finding.owners or (PLATFORM,)


def name_of(owner: str) -> str:
    """Return the owner's name for people: :data:`PLATFORM_NAME` for :data:`PLATFORM`."""
    return owner or PLATFORM_NAME


def address_in_link(link: str) -> str | None:
    """Return the Slack address in an owner's link, or ``None`` if the link has no address.

    These links have an address: ``https://acme.slack.com/archives/C0123456789``,
    ``https://app.slack.com/client/T0123456789/C0123456789``,
    ``https://acme.slack.com/team/U0123456789``, ``slack://channel?team=T...&id=C...`` and
    ``mailto:somebody@example.com``.
    """
    try:
        parts = urlsplit(link.strip())
    except ValueError:
        # The author of a DAG may write any text as a link.
        return None
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


def mapping_of(text: str | None) -> dict[str, str]:
    """Parse the text of the Variable ``mljob_owners``, and return the addresses by owner. For
    ``None``, the dict is empty.

    Raises:
        ValueError: The text is not a JSON object of strings.
    """
    mapping = json_object(VARIABLE, text, example=_EXAMPLE)
    for owner, address in mapping.items():
        if not isinstance(address, str):
            raise ValueError(
                f"the Variable {VARIABLE} must have a Slack address for each owner, for example {_EXAMPLE}; the address of {owner!r} is a {type(address).__name__}"
            )
    return mapping
