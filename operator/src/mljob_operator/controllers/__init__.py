"""The controllers of MLJobs, AirflowInstances and orphaned runs, and the leader election.

A controller observes the state, asks :mod:`..core` for a decision, and acts through the protocols
of :mod:`..ports`.
"""
