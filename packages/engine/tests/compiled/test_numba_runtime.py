"""Numba runtime: the primitives that the kernel relies on."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest

from wavebreak.compiled.code_cache import cache_root
from wavebreak.compiled.numba_runtime import (
    PACKAGE,
    SOURCES,
    address_as_void_pointer,
    call_int64,
    callback,
    carray,
    compile_for,
    compiled,
    prefetch,
    source_files,
    sources_digest,
)
from wavebreak.features.windows import ring_total

settings: Any = numba.config


def total(a: int, b: int, c: int) -> int:
    return a + 10 * b + 100 * c


def first_of(address: int) -> int:
    return int(carray(address_as_void_pointer(address), (4,), np.float64)[0])


def seven() -> int:
    return 7


@compiled("i8(i8, i8, i8, i8)")
def through_pointer(address: int, a: int, b: int, c: int) -> int:
    return int(call_int64(address, a, b, c))


@compiled()
def with_one(address: int, a: int) -> int:
    return int(call_int64(address, a))


@compiled()
def with_none(address: int) -> int:
    return int(call_int64(address))


@compiled("f8(f8, f8)")
def ratio(part: float, whole: float) -> float:
    return part / whole


@compiled("f8(i8, i8)")
def sum_at(address: int, n: int) -> float:
    prefetch(address)
    values = carray(address_as_void_pointer(address), (n,), np.float64)
    return float(values.sum())


@compiled()
def both_sums(row: Any) -> tuple[int, int]:
    return ring_total(row.small), ring_total(row.large)


def test_callback_by_address_takes_any_number_of_arguments() -> None:
    three, none = callback(total, 3), callback(seven, 0)
    assert through_pointer(three.address, 1, 2, 3) == 321
    assert with_none(none.address) == 7


def test_carray_reads_array_at_address() -> None:
    values = np.array([5.0, 1.0, 2.0, 3.0])
    assert sum_at(values.ctypes.data, 4) == 11.0
    assert with_one(callback(first_of, 1).address, values.ctypes.data) == 5


def test_prefetch_of_foreign_address_does_not_fault() -> None:
    assert sum_at(8, 0) == 0.0


def test_division_by_zero_returns_infinity_or_nan() -> None:
    assert ratio(1.0, 0.0) == np.inf
    assert np.isnan(ratio(0.0, 0.0))


def test_numba_cache_dir_setting_is_restored() -> None:
    before = settings.CACHE_DIR
    compiled("f8(f8, f8)")(lambda a, b: a - b)
    assert before == settings.CACHE_DIR


def test_cache_root_follows_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAVEBREAK_CACHE", "/somewhere")
    assert cache_root() == Path("/somewhere")
    assert len(sources_digest()) == 12


def test_cache_root_without_override_is_in_user_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WAVEBREAK_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert cache_root() == Path("/elsewhere/wavebreak")


MODULE = """
from wavebreak.compiled.numba_runtime import callback, compiled
@compiled("i8(i8)")
def twice(n): return 2 * n
def four_times(n): return twice(twice(n))
made = callback(four_times, 1)
print(twice(21), sum(twice.stats.cache_hits.values()), made.keepalive.cache_hits)
"""


def run_module(folder: Path, cache: Path) -> str:
    (folder / "module_in_a_file.py").write_text(MODULE)
    environment = {**os.environ, "WAVEBREAK_CACHE": str(cache)}
    command = [sys.executable, "-c", "import module_in_a_file"]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_machine_code_is_reused_by_a_second_process(tmp_path: Path) -> None:
    assert run_module(tmp_path, tmp_path / "cache") == "42 0 0"
    assert run_module(tmp_path, tmp_path / "cache") == "42 1 1"


def test_machine_code_is_reused_by_a_copy_of_the_package_elsewhere(tmp_path: Path) -> None:
    """As in another environment, checkout or container: only what the sources hold counts."""
    said = []
    for name in ("one", "other"):
        shutil.copytree(
            PACKAGE, tmp_path / name / "wavebreak", ignore=shutil.ignore_patterns("__pycache__")
        )
        code = (
            "from wavebreak.compiled.numba_runtime import PACKAGE;"
            "from wavebreak.features.sequential_tests import quarter_power as power;"
            "power(4); print(PACKAGE, sum(power.stats.cache_hits.values()))"
        )
        environment = {
            **os.environ,
            "WAVEBREAK_CACHE": str(tmp_path / "cache"),
            "PYTHONPATH": str(tmp_path / name),
        }
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        said.append(done.stdout.split())
    assert said == [[str(tmp_path / n / "wavebreak"), h] for n, h in (("one", "0"), ("other", "1"))]


def test_every_source_that_is_compiled_is_in_the_digest() -> None:
    """With one left out, its callers' machine code would outlive a change of it."""
    marks = re.compile(r"^@compiled|\bcompiled\(", re.MULTILINE)
    named = {path for path in PACKAGE.rglob("*.py") if marks.search(path.read_text("utf-8"))}
    assert len(named) > 20
    assert named <= set(source_files(PACKAGE, SOURCES))


def test_compiled_without_writable_cache_compiles_anyway(tmp_path: Path) -> None:
    blocked = tmp_path / "a_file"
    blocked.write_text("")
    assert run_module(tmp_path, blocked / "cache") == "42 0 0"


def test_sum_of_sixteen_at_any_address() -> None:
    row = np.zeros(1, np.dtype([("odd", "u1"), ("small", "u1", (16,)), ("large", "u2", (16,))]))
    row["small"], row["large"] = 255, 65_535
    assert both_sums(row[0]) == (16 * 255, 16 * 65_535)
    row["small"][0, 3], row["large"][0, 15] = 0, 1
    assert both_sums(row[0]) == (15 * 255, 15 * 65_535 + 1)


def test_digest_source_name_without_file_raises() -> None:
    with pytest.raises(FileNotFoundError, match=r"no source 'renamed\.py'"):
        source_files(PACKAGE, [*SOURCES, "renamed.py"])
    assert len(source_files(PACKAGE, SOURCES)) > 30


def test_constants_compile_a_function_only_once() -> None:
    @compiled()
    def product(one: int, other: int) -> int:
        return one * other

    @compiled()
    def of_constants(number: int) -> int:
        return product(number, 2) + product(number, other=3) + product(4, number)

    assert of_constants(10) == 90
    dispatcher: Any = product
    assert dispatcher.signatures == [(numba.int64, numba.int64)]


def test_function_is_compiled_for_examples_without_a_call() -> None:
    @compiled()
    def second(numbers: Any, at: int) -> float:
        return float(numbers[at + 1])

    compile_for(second, np.zeros(0), 7)
    dispatcher: Any = second
    assert dispatcher.signatures == [(numba.float64[::1], numba.int64)]
