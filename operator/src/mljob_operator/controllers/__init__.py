"""The leader election, and the controllers of MLJobs, AirflowInstances and orphaned runs. An
orphaned run is a run in progress that the operator has submitted, and that no MLJob follows.

A controller observes its objects, asks :mod:`..core` for a decision, and acts through the protocols
of :mod:`..ports`.
"""
