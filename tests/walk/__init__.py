"""A walk over the API: objects from the CRDs' own schemas, applied, edited and rolled back, and what must come of each."""
