"""Benchmarks of the operator's speed and memory, with real Kubernetes and Kafka, and a real or a
simulated Airflow.

A figure alone depends on the machine as much as on the operator. Each benchmark therefore also
measures a floor in the same run: the least work that any program needs for the same result. The
ratio of the figure to the floor can be compared between machines. README.md describes the method.
"""
