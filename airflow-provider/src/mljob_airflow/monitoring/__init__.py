"""Finds problems in Airflow that a person has to solve, and notifies the owners of the DAGs.

A monitor is a DAG (:mod:`.dag`) with the tasks of :mod:`.tasks`. The first task makes a report:

- :mod:`.collector` reads data from Airflow, through :mod:`.rest_reader`.
- :mod:`.observations` has the types of this data.
- :mod:`.findings` decides what is wrong, by the :mod:`.thresholds`.

The other tasks use the report independently of each other:

- :mod:`.notifications` notifies the owners in Slack.
- :mod:`.pages` writes an HTML page.
- :mod:`.report_message` makes the Kafka message with the report.

The decisions are pure functions that need no Airflow. Tasks of Airflow 3 have no access to the
metadata database, so all data comes from the REST API.

Every list that is read has a bound. If a list is longer, the report says so. A finding that is
missing in such a report does not count as resolved.
"""
