"""Monitoring: finds problems in Airflow that need a person, and notifies the owners of the DAGs.

A monitor is a DAG (:mod:`.dag`) with the tasks of :mod:`.tasks`. The first task makes a report:
:mod:`.collector` reads Airflow through :mod:`.rest_reader`, as :mod:`.observations`, and
:mod:`.findings` decides what is wrong, by the :mod:`.thresholds`. The other tasks use the report
independently of each other: :mod:`.notifications` writes to the owners in Slack, :mod:`.pages`
writes an HTML page, and :mod:`.report_message` is the report on Kafka.

All decisions are pure, and need no Airflow. Tasks of Airflow 3 have no access to the metadata
database, so all data comes from the REST API. Every list that is read has a bound. When a bound
cuts a list, the report says so, and nothing counts as resolved because it is missing from that
list.
"""
