"""The client of the MLJob operator: runs ML jobs on Airflow by MLJobs in Kubernetes."""
