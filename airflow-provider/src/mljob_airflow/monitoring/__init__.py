"""Finds problems in Airflow that a person has to solve, and notifies the owners of the DAGs.

A monitoring DAG (:mod:`.dag`) has the tasks of :mod:`.tasks`. The first task makes a report:

- :mod:`.collector` reads data from Airflow, through :mod:`.rest_reader`.
- :mod:`.observations` has the types of this data.
- :mod:`.findings` compares the data with the :mod:`.thresholds`, and makes a finding for each
  problem.
- :mod:`.variables` parses the Airflow Variables of the thresholds and of the notifications.
- :mod:`.links` makes the URLs with which findings link to Airflow's UI, and :mod:`.wording` writes
  numbers and lists in words.

The other tasks use the report independently of each other:

- :mod:`.notifications` notifies the owners in Slack.
- :mod:`.pages` writes an HTML page.
- :mod:`.report_message` makes the Kafka message with the report.

Pure functions, which need no Airflow, compute the findings and the notifications to send. Tasks of
Airflow 3 have no access to the metadata database, so all data comes from the REST API.

The first task reads at most a fixed number of rows of every list. If a list is longer, the report
names the kinds of findings that may be missing. Such a report does not resolve earlier findings of
these kinds.
"""
