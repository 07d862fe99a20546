"""The controller of AirflowInstances, and the registry of all Airflows."""
