"""The `landbridge` command's parts, one module per command; `orchestration.cli` puts them together."""
