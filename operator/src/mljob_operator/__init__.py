"""The MLJob operator: runs ML jobs on Apache Airflow from Kubernetes, with a status that is pushed, not polled.

An MLJob's life, in the order in which to read: :mod:`.handlers` sees it, :mod:`.job_queue` queues what is learned of it,
:mod:`.reconciler` carries out what :mod:`.core.decisions` decides, :mod:`.status_pipeline` brings events from Kafka,
:mod:`.resync` what Airflow says, and :mod:`.core.report` makes the status of it all.
"""
