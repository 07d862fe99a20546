"""What the example DAGs share. It lies beside them, and Airflow finds it there: a bundle's folder is on the path of its DAG files."""
