"""Sends an event to a Kafka topic for each state that a task enters, and for progress reports.

- :mod:`.callbacks` has the functions that Airflow calls when a task begins and ends. They make
  events from Airflow's task context.
- :mod:`.instrumentation` adds the callbacks to a task.
- :mod:`.cloudevents` turns an event into a Kafka message.
- :mod:`.producer` sends the message.
- :mod:`.throttle` merges progress reports that come too fast.

A failure to send an event never fails the task.
"""
