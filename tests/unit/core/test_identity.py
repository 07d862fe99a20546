"""The ids of an MLJob's runs."""

from __future__ import annotations

import re
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mljob_contract.run_id import MAX_LENGTH, MAX_NAME_LENGTH, RunId
from mljob_operator.core.mljob.identity import cancel_run_id, dag_run_id

label = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
names = st.lists(label, min_size=1, max_size=4).map(".".join)


@given(label.filter(lambda text: len(text) <= 16), label, names, st.uuids(), st.integers(1, 999_999))
def test_an_id_is_read_back_into_what_it_was_made_of(
    prefix: str, namespace: str, name: str, uid: uuid.UUID, number: int
) -> None:
    run_id = dag_run_id(prefix, namespace, name, str(uid), number)
    assert RunId.parse(str(run_id)) == run_id
    assert (run_id.namespace, run_id.name, run_id.number) == (namespace, name, number)


def test_the_longest_id_fits_into_airflow_with_its_cancellation() -> None:
    run_id = str(dag_run_id("p" * 16, "n" * 63, "j" * MAX_NAME_LENGTH, "uid", 999_999))
    assert RunId.parse(run_id) is not None
    assert len(cancel_run_id(run_id)) <= MAX_LENGTH


def test_airflow_allows_every_character() -> None:
    assert re.fullmatch(r"[A-Za-z0-9_.~:+-]+", cancel_run_id(str(dag_run_id("mljob", "team-a", "a.b-c", "uid"))))


def test_an_object_created_again_gets_another_id() -> None:
    assert dag_run_id("mljob", "a", "b", "uid-1") != dag_run_id("mljob", "a", "b", "uid-2")


def test_the_id_is_a_function_of_the_object() -> None:
    # With another id, an upgraded operator would submit a second run.
    assert str(dag_run_id("mljob", "team-a", "churn", "6b1f0c9e")) == "mljob.team-a.churn.cjytxduelt-1"


@pytest.mark.parametrize(
    "text",
    [
        "manual__2026-01-01T00:00:00+00:00",
        "scheduled__2026-01-01",
        "mljob.team-a.churn",
        "mljob.team-a.churn.k3f9x2m1qz-1",
        "mljob.team-a.churn.k3fax2m2qz-0",
        "",
        "x" * 300,
    ],
    ids=["manual", "scheduled", "no digest", "not base32", "attempt zero", "empty", "long"],
)
def test_an_id_in_another_form_is_not_parsed(text: str) -> None:
    assert RunId.parse(text) is None
