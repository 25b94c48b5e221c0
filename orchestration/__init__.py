"""Everything of Landbridge that knows Dagster, dbt, DuckDB or MLflow."""
