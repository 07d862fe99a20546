"""Benchmarks of the operator, the Python client and the live view: speed, CPU time and memory.

A measured figure depends on the machine as much as on the program. Most benchmarks therefore also
measure a floor in the same run: a program that does only the work that is necessary for the same
result. The ratio of the two figures can be compared between machines. README.md describes the
method.
"""
