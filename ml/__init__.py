"""Landbridge's models as a plain torch library.

Nothing below `ml/` imports dagster, dbt, duckdb or mlflow (tests/ml/test_imports.py enforces it), so that it
runs on any machine with torch, transformers, numpy, scipy, pyarrow and safetensors.
"""
