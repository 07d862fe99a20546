"""The controller of AirflowInstances, and the registry of Airflows. The registry has the Airflow of
each AirflowInstance, and the Airflow that the operator's settings name.
"""
