"""Functions for texts: limits for texts and JSON values that users or other programs wrote, parts
of messages, and parts of URLs.

- :mod:`.bounds`: how deep and how large a JSON value may be.
- :mod:`.storable`: the values that etcd can store, and their size in etcd.
- :mod:`.fitting`: reads those fields of an object that fit the object's model.
- :mod:`.spelling`: hints on how to write a duration or a time, and which name a user may have
  meant.
- :mod:`.sentences`: the beginning and the end of sentences in messages.
- :mod:`.urls`: encodes texts as parts of URLs.
"""
