"""Rivals are operators that claim the same MLJobs, prefix of run ids or consumer group."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mljob_contract.airflow_instance import LabelSelector
from mljob_operator.core.leadership.claims import MAX_ANNOTATION, Claims
from tests.simulation.candidates import claims

from .conftest import Election


def selecting(**labels: str) -> dict[str, Any]:
    return {"selector": LabelSelector(match_labels=labels)}


TEAM_A = claims("team-a", **selecting(team="a"))
TEAM_B = claims("team-b", **selecting(team="b"))
EVERYTHING = claims("all")


def test_operators_with_selectors_that_exclude_each_other_run_side_by_side(election: Election) -> None:
    first = election.start("operator-a", claimed=TEAM_A)
    second = election.start("operator-b", claimed=TEAM_B)
    election.run(60)
    assert first.leads
    assert second.leads
    election.split.clear()


def test_operator_that_selects_the_same_is_refused_while_the_other_one_runs(election: Election) -> None:
    first = election.start("operator-b", claimed=TEAM_B)
    election.run(5)
    second = election.start("operator-a", claimed=EVERYTHING)
    election.run(15)
    assert election.leaders == [first]
    assert second.refused == (
        "another operator runs under the Lease operator-b of this namespace, which manages MLJobs that MLJOB_SELECTOR and "
        "MLJOB_NAMESPACES of this operator select too: it selects MLJobs with the labels team in (b) in all namespaces, "
        "and this operator selects all MLJobs in all namespaces. Set selectors that exclude each other, or different namespaces."
    )
    assert "operator-a" not in election.leases.objects


@pytest.mark.parametrize("seconds_between", [0.0, 0.01, 0.02, 0.5])
@pytest.mark.parametrize("names", [("operator-a", "operator-b"), ("operator-b", "operator-a")])
def test_of_two_operators_that_start_together_one_runs(
    election: Election, seconds_between: float, names: tuple[str, str]
) -> None:
    first = election.start(names[0], claimed=EVERYTHING)
    election.loop.run_until_complete(asyncio.sleep(seconds_between))
    second = election.start(names[1], claimed=TEAM_A)
    election.run(60)
    assert len(election.leaders) == 1
    assert len([each for each in (first, second) if each.refused]) == 1


def test_operator_whose_rival_has_ended_runs_at_once(election: Election) -> None:
    first = election.start("operator-b", claimed=EVERYTHING)
    election.run(5)
    first.terminate()
    election.run(1)
    second = election.start("operator-a", claimed=EVERYTHING)
    assert election.seconds_until_leads(second) < 1


def test_operator_waits_for_the_lease_of_a_killed_rival_to_run_out(election: Election) -> None:
    first = election.start("operator-b", claimed=EVERYTHING)
    election.run(5)
    first.kill()
    second = election.start("operator-a", claimed=EVERYTHING)
    assert 9 < election.seconds_until_leads(second) < 22


def test_replica_with_other_claims_takes_over_only_if_no_rival_runs(election: Election) -> None:
    first = election.start("operator-a", claimed=TEAM_A)
    second = election.start("operator-b", claimed=TEAM_B)
    election.run(5)
    upgraded = election.start("operator-a", claimed=EVERYTHING)
    election.run(15)
    assert upgraded.refused is not None
    assert first.leads
    assert second.leads
    election.split.clear()


def test_operator_whose_claims_cannot_be_read_is_a_rival(election: Election) -> None:
    first = election.start("operator-b", claimed=TEAM_B)
    election.run(5)
    stored = election.leases.objects["operator-b"]
    election.leases.write(replace(stored, claims=None), stored)
    second = election.start("operator-a", claimed=TEAM_A)
    election.run(15)
    assert first.leads
    assert second.refused == (
        "another operator runs under the Lease operator-b of this namespace, and what it manages can't be read from the "
        "annotations of its Lease. Upgrade the older of the two."
    )


@pytest.mark.parametrize(
    ("one", "other", "why"),
    [
        pytest.param(claims("a"), claims("b", namespaces=("x",)), "MLJOB_SELECTOR", id="all namespaces and one"),
        pytest.param(claims("a", namespaces=("x", "y")), claims("b", namespaces=("y",)), "MLJOB_SELECTOR", id="shared"),
        pytest.param(claims("a", namespaces=("x",)), claims("a", namespaces=("y",)), None, id="other namespaces"),
        pytest.param(TEAM_A, TEAM_B, None, id="other selectors"),
        pytest.param(TEAM_A, claims("team-a", **selecting(team="b")), "MLJOB_RUN_ID_PREFIX", id="one prefix"),
        pytest.param(
            claims("a", namespaces=("x",), brokers="kafka:9092"),
            claims("a", namespaces=("y",), brokers="kafka:9092"),
            "MLJOB_KAFKA_GROUP_ID",
            id="one group",
        ),
        pytest.param(
            claims("a", namespaces=("x",), brokers="kafka-1:9092"),
            claims("a", namespaces=("y",), brokers="kafka-2:9092"),
            None,
            id="one group at different brokers",
        ),
        pytest.param(claims("a", namespaces=("x",)), claims("a", namespaces=("y",)), None, id="no events"),
    ],
)
def test_claims_conflict(one: Claims, other: Claims, why: str | None) -> None:
    for found in (one.conflict(other), other.conflict(one)):
        assert (found is None) is (why is None)
        assert why is None or why in str(found)


@given(st.lists(st.text(max_size=8), max_size=3), st.dictionaries(st.text(min_size=1, max_size=8), st.text(max_size=8)))
def test_claims_are_read_from_their_annotation(namespaces: list[str], labels: dict[str, str]) -> None:
    given_claims = claims("a", namespaces=tuple(namespaces), **selecting(**labels))
    assert Claims.of_annotation(given_claims.annotation()) == given_claims


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[" * 50_000,
        "{}",
        json.dumps({"run_id_prefix": "a", "group_id": "a", "namespaces": ["x"] * 5_000}),
        json.dumps({"run_id_prefix": "a", "group_id": "a", "selector": {"matchLabels": {"team": 1}}}),
        json.dumps({"run_id_prefix": "a", "group_id": "a", "more": "x" * MAX_ANNOTATION}),
    ],
    ids=["absent", "null", "nested", "empty", "too many namespaces", "no selector", "too long"],
)
def test_annotation_that_holds_no_claims_is_none(text: str) -> None:
    assert Claims.of_annotation(text) is None
