"""A walk over the API: a test applies objects that it has generated from the schemas of the CRDs,
edits them, and rolls them back. Each object must end like an object with the same spec that was
never edited.

Acto (SOSP 2023) uses this method to find operators whose objects depend on their past.
"""
