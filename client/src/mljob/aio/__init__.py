"""The client for asyncio. ``client/generate.py`` makes the modules of ``mljob.sync`` out of these
modules: it removes each ``async`` and ``await``, and replaces names such as ``AsyncClient`` and
``aclose``. Only :mod:`.runtime` uses asyncio itself, and its counterpart in ``mljob.sync`` is
written by hand.
"""
