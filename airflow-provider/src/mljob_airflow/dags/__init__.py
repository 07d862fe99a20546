"""DAGs that this package brings along."""
