from pathlib import Path

import pytest

from ml.demo import DemoManifest, write_demo_world


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> tuple[Path, DemoManifest]:
    folder = tmp_path_factory.mktemp("demo") / "tiny"
    return folder, write_demo_world(folder, "tiny", seed=7)


@pytest.fixture(scope="session")
def small(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "small"
    write_demo_world(folder, "small", seed=7)
    return folder
