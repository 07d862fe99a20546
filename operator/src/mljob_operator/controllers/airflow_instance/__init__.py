"""The controller of AirflowInstances.

- :mod:`.registry`: all Airflows: their adapters, access rules, logins and readiness.
- :mod:`.controller`: probes the Airflow of each AirflowInstance, and writes the status.
- :mod:`.logins`: reads credentials from Secrets, and keeps the adapters that log in with them.
- :mod:`.own_probe`, :mod:`.own_logins`: check the Airflow of the operator's settings.
- :mod:`.event_links`: knows whether the brokers of each topic are connected.
"""
