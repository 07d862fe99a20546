"""Sends events to a Kafka topic: when a task starts, ends, is retried or skips itself, when the
task reports progress, and when a run is cancelled.

- :mod:`.callbacks` has the functions that Airflow calls when a task begins and ends. The functions
  make events from Airflow's task context.
- :mod:`.instrumentation` adds the callbacks to a task.
- :mod:`.cloudevents` turns an event into a Kafka message.
- :mod:`.producer` sends the message.
- :mod:`.throttle` merges the progress reports of a task that reports more often than the operator
  can use.

If an event can't be sent, the task does not fail: the functions that send the event only log the
error (:func:`.producer.logging_errors`). Only the tasks that send the reports of the monitoring
DAGs fail in this case, because they call :func:`.producer.deliver`.
"""
