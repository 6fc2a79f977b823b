"""Arrows point one way, examples run, files stay short."""

import ast
import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import emlearn

ROOT = Path(emlearn.__file__).parent
# room -> rooms it may import
ALLOWED = {
    "exceptions": set(),
    "em": {"exceptions"},
    "_kernels": {"em", "exceptions"},
    "distributions": {
        "_kernels",
        "em.fixed",
        "em.held",
        "em.probabilities",
        "em.statistics",
        "exceptions",
    },
    "latent": {
        "_kernels",
        "em.fixed",
        "em.held",
        "em.posteriors",
        "em.probabilities",
        "em.statistics",
        "exceptions",
    },
    "_data": set(),
    "_parameters": set(),
    "_watch": {"callbacks", "em"},
    "_blocks": {"_data", "em"},
    "_partitions": {"_data", "em"},
    "_explore": {"_blocks", "_partitions", "em"},
    "_dask": {"_explore", "_partitions", "em"},
    "_lazy": {"_data", "_explore", "_partitions"},
    "_fit": {"_watch", "em", "exceptions"},
    "_partial": {"_fit", "em", "exceptions"},
    "base": {
        "_blocks",
        "_dask",
        "_data",
        "_fit",
        "_lazy",
        "_parameters",
        "_partial",
        "_watch",
        "em",
        "exceptions",
    },
    "_composite": {"_blocks", "_data", "_parameters", "base", "distributions", "em", "exceptions"},
    "callbacks": {"em", "exceptions"},
    "mixture": {
        "_composite",
        "_data",
        "_lazy",
        "_parameters",
        "base",
        "distributions",
        "em",
        "exceptions",
        "latent",
    },
    "hmm": {
        "_composite",
        "_data",
        "_lazy",
        "_parameters",
        "base",
        "distributions",
        "em",
        "exceptions",
        "latent",
        "mixture",
    },
    "model_selection": {"distributions", "em.shared", "exceptions", "mixture"},
    "impute": {"_data", "distributions", "exceptions", "mixture"},
    "datasets": set(),
    "testing": {"_blocks", "callbacks", "distributions", "em", "exceptions", "latent", "mixture"},
    "_show_versions": {"_kernels"},
}


def modules():
    return sorted(
        module.name
        for module in pkgutil.walk_packages([str(ROOT)], "emlearn.")
        if not module.name.endswith("._gaussian") or "mixture" in module.name
    )


def imports_of(path: Path):
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            target = ".".join([*base, *(node.module or "").split(".")]).strip(".")
            if node.module is None:
                yield from (".".join([*base, alias.name]) for alias in node.names)
            else:
                yield target
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("emlearn"):
            yield node.module.removeprefix("emlearn").strip(".")


@pytest.mark.parametrize("room", sorted(ALLOWED))
def test_arrows_point_one_way(room):
    paths = sorted((ROOT / room).rglob("*.py")) or [ROOT / f"{room}.py"]
    for path in paths:
        for target in imports_of(path):
            inside = target == room or target.startswith(f"{room}.")
            allowed = any(target == a or target.startswith(f"{a}.") for a in ALLOWED[room])
            assert inside or allowed, f"{path.name} of {room} imports {target}"


def test_every_room_has_its_arrows():
    rooms = {path.stem if path.is_file() else path.name for path in ROOT.iterdir()}
    rooms -= {"__init__", "__pycache__"}
    assert rooms == set(ALLOWED)


@pytest.mark.parametrize("name", modules())
def test_docstring_examples_run(name):
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert result.failed == 0


def test_the_engine_names_no_family():
    for path in (ROOT / "em").glob("*.py"):
        names = {
            node.id if isinstance(node, ast.Name) else node.attr
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Name | ast.Attribute)
        }
        assert not [n for n in names if "gauss" in n.lower() or "covariance_type" in n]


def test_quickstart_runs(tmp_path):
    import subprocess
    import sys

    script = Path(__file__).parent.parent / "examples" / "quickstart.py"
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "Chosen" in done.stdout
    assert not done.stderr
