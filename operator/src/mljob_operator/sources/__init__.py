"""The readers of facts about runs.

- :mod:`.topic` reads the events in a Kafka topic.
- :mod:`.change_feed` reads the recent changes of runs from an Airflow's REST API.
- :mod:`.supervisor` starts and stops these readers.
"""
