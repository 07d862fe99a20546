"""Draws the faults of the simulated Airflow at random: requests that fail or take long, and Kafka
events that are lost, late or sent twice.
"""

from __future__ import annotations

import random
import re
from enum import Enum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

Share = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0, le=600)]


class Faults(BaseModel):
    """The faults of the simulated Airflow, and how often they happen. A share is a number from 0 to
    1.

    Attributes:
        paths: A regular expression for the method and the path of a request, for example
            ``POST .*/dagRuns``. The expression must match the whole text ``<method> <path>``. A
            request that does not match has no delay and no fault.
        latency_seconds: The mean delay of an answer. A delay is between half of the mean and one
            and a half times the mean.
        errors: The share of requests that have no effect, and get the answer 503.
        throttled: The share of requests that have no effect, and get the answer 429.
        retry_after_seconds: The ``Retry-After`` of a 429, in whole seconds.
        resets: The share of requests that have no effect, because the connection is reset.
        lost_answers: The share of requests that take effect, but get no answer, because the
            connection is reset.
        lost_events: The share of events that are not sent.
        doubled_events: The share of events that are sent twice.
        late_events: The share of events that are sent late, so that later events overtake them.
        late_seconds: The delay of a late event.
    """

    model_config = ConfigDict(extra="forbid")

    paths: Annotated[str, Field(max_length=500)] = ".*"
    latency_seconds: Seconds = 0.0
    errors: Share = 0.0
    throttled: Share = 0.0
    retry_after_seconds: Annotated[int, Field(ge=0, le=600)] = 1
    resets: Share = 0.0
    lost_answers: Share = 0.0
    lost_events: Share = 0.0
    doubled_events: Share = 0.0
    late_events: Share = 0.0
    late_seconds: Seconds = 1.0

    @field_validator("paths")
    @classmethod
    def _is_pattern(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"is no regular expression: {error}") from error
        return value


class RequestFault(Enum):
    """A kind of fault of a request, see :class:`Faults`."""

    ERROR = "error"
    THROTTLED = "throttled"
    RESET = "reset"
    LOST_ANSWER = "lost answer"


class FaultPlan:
    """Draws the fault of each request and each event at random. Two plans with the same seed and
    the same ``faults`` draw the same fault for the first request, the same fault for the second
    request, and so on. The same holds for events. Requests that don't match :attr:`Faults.paths`
    don't count.

    Args:
        seed: The seed.
        faults: Which faults are drawn, and how often. Default: no faults.
    """

    def __init__(self, seed: int, faults: Faults | None = None) -> None:
        self._requests = random.Random(f"{seed} requests")  # noqa: S311 - no secret
        self._events = random.Random(f"{seed} events")  # noqa: S311 - no secret
        self.faults = faults or Faults()

    def of_request(self, request: str) -> tuple[float, RequestFault | None]:
        """Return the delay of the answer in seconds, and the fault of the request or None.

        Args:
            request: Method and path, separated by a space.
        """
        faults = self.faults
        if re.fullmatch(faults.paths, request) is None:
            return 0.0, None
        delay = faults.latency_seconds * (0.5 + self._requests.random()) if faults.latency_seconds else 0.0
        chance = self._requests.random()
        for share, fault in (
            (faults.errors, RequestFault.ERROR),
            (faults.throttled, RequestFault.THROTTLED),
            (faults.resets, RequestFault.RESET),
            (faults.lost_answers, RequestFault.LOST_ANSWER),
        ):
            if chance < share:
                return delay, fault
            chance -= share
        return delay, None

    def of_event(self) -> tuple[float, ...]:
        """Return the delay of each copy of an event, in seconds. A lost event has no copy, and an
        event that is sent twice has two copies.
        """
        faults, chance = self.faults, self._events.random()
        if chance < faults.lost_events:
            return ()
        if chance < faults.lost_events + faults.doubled_events:
            return 0.0, 0.0
        late = chance < faults.lost_events + faults.doubled_events + faults.late_events
        return (faults.late_seconds if late else 0.0,)
