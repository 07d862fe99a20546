"""The leader election, and the controllers of MLJobs, AirflowInstances and orphaned runs. An
orphaned run is an active run whose MLJob was deleted or has begun another attempt.

A controller observes its objects, asks :mod:`..core` for a decision, and acts through the protocols
of :mod:`..ports`.
"""
