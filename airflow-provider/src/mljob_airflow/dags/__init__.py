"""The DAGs of this package. To use a DAG, import it by name in a DAG file."""

from mljob_airflow.compatibility import assert_supported, installed_version

assert_supported(installed_version())
