"""The outside world: thin, one module or package a system; each maps its library's errors into :mod:`mljob_operator.errors`."""
