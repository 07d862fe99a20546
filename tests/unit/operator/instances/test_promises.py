"""Hypothesis searches for actions that make the operator break one of the promises
listed in :mod:`tests.simulation.machine`. The MLJobs run in the Airflow of an AirflowInstance, or
in the Airflow of the operator's settings.
"""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from tests.simulation.machine import Machine, hold, moments
from tests.simulation.world import OTHER

SPEC = {"url": "http://other", "credentials": {"passwordSecretRef": {"name": "credentials"}}, "access": [{}]}
LIMIT = 1

EDITS = st.one_of(
    st.fixed_dictionaries({"airflowRef": st.sampled_from([None, {"name": OTHER}])}),
    st.fixed_dictionaries({"conf": st.sampled_from([{}, {"a": 1}])}),
    st.fixed_dictionaries({"suspend": st.booleans()}),
    st.just({"cancel": True}),
    st.fixed_dictionaries({"runPolicy": st.sampled_from(["Once", "OnChange", "OnChange", "OncePerSpec"])}),
    st.fixed_dictionaries({"backoffLimit": st.integers(0, 1)}),
    st.fixed_dictionaries({"activeDeadlineSeconds": st.sampled_from([None, 20])}),
    st.fixed_dictionaries({"ttlSecondsAfterFinished": st.sampled_from([None, 30])}),
    st.fixed_dictionaries({"deletionPolicy": st.sampled_from(["Cancel", "Retain"])}),
    st.fixed_dictionaries({"cancellation": st.just({"strategy": "Api", "timeoutSeconds": 300})}),
)
SPECS = st.lists(EDITS, max_size=3).map(
    lambda parts: {"dagId": "train", "airflowRef": {"name": OTHER}} | {k: v for part in parts for k, v in part.items()}
)


class AirflowsPromises(Machine):
    specs = SPECS
    edits = EDITS

    # The administrator of the platform

    @initialize(there=st.sampled_from([True, True, False]))
    def there_is_an_instance(self, there: bool) -> None:
        self.world.limit = LIMIT
        if there:
            self._make()

    @rule(then=moments)
    def make_or_delete_the_instance(self, then: float) -> None:
        objects = self.world.instance_objects
        if OTHER not in objects.objects:
            self._make()
        elif not objects.get(OTHER).deleting:
            objects.user_deletes(OTHER)
        self._then("make_or_delete_the_instance", then)

    @rule(there=st.booleans(), then=moments)
    def lose_or_restore_the_secret(self, there: bool, then: float) -> None:
        if there:
            self.world.instance_objects.secrets["credentials"] = {"user": "operator", "password": "secret"}
        else:
            self.world.instance_objects.secrets.pop("credentials", None)
        self._then("lose_or_restore_the_secret", then)

    def _make(self) -> None:
        self.world.instance_objects.create(OTHER, {**SPEC, "maxActiveRuns": LIMIT})

    def _mend(self) -> None:
        super()._mend()
        self.world.instance_objects.secrets["credentials"] = {"user": "operator", "password": "secret"}

    def _let_time_pass(self) -> None:
        # A deleted AirflowInstance is removed when no MLJob needs it, and then somebody creates it
        # again.
        super()._let_time_pass()
        if OTHER not in self.world.instance_objects.objects:
            self._make()
            super()._let_time_pass()


def test_promises_hold() -> None:
    hold(AirflowsPromises)
