"""The client for scripts and notebooks, without asyncio.

``make generate`` makes the modules of this package from ``mljob.aio``. Only this file and
:mod:`.runtime` are written by hand.
"""
