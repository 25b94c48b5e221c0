"""The import rule: `ml/` needs torch, transformers, numpy, scipy, pyarrow and safetensors."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "ml").rglob("*.py"))
# huggingface_hub is a part of transformers: it is installed wherever that is.
ALLOWED = {"torch", "transformers", "huggingface_hub", "numpy", "scipy", "pyarrow", "safetensors", "ml"}
OPTIONAL = {"faiss", "peft", "selectolax", "emoji", "jieba", "py3langid", "stopwordsiso", "PIL"}
FORBIDDEN = ("dagster", "dagster_dbt", "dbt", "duckdb", "mlflow", "pandas", "sklearn", "orchestration")

BLOCKER = f"""
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {FORBIDDEN!r}:
            # What transformers and torch probe for is absent, as on a machine that lacks it.
            raise ModuleNotFoundError(f"{{name}} is blocked", name=name)

sys.meta_path.insert(0, Blocked())
"""


def imported(path: Path) -> set[str]:
    """Top-level names of everything a module imports, at its top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
    return found


def guarded(path: Path) -> set[str]:
    """Names imported where absence is expected: inside a function or a `try`."""
    tree, found = ast.parse(path.read_text()), set()
    for outer in ast.walk(tree):
        if isinstance(outer, (ast.FunctionDef, ast.Try)):
            for node in ast.walk(outer):
                if isinstance(node, ast.Import):
                    found |= {alias.name.split(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module:
                    found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_module_imports_only_what_is_allowed(path):
    foreign = imported(path) - ALLOWED - set(sys.stdlib_module_names)
    assert foreign <= OPTIONAL, f"ml/ may not import {sorted(foreign - OPTIONAL)}"
    assert foreign <= guarded(path), f"{sorted(foreign)} is optional: import it inside a function or a try"


@pytest.mark.slow
def test_every_module_loads_where_nothing_else_is_installed():
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in MODULES]
    names = [name.removesuffix(".__init__") for name in names]
    script = BLOCKER + f"import importlib\nfor name in {names!r}: importlib.import_module(name)\n"
    script += f"assert not {{m.split('.')[0] for m in sys.modules}} & set({FORBIDDEN!r})\n"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_blocker_blocks():
    done = subprocess.run([sys.executable, "-c", BLOCKER + "import duckdb"], capture_output=True, text=True)
    assert done.returncode != 0
    assert "duckdb is blocked" in done.stderr


BRIDGE_FOLDERS = ("blocks", "scorers", "select", "serve")


@pytest.mark.parametrize("folder", BRIDGE_FOLDERS)
def test_a_folder_of_the_bridge_imports_only_from_those_before_it(folder):
    later = BRIDGE_FOLDERS[BRIDGE_FOLDERS.index(folder) + 1 :]
    found = {
        f"{path.name} imports {node.module}"
        for path in (ROOT / "ml" / "bridge" / folder).glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ml.bridge.")
        if (node.module or "").split(".")[2] in later
    }
    assert not found
