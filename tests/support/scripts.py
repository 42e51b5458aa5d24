"""Scripts that stand outside of the package, as modules."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.paths import ROOT


def load(path: str | Path) -> ModuleType:
    """The script at a path of the project, loaded as Python runs it: its folder comes first."""
    file = ROOT / path
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(file.parent))
        sys.modules[spec.name] = module  # a dataclass looks its own module up
        spec.loader.exec_module(module)
    return module
