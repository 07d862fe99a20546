"""The cluster policy: callbacks for tasks that have not asked for any."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from mljob_airflow.events.callbacks import CALLBACKS, mljob_callbacks, on_failure, on_success
from mljob_airflow.events.instrumentation import instrument


def users_own(context):
    """A callback of the user's."""


def task(**attributes):
    return SimpleNamespace(**dict.fromkeys(CALLBACKS, ()) | attributes)


def test_a_bare_task_gets_all_callbacks():
    bare = task()
    instrument(bare)
    assert {name: getattr(bare, name) for name in CALLBACKS} == mljob_callbacks()


@pytest.mark.parametrize("present", [users_own, [users_own], (users_own,)], ids=["one", "list", "tuple"])
def test_the_users_callbacks_stay_and_come_first(present):
    own = task(on_failure_callback=present)
    instrument(own)
    assert own.on_failure_callback == [users_own, on_failure]


def test_callbacks_that_are_there_are_not_added_again():
    instrumented = task(**mljob_callbacks())
    instrument(instrumented)
    assert instrumented.on_success_callback == [on_success]


def test_a_list_that_many_tasks_share_is_not_changed():
    shared = [users_own]
    instrument(task(on_failure_callback=shared))
    assert shared == [users_own]


def test_an_empty_operator_stays_one_that_need_not_run():
    empty = task(inherits_from_empty_operator=True)
    instrument(empty)
    assert (empty.on_execute_callback, empty.on_success_callback) == ((), ())
    assert empty.on_failure_callback == [on_failure]
