"""A walk is a test that applies generated objects, edits them, and rolls the edits back. Each
object must reach the same state as an object that has the same spec and was never edited.

Acto (SOSP 2023) uses this method.
"""
