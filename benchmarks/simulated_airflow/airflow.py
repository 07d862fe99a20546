"""The settings of a simulated Airflow, and the class that connects its parts, such as the store of
runs and the scheduler.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from .backfills import Backfills
from .dags import Dag
from .events import SOURCE, Events, Format
from .faults import FaultPlan, Faults
from .publisher import Publisher
from .runs import Run
from .scheduler import Scheduler
from .store import Store

MAX_TOKENS = 10_000
COMPONENTS = ("metadatabase", "scheduler", "dag_processor", "triggerer")


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a simulated Airflow.

    Attributes:
        user: The name of the only user.
        password: The user's password.
        version: The Airflow version that the REST API reports.
        seed: The seed of the random numbers, for faults and the durations of tasks.
        starts_per_second: The maximum number of runs that start in a second, or None for no
            maximum.
        brokers: Kafka's bootstrap servers. With an empty string, no events are sent.
        topic: The topic of the events.
        form: The format of the events.
        source: The name of this Airflow in events.
    """

    user: str = "admin"
    password: str = "secret"  # noqa: S105 - it guards simulated runs on loopback
    version: str = "3.3.2"
    seed: int = 0
    starts_per_second: float | None = None
    brokers: str = ""
    topic: str = "airflow.events"
    form: Format = Format.AIRFLOW
    source: str = SOURCE


class SimulatedAirflow:
    """A simulated Airflow.

    Args:
        dags: The DAGs.
        settings: The settings, by default :class:`Settings` without arguments.
        faults: The faults of requests and events, by default no faults.

    Attributes:
        unhealthy: The names from ``COMPONENTS`` that the health endpoint reports as unhealthy.
            Tests set this attribute.
        locked: Whether all logins and tokens are refused.
        requests: The number of answered requests, by route and status, for example ``("POST
            /api/v2/dags/{dag_id}/dagRuns", 409)``.
    """

    def __init__(self, dags: Iterable[Dag], settings: Settings | None = None, faults: Faults | None = None) -> None:
        self.settings = settings or Settings()
        self.plan = FaultPlan(self.settings.seed, faults)
        self.store = Store(dags)
        self.backfills = Backfills(self.store)
        self.publisher = (
            Publisher(self.settings.brokers, self.settings.topic, self.plan) if self.settings.brokers else None
        )
        self.scheduler = Scheduler(
            self.store,
            self.backfills,
            Events(self.settings.form, self.settings.source),
            self.publisher,
            seed=self.settings.seed,
            starts_per_second=self.settings.starts_per_second,
        )
        self.unhealthy: set[str] = set()
        self.locked = False
        self.requests: Counter[tuple[str, int]] = Counter()
        self._tokens: dict[str, None] = {}

    def log_in(self, user: object, password: object) -> str | None:
        """Return a new token, or None if the credentials are wrong or ``locked`` is true."""
        if self.locked or (user, password) != (self.settings.user, self.settings.password):
            return None
        token = secrets.token_hex(16)
        self._tokens[token] = None
        if len(self._tokens) > MAX_TOKENS:
            del self._tokens[next(iter(self._tokens))]
        return token

    def knows(self, token: str | None) -> bool:
        """Return whether the token is one of the newest ``MAX_TOKENS`` tokens of :meth:`log_in`."""
        return token in self._tokens

    def active(self) -> list[Run]:
        """Return the queued and running runs."""
        return self.store.active()

    async def work(self) -> None:
        """Advance the simulated runs until this coroutine is cancelled. Then wait for up to 5
        seconds until Kafka has received the events. Events that a fault still delays
        (``Faults.late_events``) are not waited for.
        """
        try:
            await self.scheduler.work()
        finally:
            if self.publisher is not None:
                await asyncio.to_thread(self.publisher.close)
