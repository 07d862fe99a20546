"""Finds problems in Airflow that a person has to solve, and notifies the owners of the DAGs.

A monitoring DAG (:mod:`.dag`) has the tasks of :mod:`.tasks`. The first task makes a report:

- :mod:`.collector` reads data from Airflow, through :mod:`.rest_reader`.
- :mod:`.fairness` divides the limits of a report among the owners.
- :mod:`.report_limits` keeps the report small enough for a Kafka message.
- :mod:`.observations` has the types of this data.
- :mod:`.findings` compares the data with the :mod:`.thresholds`, and makes a finding for each
  problem.
- :mod:`.links` makes URLs of Airflow's UI.

The other tasks use the report:

- :mod:`.notifications` notifies the owners in Slack.
- :mod:`.pages` writes an HTML page.
- :mod:`.report_message` makes the Kafka message with the report.

The first task and some of the other tasks use these modules:

- :mod:`.variables` parses Airflow Variables whose value is a JSON object.
- :mod:`.wording` formats durations, numbers and lists of names as text.

All data comes from the REST API, because tasks of Airflow 3 have no access to the metadata
database. If a list is too long to be read completely, the report names the kinds of findings that
may be missing. Such a report does not resolve earlier findings of these kinds.
"""
