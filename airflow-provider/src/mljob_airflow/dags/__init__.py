"""The DAGs of this package. A DAG file imports each by name."""

from mljob_airflow.compatibility import assert_supported, installed_version

assert_supported(installed_version())
