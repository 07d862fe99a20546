"""A search for a violation of the operator's promises for MLJobs in two Airflows. Hypothesis
chooses what the users, the platform, Airflow and Kubernetes do, in virtual time
(:mod:`tests.simulation.machine`).

One Airflow is the Airflow of the operator's settings. The other Airflow has an AirflowInstance that
limits the number of active runs. Hypothesis creates and deletes this AirflowInstance.
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
    """Hypothesis's state machine for MLJobs in two Airflows. In addition to the actions of
    :class:`.Machine`, this state machine creates and deletes the AirflowInstance of the second
    Airflow, and the Secret with the credentials for this Airflow.
    """

    specs = SPECS
    edits = EDITS

    # The administrator of the platform

    @initialize(there=st.sampled_from([True, True, False]))
    def there_is_an_instance(self, there: bool) -> None:
        """Let the checks expect a limit on active runs in the second Airflow. If ``there`` is true,
        create the AirflowInstance of this Airflow, with the limit in the spec.
        """
        self.world.limit = LIMIT
        if there:
            self._make()

    @rule(then=moments)
    def make_or_delete_the_instance(self, then: float) -> None:
        """Create or delete the AirflowInstance. Nothing happens while a deletion is in progress."""
        objects = self.world.instance_objects
        if OTHER not in objects.objects:
            self._make()
        elif not objects.get(OTHER).deleting:
            objects.user_deletes(OTHER)
        self._then("make_or_delete_the_instance", then)

    @rule(there=st.booleans(), then=moments)
    def lose_or_restore_the_secret(self, there: bool, then: float) -> None:
        """If ``there`` is true, restore the Secret with the credentials of the AirflowInstance.
        Otherwise delete this Secret.
        """
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
    """Hypothesis finds no sequence of actions that breaks a promise of the operator."""
    hold(AirflowsPromises)
