"""The client for asyncio. ``client/generate.py`` writes ``mljob.sync`` from these modules: each
``await`` goes, and each name with ``Async`` loses it. So asyncio itself is used in
:mod:`.runtime` only, which has a counterpart written by hand.
"""
