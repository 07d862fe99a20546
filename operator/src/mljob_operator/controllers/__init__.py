"""The controllers of MLJobs, AirflowInstances and orphaned runs, and the election of the leader
(:mod:`.leadership`, :mod:`.candidate`, :mod:`.rivals`).

A controller collects the observed state, asks :mod:`..core` for a decision, and acts through the
protocols of :mod:`..ports`.
"""
