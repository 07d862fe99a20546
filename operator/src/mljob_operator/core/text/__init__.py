"""Bounds for text and JSON from outside, and parts of messages.

- :mod:`.bounds`: how deep and how large JSON may be; :mod:`.storable`: what can be stored in etcd,
  and its size there.
- :mod:`.fitting`: reads objects into models, as far as they fit; :mod:`.spelling`: hints how to
  write a value; :mod:`.sentences`: parts of sentences.
"""
