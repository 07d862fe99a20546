"""Limits for texts and JSON that users or other programs wrote, and parts of messages.

- :mod:`.bounds`: how deep and how large a JSON value may be.
- :mod:`.storable`: the values that etcd can store, and their size in etcd.
- :mod:`.fitting`: reads the fields of an object that fit its model.
- :mod:`.spelling`: hints on how to write a duration or a time, and which name a user may have
  meant.
- :mod:`.sentences`: the beginning and the end of sentences in messages.
- :mod:`.urls`: texts in URLs.
"""
