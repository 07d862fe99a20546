"""Decides whether two operators may run side by side, and how long one process of an operator may
act as the leader.

- :mod:`.claims`: what an operator manages, and whether two operators may run side by side.
- :mod:`.lease`: one version of a Kubernetes Lease, and how long the process that holds the Lease
  may act as the leader.
"""
