"""A walk over the API: a test applies objects that it has generated from the schemas of the CRDs,
edits them, and rolls them back. Each object must reach the same state as an object that has the
same spec and was never edited.

Acto (SOSP 2023) uses this method to find operators in which the state of an object depends on the
object's earlier specs.
"""
