"""The sources from which the operator learns facts about runs.

- :mod:`.topic` reads the events in a Kafka topic.
- :mod:`.change_feed` reads the changes of runs from an Airflow's REST API.
- :mod:`.supervisor` starts and stops the readers of topics and change feeds.
"""
