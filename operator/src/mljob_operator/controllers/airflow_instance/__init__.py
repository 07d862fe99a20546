"""The controller of AirflowInstances.

- :mod:`.registry` keeps the adapters (clients of the REST API), access rules, logins and readiness
  of all Airflows.
- :mod:`.controller` probes the Airflow of each AirflowInstance, and writes the status.
- :mod:`.logins` reads credentials from Secrets, and keeps the adapters that log in with these
  credentials.
- :mod:`.own_probe` and :mod:`.own_logins` check the Airflow of the operator's settings.
- :mod:`.event_links` remembers for each topic whether the operator is connected to Kafka.
"""
