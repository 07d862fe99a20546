"""The client for asyncio. ``client/generate.py`` writes ``mljob.sync`` from these modules: it
removes each ``await``, and ``Async`` from each name. Only :mod:`.runtime` uses asyncio itself, and
its counterpart in ``mljob.sync`` is written by hand.
"""
