"""The provider's cluster policy adds event callbacks to the tasks of DAGs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from mljob_airflow.events.callbacks import CALLBACKS, mljob_callbacks, on_failure, on_success
from mljob_airflow.events.instrumentation import instrument


def users_own(context: object) -> None: ...


def task(**attributes: Any) -> SimpleNamespace:
    return SimpleNamespace(**dict.fromkeys(CALLBACKS, ()) | attributes)


def test_a_task_without_callbacks_gets_all() -> None:
    bare = task()
    instrument(bare)
    assert {name: getattr(bare, name) for name in CALLBACKS} == mljob_callbacks()


@pytest.mark.parametrize("present", [users_own, [users_own], (users_own,)], ids=["one", "list", "tuple"])
def test_callbacks_of_the_user_stay_and_come_first(present: Any) -> None:
    own = task(on_failure_callback=present)
    instrument(own)
    assert own.on_failure_callback == [users_own, on_failure]


def test_callbacks_are_added_once() -> None:
    instrumented = task(**mljob_callbacks())
    instrument(instrumented)
    assert instrumented.on_success_callback == [on_success]


def test_a_list_that_many_tasks_share_is_not_changed() -> None:
    shared = [users_own]
    instrument(task(on_failure_callback=shared))
    assert shared == [users_own]


def test_an_empty_operator_gets_no_callback_that_makes_it_run() -> None:
    empty = task(inherits_from_empty_operator=True)
    instrument(empty)
    assert (empty.on_execute_callback, empty.on_success_callback) == ((), ())
    assert empty.on_failure_callback == [on_failure]
