"""The controller of AirflowInstances.

- :mod:`.controller`: knows all Airflows and whether they can be used, and writes their statuses.
- :mod:`.logins`: logs in with credentials from Secrets.
- :mod:`.own_probe`: checks the Airflow of the operator's settings.
- :mod:`.event_links`: knows whether the brokers of each topic are connected.
"""
