"""Sends events about tasks and cancelled runs to a Kafka topic.

- :mod:`.callbacks` has the functions that Airflow calls when a task begins and ends.
- :mod:`.instrumentation` adds the callbacks to a task.
- :mod:`.cloudevents` turns an event into a Kafka message.
- :mod:`.producer` sends the message.
- :mod:`.throttle` merges progress reports of a task that follow each other too quickly.

If an event about a task or a cancelled run can't be sent, the error is only logged, and no task
fails.

The monitoring DAGs also send their reports with :mod:`.producer`. If a report can't be sent, the
task that sends the report fails (:func:`.producer.deliver`).
"""
