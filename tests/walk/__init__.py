"""A walk over the API: objects from the CRDs' own schemas are applied, edited and rolled back, and each comes to what it comes to without the detour.

It is what Acto (SOSP 2023) does to find operators whose objects depend on their past.
"""
