"""Hypothesis searches for actions that make the operator break a promise while the Kubernetes API
server does not keep up with its writes. :mod:`tests.simulation.machine` lists the promises.
"""

from __future__ import annotations

from tests.simulation.busy import BusyMachine
from tests.simulation.machine import hold

from .backfill.test_promises import BackfillPromises
from .test_chain_promises import ChainPromises
from .test_promises import Promises
from .test_replicas import Replicas


class BusyPromises(BusyMachine, Promises):
    pass


class BusyChains(BusyMachine, ChainPromises):
    pass


class BusyReplicas(BusyMachine, Replicas):
    pass


class BusyBackfills(BusyMachine, BackfillPromises):
    pass


def test_promises_hold() -> None:
    hold(BusyPromises, usual_examples=15)


def test_promises_hold_with_chains() -> None:
    hold(BusyChains, usual_examples=15)


def test_promises_hold_with_replicas() -> None:
    hold(BusyReplicas, usual_examples=15)


def test_promises_hold_with_backfills() -> None:
    hold(BusyBackfills, usual_examples=15)
