"""A simulation of the operator in virtual time, with a fake Kubernetes cluster, two fake Airflows,
a fake Kafka topic and a faulty network. The operator can die between any two side effects.

The simulation is deterministic. Therefore Hypothesis can search for a sequence of steps that breaks
a promise of the operator. :mod:`.machine` lists the promises.
"""
