"""The controllers of MLJobs, AirflowInstances and orphaned runs.

A controller collects the observed state, lets the core decide, and acts through the ports.
"""
