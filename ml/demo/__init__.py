"""The demo world: four domains with planted tastes, so that it is known where transfer must help.

See docs/DEMO_WORLD.md. `write_demo_world` is the only entry.
"""

from ml.demo.manifest import DemoManifest, DomainManifest
from ml.demo.world import write_demo_world

__all__ = ["DemoManifest", "DomainManifest", "write_demo_world"]
