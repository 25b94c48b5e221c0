"""The outside systems a stage talks to, each behind one small class: DuckDB, MLflow, dbt."""
