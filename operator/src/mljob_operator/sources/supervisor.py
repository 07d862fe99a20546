"""Starts and stops the readers of Kafka topics and change feeds. A change feed is the list of
changed runs and task instances in Airflow's REST API.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from ..controllers.airflow_instance.registry import AirflowRegistry
from ..controllers.mljob.controller import MLJobController
from ..controllers.orphans import Orphans
from ..ports import Clock, EventSource, Meter
from .change_feed import ChangeFeedReader
from .topic import TopicReader

log = logging.getLogger(__name__)

RunInBackground = Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]


class SourceSupervisor:
    """Runs one reader for the change feed of each Airflow, and one reader for each Kafka topic.

    A change feed is the list of changed runs and task instances in Airflow's REST API.

    Args:
        airflows: The Airflows, and the topics of their events.
        controller: The controller of MLJobs, which receives the changes and events.
        clock: Returns the current time.
        meter: Records the metrics.
        orphans: Finds orphaned runs: runs in progress that the operator has submitted and that no
            MLJob follows (:func:`.orphans.follows`).
        subscribe: A function that creates the consumer of a topic, or None if Kafka is not
            configured.
        run_in_background: Starts a background task with a name. If the task ends by itself,
            ``/livez`` fails.
        prefix: The prefix of the operator's dag run ids.
        interval: Seconds between two reads of a change feed.
        dead_letter_topic: The topic for unreadable messages. The operator never reads this topic.
            Otherwise the operator would send each unreadable message to the topic again and again.
    """

    def __init__(
        self,
        airflows: AirflowRegistry,
        controller: MLJobController,
        clock: Clock,
        meter: Meter,
        orphans: Orphans,
        *,
        subscribe: Callable[[str], EventSource] | None,
        run_in_background: RunInBackground,
        prefix: str,
        interval: float,
        dead_letter_topic: str | None = None,
    ) -> None:
        self._airflows = airflows
        self._controller = controller
        self._clock = clock
        self._meter = meter
        self._orphans = orphans
        self._subscribe = subscribe
        self._run_in_background = run_in_background
        self._prefix = prefix
        self._interval = interval
        self._dead_letter_topic = dead_letter_topic
        self._dead_letters_named = False
        self._feeds: dict[str, asyncio.Task[None]] = {}
        self._topics: dict[str, asyncio.Task[None]] = {}
        self._started = False

    def start(self) -> None:
        """Start the readers."""
        self._started = True
        self.follow()

    def follow(self) -> None:
        """Start the readers of new Airflows and topics, and stop the readers of removed Airflows
        and topics. Does nothing before :meth:`start`.
        """
        if not self._started:
            return
        self._start_and_stop(self._feeds, set(self._airflows.names()), self._read_feed)
        if self._subscribe is not None:
            topics = self._airflows.topics()
            is_named = self._dead_letter_topic in topics
            if is_named and not self._dead_letters_named:
                log.warning(
                    "topic %s is not read: an AirflowInstance names it in spec.kafka.topic, but it is the dead-letter topic",
                    self._dead_letter_topic,
                )
            self._dead_letters_named = is_named
            self._start_and_stop(
                self._topics, topics - {self._dead_letter_topic}, partial(self._read_topic, self._subscribe)
            )

    @staticmethod
    def _start_and_stop(
        running: dict[str, asyncio.Task[None]], needed: set[str], start: Callable[[str], asyncio.Task[None]]
    ) -> None:
        for name in running.keys() - needed:
            running.pop(name).cancel()
        for name in sorted(needed - running.keys()):
            running[name] = start(name)

    def _read_feed(self, airflow: str) -> asyncio.Task[None]:
        reader = ChangeFeedReader(
            airflow,
            self._airflows,
            self._controller,
            self._clock,
            self._meter,
            self._orphans,
            prefix=self._prefix,
            interval=self._interval,
        )
        return self._run_in_background(reader.run(), f"resync {airflow}".strip())

    def _read_topic(self, subscribe: Callable[[str], EventSource], topic: str) -> asyncio.Task[None]:
        reader = TopicReader(
            subscribe(topic),
            self._controller,
            self._clock,
            self._meter,
            origins=partial(self._airflows.origins, topic),
            prefix=self._prefix,
        )
        return self._run_in_background(reader.run(), f"status pipeline {topic}")
