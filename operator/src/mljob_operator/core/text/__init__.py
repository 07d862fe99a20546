"""Functions for texts and for JSON values from users or other programs.

- :mod:`.bounds`: limits for the depth and the size of a JSON value.
- :mod:`.storable`: the values that etcd can store, and their size in etcd.
- :mod:`.fitting`: reads only the valid fields of an object.
- :mod:`.spelling`: hints for messages about invalid values.
- :mod:`.sentences`: the beginning and the end of sentences in messages.
- :mod:`.urls`: encodes texts as parts of URLs.
"""
