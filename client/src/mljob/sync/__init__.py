"""The client for scripts and notebooks. All modules but :mod:`.runtime` are generated from
``mljob.aio`` by ``make generate``: change those.
"""
