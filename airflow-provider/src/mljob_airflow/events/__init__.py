"""Sends events about tasks and cancelled runs to a Kafka topic.

- :mod:`.callbacks` has the functions that Airflow calls when a task begins and ends.
- :mod:`.instrumentation` adds the callbacks to a task.
- :mod:`.cloudevents` turns an event into a Kafka message.
- :mod:`.producer` sends the message.
- :mod:`.throttle` merges progress reports that follow too quickly.

If an event can't be sent, the task does not fail: the error is only logged. Only the monitoring
DAGs have tasks that fail if their report can't be sent (:func:`.producer.deliver`).
"""
