"""The monitoring DAGs send Slack messages about their findings to the owners of DAGs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from mljob_airflow.monitoring.notifications.notifier import NotificationError, notify
from mljob_airflow.monitoring.notifications.owners import MAX_OWNERS, Recipient, address_in_link, mapping_of
from mljob_airflow.monitoring.notifications.routing import OwnerDirectory
from mljob_airflow.monitoring.notifications.slack import Posted, SlackError, SlackUnavailableError, UnreachableError
from mljob_airflow.monitoring.notifications.state import NotificationPolicy, NotificationState
from mljob_airflow.rest.client import AirflowApiError
from mljob_contract.reports import Finding, FindingKind
from tests.unit.airflow_provider.monitoring.reports import finding, report

A, B = finding("a"), finding("b", owner="team-b")
DIRECTORY = OwnerDirectory({"team-a": "#a", "team-b": "#b"}, "#airflow")


@dataclass
class FakeSlack:
    errors: dict[str, SlackError] = field(default_factory=dict)
    threads: bool = True
    lost_threads: set[str] = field(default_factory=set)
    sent: list[tuple[str, str | None, bool]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def post(
        self, recipient: Recipient, message: object, *, reply_to: Posted | None = None, broadcast: bool = False
    ) -> Posted:
        thread = reply_to.thread if reply_to else None
        address = reply_to.channel if reply_to and thread else recipient.address
        if address in self.errors:
            raise self.errors[address]
        if thread in self.lost_threads:
            raise UnreachableError("thread_not_found")
        self.texts.append(str(message))
        self.sent.append((address, thread, broadcast))
        return Posted(address, f"{len(self.sent)}.0")


@dataclass
class World:
    slack: FakeSlack = field(default_factory=FakeSlack)
    state: NotificationState = field(default_factory=dict)
    directory: OwnerDirectory = DIRECTORY

    def notify(self, *findings: Finding, minutes: float = 0, **fields: Any) -> dict[str, str]:
        def save(state: NotificationState) -> None:
            self.state = state

        return notify(
            report(*findings, minutes=minutes, **fields),
            self.state,
            NotificationPolicy(),
            self.slack,
            self.directory,
            save,
        )


@pytest.fixture
def world() -> World:
    return World()


def test_each_owner_is_notified_once(world: World) -> None:
    assert world.notify(A, B) == {"team-a": "new", "team-b": "new"}
    assert world.notify(A, B, minutes=15) == {}
    assert world.slack.sent == [("#a", None, True), ("#b", None, True)]


def test_no_message_says_that_all_problems_are_resolved_while_links_can_not_be_read(world: World) -> None:
    def down(dag_id: str) -> dict[str, str]:
        raise AirflowApiError("Airflow is not available", 503)

    b = finding("b")
    world.directory = OwnerDirectory(
        {}, "#airflow", lambda _dag_id: {"team-a": "https://a.slack.com/archives/C0000000A"}
    )
    world.notify(A, b)
    world.directory = OwnerDirectory({}, "#airflow", down)
    with pytest.raises(NotificationError):
        world.notify(b, minutes=60)
    assert "1 problem resolved" in world.slack.texts[-1]


def test_findings_without_an_owner_go_to_the_fallback_channel(world: World) -> None:
    assert world.notify(finding("pool", owner=None)) == {"the platform": "new"}
    assert world.slack.sent == [("#airflow", None, True)]


def test_a_reply_is_broadcast_if_it_has_new_findings(world: World) -> None:
    world.notify(A)
    world.notify(A, finding("c"), minutes=15)
    world.notify(A, minutes=200)
    assert world.slack.sent[1:] == [("#a", "1.0", True), ("#a", "1.0", False)]


def test_messages_to_an_unreachable_owner_go_to_the_fallback_channel(world: World) -> None:
    world.slack.errors["#a"] = UnreachableError("channel_not_found")
    assert world.notify(A, B) == {"team-a": "new", "team-b": "new"}
    world.notify(A, B, finding("c"), minutes=15)
    assert world.slack.sent == [("#airflow", None, False), ("#b", None, True), ("#airflow", "1.0", True)]


def test_an_archived_channel_moves_the_thread_to_the_fallback_channel(world: World) -> None:
    world.notify(A)
    world.slack.errors["#a"] = UnreachableError("is_archived")
    world.notify(A, finding("c"), minutes=15)
    world.notify(A, finding("c"), finding("d"), minutes=30)
    assert world.slack.sent == [("#a", None, True), ("#airflow", None, False), ("#airflow", "2.0", True)]
    assert "who could not be reached. is_archived" in world.slack.texts[1]


@pytest.mark.parametrize(("owner", "address"), [("team-a", "#a"), (None, "#airflow")])
def test_a_lost_thread_is_replaced_in_the_same_channel(world: World, owner: str | None, address: str) -> None:
    a, b, c = (finding(name, owner=owner) for name in "abc")
    world.notify(a)
    world.slack.lost_threads.add("1.0")
    world.notify(a, b, minutes=15)
    world.notify(a, b, c, minutes=30)
    assert world.slack.sent == [(address, None, True), (address, None, True), (address, "2.0", True)]
    assert not any("could not be reached" in text for text in world.slack.texts)


def test_messages_say_that_the_report_is_incomplete(world: World) -> None:
    world.slack.errors["#a"] = UnreachableError("is_archived")
    world.notify(A, B, incomplete={FindingKind.RECURRING_FAILURE: "403"})
    assert ["may be missing: recurring failure" in text for text in world.slack.texts] == [True, True]


def test_an_unreachable_fallback_channel_does_not_affect_other_owners(world: World) -> None:
    world.slack.errors |= {"#a": UnreachableError("is_archived"), "#airflow": UnreachableError("not_in_channel")}
    with pytest.raises(NotificationError, match="1 of 2"):
        world.notify(A, B)
    world.slack.errors.clear()
    assert world.notify(A, B, minutes=1) == {"team-a": "new"}


def test_a_retry_notifies_only_owners_who_were_not_notified(world: World) -> None:
    world.slack.errors["#b"] = SlackError("timed out")
    with pytest.raises(NotificationError):
        world.notify(A, B)
    world.slack.errors.clear()
    assert world.notify(A, B) == {"team-b": "new"}


def test_owners_without_an_address_share_a_message(world: World) -> None:
    findings = [finding(f"d{number}", owner=f"other-{number}") for number in range(30)]
    world.notify(A, *findings, finding("pool", owner=None))
    assert world.slack.sent == [("#a", None, True), ("#airflow", None, True)]


def test_a_finding_is_sent_to_a_bounded_number_of_owners(world: World) -> None:
    owners = tuple(f"o{number}" for number in range(500))
    world.directory = OwnerDirectory({}, "#airflow", lambda _: {name: f"mailto:{name}@example.com" for name in owners})
    notified = world.notify(finding("many", owners=owners))
    assert set(notified) == {*owners[:MAX_OWNERS], "the platform"}
    assert len(world.slack.sent) == MAX_OWNERS + 1


def test_a_slack_that_does_not_answer_is_not_asked_for_all_owners(world: World) -> None:
    owners = [f"team-{number}" for number in range(6)]
    world.directory = OwnerDirectory({owner: f"#{owner}" for owner in owners}, "#airflow")
    findings = [finding(owner, owner=owner) for owner in owners]
    world.slack.errors = {f"#team-{number}": SlackUnavailableError("timed out") for number in (0, 2, 3)}
    with pytest.raises(NotificationError, match="5 of 6"):
        world.notify(*findings)
    assert world.slack.sent == [("#team-1", None, True)]
    world.slack.errors.clear()
    assert len(world.notify(*findings)) == 5


def test_an_owner_whose_link_can_not_be_read_does_not_affect_other_owners(world: World) -> None:
    links: dict[str, str] = {}

    def links_of(_dag_id: str) -> dict[str, str]:
        if not links:
            raise AirflowApiError("could not get details of a: 502", 502)
        return links

    world.directory = OwnerDirectory({"team-b": "#b"}, "#airflow", links_of)
    with pytest.raises(NotificationError, match=r"1 of 2 message.*could not get details of a: 502"):
        world.notify(A, B)
    assert world.slack.sent == [("#b", None, True)]
    links["team-a"] = "mailto:ada@example.com"
    world.directory = OwnerDirectory({"team-b": "#b"}, "#airflow", links_of)
    assert world.notify(A, B, minutes=1) == {"team-a": "new"}


@pytest.mark.parametrize(("status", "requests"), [(None, 1), (504, 1), (403, 3)])
def test_no_more_links_are_read_while_airflow_is_not_available(world: World, status: int | None, requests: int) -> None:
    asked = []

    def links_of(dag_id: str) -> dict[str, str]:
        asked.append(dag_id)
        raise AirflowApiError(f"could not get details of {dag_id}", status)

    world.directory = OwnerDirectory({"team-b": "#b"}, "#airflow", links_of)
    with pytest.raises(NotificationError, match="1 of 2"):
        world.notify(A, finding("c"), finding("d"), B)
    assert asked == ["a", "c", "d"][:requests]
    assert world.slack.sent == [("#b", None, True)]


def test_a_finding_whose_link_can_not_be_read_is_not_resolved(world: World) -> None:
    def links_of(_dag_id: str) -> dict[str, str]:
        raise AirflowApiError("could not get details of a: 502", 502)

    world.notify(A)
    world.directory = OwnerDirectory({}, "#airflow", links_of)
    for minutes in (15, 100):
        with pytest.raises(NotificationError):
            world.notify(A, minutes=minutes)
    world.directory = DIRECTORY
    assert world.notify(A, minutes=115) == {}
    assert world.slack.sent == [("#a", None, True)]


def test_the_links_of_a_dag_apply_only_to_the_findings_about_this_dag(world: World) -> None:
    links = {
        "a": {"team-a": "https://other.slack.com/archives/C0EVIL00000"},
        "payroll": {"team-a": "https://acme.slack.com/archives/C0TEAMA0000"},
        "plain": {},
    }
    world.directory = OwnerDirectory({}, "#airflow", links.__getitem__)
    world.notify(A, finding("payroll"), finding("plain"), finding("pool", dag_id=None))
    sent = {address: text for (address, _, _), text in zip(world.slack.sent, world.slack.texts, strict=True)}
    assert set(sent) == {"#airflow", "C0EVIL00000", "C0TEAMA0000"}
    assert "a is paused" in sent["C0EVIL00000"]
    assert "payroll" not in sent["C0EVIL00000"]
    assert "payroll is paused" in sent["C0TEAMA0000"]
    assert all(name in sent["#airflow"] for name in ("plain is paused", "pool is paused"))


def test_an_owner_with_a_new_address_gets_a_new_message(world: World) -> None:
    world.notify(A)
    world.directory = OwnerDirectory({"team-a": "#new"}, "#airflow")
    world.notify(A, finding("c"), minutes=15)
    assert world.slack.sent[1] == ("#new", None, True)


def test_owner_links_are_read_only_for_owners_without_an_address(world: World) -> None:
    asked = []

    def links_of(dag_id: str) -> dict[str, str]:
        asked.append(dag_id)
        return {"team-b": "https://acme.slack.com/archives/C0123456789"}

    world.directory = OwnerDirectory({"team-a": "#a"}, "#airflow", links_of)
    world.notify(A, B, finding("b", owners=("team-b", "team-c"), kind=FindingKind.DAG_STALE))
    assert asked == ["b"]
    assert world.slack.sent == [("#a", None, True), ("#airflow", None, True), ("C0123456789", None, True)]


def test_without_threads_a_reply_is_a_message(world: World) -> None:
    world.slack.post = lambda *args, **kwargs: Posted("webhook", None)
    world.notify(A)
    assert world.notify(A, finding("c"), minutes=15) == {"team-a": "changed"}


@pytest.mark.parametrize(
    ("link", "address"),
    [
        ("https://acme.slack.com/archives/C0123456789", "C0123456789"),
        ("https://app.slack.com/client/T0123456789/C0123456789", "C0123456789"),
        ("https://acme.slack.com/team/U0123456789", "U0123456789"),
        ("slack://channel?team=T0123456789&id=C0123456789", "C0123456789"),
        ("mailto:ada%40example.com", "ada@example.com"),
        ("https://wiki.example/team-a", None),
        ("https://evil-slack.com/archives/C0123456789", None),
        ("https://acme.slack.com/", None),
        ("https://[acme.slack.com/archives/C0123456789", None),
    ],
)
def test_a_link_of_an_owner_may_have_a_slack_address(link: str, address: str | None) -> None:
    assert address_in_link(link) == address


def test_the_mapping_overrides_the_link_and_the_link_the_fallback() -> None:
    link = "mailto:ada@example.com"
    directory = OwnerDirectory({"a": "#a"}, "#f", lambda _dag_id: {"a": link, "b": link})
    assert [directory.address(owner, "churn") for owner in "abc"] == ["#a", "ada@example.com", "#f"]
    assert directory.address("b", None) == "#f"
    assert directory.recipient("ada@example.com").is_email
    assert directory.recipient("#f") == Recipient("#f", is_fallback=True)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ("[]", "the Variable mljob_owners is a list: it must be a JSON object, for example {"),
        ("{'a': '#a'}", r"the Variable mljob_owners is not JSON \(.*line 1 column 2.*\): it must be a JSON object"),
        ('{"a": 1}', "the Variable mljob_owners must have a Slack address for each owner.*'a' is a int"),
    ],
    ids=["no-object", "no-json", "no-text"],
)
def test_an_invalid_mapping_names_the_variable(wrong: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        mapping_of(wrong)


def test_the_mapping_is_read_from_the_text_of_the_variable() -> None:
    assert mapping_of('{"team-a": "#a"}') == {"team-a": "#a"}
    assert mapping_of(None) == {}


def test_a_report_without_findings_sends_no_message(world: World) -> None:
    assert world.notify() == {}
    assert world.slack.sent == []
