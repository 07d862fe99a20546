"""Runs the operator: ``python -m mljob_operator``."""

import sys

from .main import main

sys.exit(main())
