"""The controllers of MLJobs, AirflowInstances and orphaned runs.

A controller collects the observed state, asks :mod:`.core` for a decision, and acts through the
protocols of :mod:`.ports`.
"""
