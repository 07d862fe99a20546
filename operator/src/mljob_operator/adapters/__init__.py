"""The outside world: thin, one module a system; each maps its library's errors into :mod:`mljob_operator.errors`."""
