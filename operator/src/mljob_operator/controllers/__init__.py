"""What the operator does about MLJobs, AirflowInstances and orphaned runs: one package a kind.

A controller gathers what is known, lets the core decide, and acts through the ports.
"""
