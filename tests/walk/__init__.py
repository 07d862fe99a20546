"""A walk over the API: objects from the schemas of the CRDs are applied, edited and rolled back.
Each object must end like an object with the same spec that was never edited.

Acto (SOSP 2023) uses this method to find operators whose objects depend on their past.
"""
