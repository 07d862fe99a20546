"""The DAGs of this package, one in each module. To use a DAG, import the DAG in a DAG file, for
example: ``from mljob_airflow.dags.mljob_cancel import mljob_cancel``.
"""

from mljob_airflow.compatibility import assert_supported, installed_version

assert_supported(installed_version())
