"""The client for asyncio. The program ``client/generate.py`` generates the modules of
``mljob.sync`` from these modules. The program removes each ``async`` and ``await``, and replaces
names such as ``AsyncClient`` and ``aclose``. Only :mod:`.runtime` uses asyncio itself, and its
counterpart in ``mljob.sync`` is written by hand.
"""
