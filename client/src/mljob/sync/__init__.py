"""The client for scripts and notebooks. ``make generate`` generates all modules except
:mod:`.runtime` from ``mljob.aio``. Change the modules of ``mljob.aio`` instead.
"""
