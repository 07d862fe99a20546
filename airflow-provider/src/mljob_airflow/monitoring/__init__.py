"""Finds problems in Airflow that a person has to solve, and notifies the owners of the DAGs.

A monitoring DAG (:mod:`.dag`) has the tasks of :mod:`.tasks`. The first task makes a report:

- :mod:`.collector` reads data from Airflow, through :mod:`.rest_reader`.
- :mod:`.observations` has the types of this data.
- :mod:`.findings` compares the data with the :mod:`.thresholds`, and makes a finding for each
  problem.
- :mod:`.variables` parses the Airflow Variables of the thresholds and of the notifications.
- :mod:`.links` makes URLs of Airflow's UI.
- :mod:`.wording` writes numbers and lists in words.

The other tasks use the report:

- :mod:`.notifications` notifies the owners in Slack.
- :mod:`.pages` writes an HTML page.
- :mod:`.report_message` makes the Kafka message with the report.

All data comes from the REST API, because tasks of Airflow 3 have no access to the metadata
database. If a list is too long to be read completely, the report names the kinds of findings that
may be missing. Such a report does not resolve earlier findings of these kinds.
"""
