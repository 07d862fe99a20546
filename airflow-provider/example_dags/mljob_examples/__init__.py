"""Code that the example DAGs share. DAG files can import it, because Airflow adds the folder of a
DAG bundle to their import path.
"""
