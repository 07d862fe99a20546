"""The client for scripts and notebooks, without asyncio. ``make generate`` makes the modules of
this package out of ``mljob.aio``. Only this file and :mod:`.runtime` are written by hand. To change
a generated module, change its source in ``mljob.aio``.
"""
