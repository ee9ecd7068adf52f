"""Functions that are written from the rules of a policy: their source, compiled and kept."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType

import numba
import numpy as np

from wavebreak.caches import cache_root, held, writable
from wavebreak.errors import PolicyError
from wavebreak.jit import Callback, callback, sources_digest

PREAMBLE = '''\
"""Written by Wavebreak from the rules of a policy. Not to be edited."""
import numba
import numpy as np
from wavebreak.features import at_hand, rarely
from wavebreak.jit import address_as_void_pointer, carray
from wavebreak.features.state import RARE, ROW

@numba.njit(error_model="numpy")
def least(a, b):
    return a + b if a != a or b != b else (b if b < a else a)

@numba.njit(error_model="numpy")
def greatest(a, b):
    return a + b if a != a or b != b else (b if b > a else a)

@numba.njit(error_model="numpy")
def differs(a, b):
    return a < b or a > b

'''
"""What a generated function stands on: a missing operand stays missing, and never differs."""


@cache
def compiled_from(source: str, name: str, n_args: int, features: tuple[str, ...]) -> Callback:
    """Machine code of the function `name` of a source, which takes `n_args` int64 and gives one.

    It comes from the user's cache where one like it was compiled before.
    """
    told = "\0".join([source, numba.__version__, np.__version__, sources_digest(), *features])
    digest = hashlib.sha256(told.encode()).hexdigest()[:12]
    kept = held(cache_root() / f"rules-{digest}")
    if writable(kept):
        return callback(_imported(kept, digest, source, name), n_args, directory=kept)
    with tempfile.TemporaryDirectory(prefix="wavebreak-") as passing:
        made = _imported(Path(passing), digest, source, name)
        return callback(made, n_args, directory=Path(passing))


def _imported(directory: Path, digest: str, source: str, name: str) -> Callable[..., int]:
    path = directory / f"rules_{digest}.py"
    if not path.exists() or path.read_text(encoding="utf-8") != source:
        fresh = path.with_suffix(f".{os.getpid()}")
        fresh.write_text(source, encoding="utf-8")
        fresh.replace(path)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise PolicyError(f"{path} cannot be imported", fix="set WAVEBREAK_CACHE to another place")
    module: ModuleType = importlib.util.module_from_spec(spec)
    # Numba finds the globals of cached code by importing the module by its name.
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    made: Callable[..., int] = getattr(module, name)
    return made
