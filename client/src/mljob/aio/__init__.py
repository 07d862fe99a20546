"""The client for asyncio. ``client/generate.py`` generates the modules of ``mljob.sync`` from these
modules.

Only :mod:`.runtime` imports asyncio. Its counterpart in ``mljob.sync`` is written by hand.
"""
