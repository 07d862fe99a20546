"""The MLJob operator runs ML jobs on Apache Airflow from Kubernetes. The operator learns of changes
from Kafka events and from lists of changed runs, so it does not poll each run.

To learn how the code works, read the modules in this order:

1. :mod:`.handlers` receives the MLJob from kopf's watch.
2. :mod:`.controllers.mljob.controller` gives the MLJob to a worker.
3. :mod:`.core.mljob.decisions` decides on the next action. :mod:`.controllers.mljob.steps` and
   :mod:`.controllers.mljob.reconciler` execute the action.
4. :mod:`.sources.topic` reads events from Kafka, and :mod:`.sources.change_feed` reads changes from
   Airflow's REST API.
5. :mod:`.core.status.build` builds the status.
"""
