"""Text and JSON from outside, within bounds, and sentences for people.

- :mod:`.bounds`: how deep and how large JSON may be; :mod:`.storable`: what can be stored in etcd, and its size there.
- :mod:`.fitting`: objects read into models as far as they fit; :mod:`.spelling`: names that may have been meant; :mod:`.sentences`: parts of sentences.
"""
