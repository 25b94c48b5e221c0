"""The code location: what the modules of defs/ declare (assets, checks, jobs, schedules), and resources."""

from __future__ import annotations

import dagster as dg

from orchestration import defs as stages
from orchestration.defs.clean import PROJECT
from orchestration.resources.dbt import dbt_resource
from orchestration.resources.warehouse import Warehouse

defs = dg.load_definitions_from_package_module(
    stages,
    resources={"warehouse": Warehouse(), "dbt": dbt_resource(PROJECT)},
    # A step of its own process costs 4-10 s of imports; nearly all steps here are shorter than that.
    executor=dg.in_process_executor,
)
