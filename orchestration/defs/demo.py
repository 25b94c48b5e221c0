"""The demo world: generated landing files of four domains of known truth. Only with `demo:` configured."""

import dagster as dg

from orchestration.partitions import CONFIG

if CONFIG.demo is not None:
    DEMO = CONFIG.demo

    @dg.asset(group_name="landing", kinds={"python"}, code_version="2")
    def demo_world() -> dg.MaterializeResult:
        """Logs, catalogues and users of four domains, dirty as real ones; always the same for a seed."""
        from ml.demo import write_demo_world

        folder = CONFIG.resolve(DEMO.path)
        write_demo_world(folder, DEMO.size, DEMO.seed)
        files = [path for path in folder.rglob("*") if path.is_file()]
        return dg.MaterializeResult(
            metadata={
                "folder": dg.MetadataValue.path(folder),
                "size": DEMO.size,
                "seed": DEMO.seed,
                "files": len(files),
                "bytes": sum(path.stat().st_size for path in files),
            }
        )
