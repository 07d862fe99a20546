"""Sends events to a Kafka topic: when a task starts, ends, is retried or skips itself, when the
task reports progress, and when a run is cancelled.

- :mod:`.callbacks` has the functions that Airflow calls when a task begins and ends. The functions
  make events from Airflow's task context.
- :mod:`.instrumentation` adds the callbacks to a task.
- :mod:`.cloudevents` turns an event into a Kafka message.
- :mod:`.producer` sends the message.
- :mod:`.throttle` merges progress reports if a task makes them faster than the operator can use
  them.

A failure to send an event never fails the task: the callers log the error instead
(:func:`.producer.logging_errors`). The exception is :func:`.producer.deliver`, which sends the
reports of the monitoring DAGs: its error fails the task.
"""
