"""What a task does, as events on a Kafka topic.

:mod:`.callbacks` are the functions that Airflow calls when a task begins and ends;
:mod:`.instrumentation` adds them to a task. A callback makes an event of Airflow's task context,
:mod:`.cloudevents` writes the event as a Kafka message, and :mod:`.producer` sends the message.
:mod:`.throttle` keeps progress reports that come too fast until the next event of their task.

A failure to send an event never fails the task.
"""
