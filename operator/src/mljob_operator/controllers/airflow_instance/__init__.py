"""The controller of AirflowInstances.

- :mod:`.controller`: knows which Airflows there are and whether they can be used, and writes their statuses.
- :mod:`.logins`: logs in with credentials from Secrets; :mod:`.own_probe`: asks the Airflow of the operator's settings; :mod:`.event_links`: whether events
  of an Airflow arrive.
"""
