"""Code that the example DAGs share. DAG files can import this package, because Airflow adds the
folder of a DAG bundle to the import path.
"""
