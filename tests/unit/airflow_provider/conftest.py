"""The package under test is read from its sources: installing it would ask for Airflow, which is not in this environment."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "airflow-provider" / "src"))
