"""DAGs that this package brings along."""

from mljob_airflow.compatibility import assert_supported, installed_version

assert_supported(installed_version())
