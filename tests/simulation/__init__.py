"""Runs the operator's own components in a simulation with virtual time. The simulation has a
Kubernetes cluster, two Airflows with schedulers and workers, a Kafka topic, and a network. Requests
and messages get lost or arrive late, and messages are duplicated. The operator can be killed
between any two side effects.

Everything is deterministic. Therefore Hypothesis can search for a sequence of steps after which a
rule about the operator is broken, for example that an MLJob has at most one active run. Hypothesis
then reduces the sequence to the steps that matter. :mod:`.machine` has the rules.
"""
