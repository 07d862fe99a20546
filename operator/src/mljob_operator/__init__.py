"""The MLJob operator runs ML jobs on Apache Airflow from Kubernetes. Events push the status.

To follow an MLJob through the code, read the modules in this order:

1. :mod:`.handlers` receives the MLJob from kopf's watch.
2. :mod:`.controllers.mljob.controller` passes the MLJob to its worker, and wakes the worker.
3. :mod:`.controllers.mljob.steps` and :mod:`.controllers.mljob.reconciler` carry out the actions on
   which :mod:`.core.mljob.decisions` decides.
4. :mod:`.sources.topic` brings events from Kafka, and :mod:`.sources.change_feed` brings changes
   from Airflow's REST API.
5. :mod:`.core.status.build` builds the status.
"""
