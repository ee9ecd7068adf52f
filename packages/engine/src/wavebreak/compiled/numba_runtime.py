"""Numba runtime: the decorator for compiled functions, C callbacks, and LLVM intrinsics.

Numba's own cache looks at the file of the compiled function only; a change in an imported jitted
function goes unnoticed. Here everything compiled is stored under a digest of all sources that may
be compiled together, so that changed sources never meet old machine code.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.caching import UserProvidedCacheLocator
from numba.extending import intrinsic, register_jitable
from numba.np.numpy_support import carray as numba_carray

from wavebreak.compiled.code_cache import cache_root, hold_directory, writable

Result = TypeVar("Result")

# The types that LLVM and Numba declare are too weak for a strict checker.
_llvm: Any = ir
_settings: Any = numba.config
_njit: Any = numba.njit
_cfunc: Any = numba.cfunc
_intrinsic: Any = intrinsic
_int64: Any = np.int64
_locator: Any = UserProvidedCacheLocator
_typeof: Any = numba.typeof
_unliteral: Any = types.unliteral

PACKAGE = Path(__file__).resolve().parents[1]


SOURCES = (
    "compiled",
    "durations.py",
    "engine/decision.py",
    "engine/enforcement.py",
    "engine/kernel_policy.py",
    "features",
    "io",
    "linking",
    "model",
    "outcomes.py",
    "schema/event_kinds.py",
    "schema/events.py",
)
"""Sources that are compiled together: packages (all their modules) and modules."""


def source_files(root: Path, names: Sequence[str]) -> list[Path]:
    """Return the Python files of `names` below `root`, in a fixed order.

    Raises FileNotFoundError for a name without a file: with a digest that leaves out a renamed
    source, stale machine code would be reused.

    >>> [path.name for path in source_files(PACKAGE, ["schema/events.py"])]
    ['events.py']
    """
    found = []
    for name in names:
        path = root / name
        files = [path] if path.suffix == ".py" and path.is_file() else sorted(path.rglob("*.py"))
        if not files:
            raise FileNotFoundError(f"no source {name!r} in {root}: see SOURCES in {__name__}")
        found += files
    return found


@cache
def sources_digest() -> str:
    """Return the first 12 hex digits of the SHA-256 of all sources that are compiled together."""
    digest = hashlib.sha256(f"numba {numba.__version__}".encode())
    for source in source_files(PACKAGE, SOURCES):
        digest.update(f"\0{source.relative_to(PACKAGE)}\0".encode() + source.read_bytes())
    return digest.hexdigest()[:12]


class PackageLocator(UserProvidedCacheLocator):
    """Where Numba keeps the machine code of a function: by the place of its source in the package.

    By itself Numba takes the place on the disk, so that each environment, checkout and container
    compiles anew what it shares with others: over a minute of processor. The directory is named by
    the digest of all sources, and Numba compares each file's content besides.
    """

    @classmethod
    def get_suitable_cache_subpath(cls, py_file: str) -> str:
        """Return the directory of a source file's machine code, within the cache directory."""
        path = Path(py_file).resolve()
        if path.is_relative_to(PACKAGE):
            return "-".join([PACKAGE.name, *path.relative_to(PACKAGE).parent.parts])
        return str(_locator.get_suitable_cache_subpath(py_file))


@contextmanager
def numba_cache_in(directory: Path) -> Iterator[bool]:
    """Make Numba cache what the block decorates in `directory`; False: it is not writable."""
    before = _settings.CACHE_DIR, _settings.CACHE_LOCATOR_CLASSES
    _settings.CACHE_DIR = str(directory)
    _settings.CACHE_LOCATOR_CLASSES = f"{__name__}.{PackageLocator.__name__}"
    try:
        yield writable(directory)
    finally:
        _settings.CACHE_DIR, _settings.CACHE_LOCATOR_CLASSES = before


def _kernel_cache() -> Path:
    return hold_directory(cache_root() / f"numba-{sources_digest()}")


def compiled(
    signature: Any = None, *, inline: Literal["never", "always"] = "never"
) -> Callable[[Callable[..., Result]], Callable[..., Result]]:
    """Decorate a function to run as machine code: without the GIL, cached, IEEE division.

    `signature` (a Numba signature, such as `"i8(i8, f8[::1])"`, or a list of them) compiles at
    import; without one the first call with new types compiles. `inline="always"` copies the
    body into callers. To a type checker the result takes any arguments: their types are settled at
    compilation, and numbers of NumPy and of Python are the same there.

    >>> @compiled("f8(f8, f8)")
    ... def ratio(part, whole):
    ...     return part / whole
    >>> ratio(1.0, 0.0)
    inf
    """

    def decorate(function: Callable[..., Result]) -> Callable[..., Result]:
        with numba_cache_in(_kernel_cache()) as keep:
            options = {"nogil": True, "error_model": "numpy", "inline": inline}
            # A function without a file (typed at a prompt, a doctest) cannot be cached.
            keep = keep and Path(function.__code__.co_filename).exists()
            dispatcher: Callable[..., Result] = _njit(signature, cache=keep, **options)(function)
        _forget_literals(dispatcher)
        return dispatcher

    return decorate


def _forget_literals(dispatcher: Any) -> None:
    """Compile a function once for all the constants that compiled code gives it.

    By itself Numba compiles it once more for each, though the code does not differ by them: where
    it is small enough, LLVM copies it into its caller and sees the constant there.
    """
    template_of = dispatcher.get_call_template

    def without_literals(args: Any, kws: Any) -> Any:
        named = {name: _unliteral(kind) for name, kind in kws.items()}
        return template_of(tuple(map(_unliteral, args)), named)

    dispatcher.get_call_template = without_literals


def compile_for(function: Any, *examples: Any) -> None:
    """Compile a function for arguments of the types of some examples; it is not called."""
    function.compile(tuple(map(_typeof, examples)))


def compilable(function: Callable[..., Result]) -> Callable[..., Result]:
    """Decorate a step of a function that is plain Python where it is called from Python.

    >>> @compilable
    ... def half(number):
    ...     return number / 2
    >>> half(3)
    1.5
    """
    decorated: Callable[..., Result] = register_jitable(function)
    return decorated


@dataclass(frozen=True, slots=True)
class Callback:
    """A C function `int64 f(int64, …)`: its address, and the object that owns it."""

    address: int
    n_args: int
    keepalive: Any = field(repr=False, compare=False)


def callback(
    function: Callable[..., int], n_args: int, *, directory: Path | None = None
) -> Callback:
    """Compile `function` of `n_args` int64 arguments with an int64 result as a C callback.

    It is called from compiled code by `call_int(address, *arguments)`. `directory` is where the
    machine code is cached; by default beside that of `compiled`.

    >>> callback(lambda a, b: a + b, 2).n_args
    2
    """
    with numba_cache_in(directory or _kernel_cache()) as keep:
        keep = keep and Path(function.__code__.co_filename).exists()
        signature = types.int64(*[types.int64] * n_args)
        made = _cfunc(signature, cache=keep, nopython=True, error_model="numpy")(function)
    return Callback(made.address, n_args, made)


def _void_pointer(_typing: Any, address: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], _llvm.IntType(8).as_pointer())

    return types.voidptr(address), generate


def _address_of(_typing: Any, array: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        held = context.make_array(signature.args[0])(context, builder, args[0])
        return builder.ptrtoint(held.data, _llvm.IntType(64))

    return types.int64(array), generate


def _call_int(_typing: Any, address: Any, *arguments: Any) -> Any:
    packed: Any = types.StarArgTuple
    int64 = _llvm.IntType(64)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        passed = [
            context.cast(builder, builder.extract_value(args[1], i), kind, types.int64)
            for i, kind in enumerate(signature.args[1])
        ]
        kind = _llvm.FunctionType(int64, [int64] * len(passed)).as_pointer()
        return builder.call(builder.inttoptr(args[0], kind), passed)

    return types.int64(types.int64, packed.from_types(arguments)), generate


def _prefetch(_typing: Any, address: Any) -> Any:
    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        pointer, int32 = _llvm.IntType(8).as_pointer(), _llvm.IntType(32)
        kind = _llvm.FunctionType(_llvm.VoidType(), [pointer, int32, int32, int32])
        insert: Any = cgutils.get_or_insert_function
        hint = insert(builder.module, kind, "llvm.prefetch.p0")
        read, keep_in_all_levels, of_memory = int32(0), int32(3), int32(1)
        where = builder.inttoptr(args[0], pointer)
        builder.call(hint, [where, read, keep_in_all_levels, of_memory])
        return context.get_dummy_value()

    return types.void(types.int64), generate


def _next_of(_typing: Any, address: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        pointer = builder.inttoptr(args[0], _llvm.IntType(64).as_pointer())
        return builder.atomic_rmw("add", pointer, _llvm.IntType(64)(1), "monotonic")

    return types.int64(types.int64), generate


def _ones(_typing: Any, bits: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return types.int64(types.int64), generate


def _zeros_ahead(_typing: Any, bits: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.ctlz(args[0], _llvm.IntType(1)(0))

    return types.int64(types.int64), generate


def _eight_bytes(_typing: Any, address: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        pointer = builder.inttoptr(args[0], _llvm.IntType(64).as_pointer())
        return builder.load(pointer, align=1)

    return types.uint64(types.int64), generate


def _one_byte(_typing: Any, address: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        pointer = builder.inttoptr(args[0], _llvm.IntType(8).as_pointer())
        return builder.load(pointer, align=1)

    return types.uint8(types.int64), generate


def _put_eight_bytes(_typing: Any, address: Any, word: Any) -> Any:
    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        pointer = builder.inttoptr(args[0], _llvm.IntType(64).as_pointer())
        builder.store(args[1], pointer, align=1)
        return context.get_dummy_value()

    return types.void(types.int64, types.uint64), generate


def _sum_of_sixteen(bits: int) -> Any:
    def typed(_typing: Any, address: Any) -> Any:
        def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            small = _llvm.VectorType(_llvm.IntType(bits), 16)
            wide = _llvm.VectorType(_llvm.IntType(32), 16)
            numbers = builder.load(builder.inttoptr(args[0], small.as_pointer()), align=1)
            insert: Any = cgutils.get_or_insert_function
            kind = _llvm.FunctionType(_llvm.IntType(32), [wide])
            added = insert(builder.module, kind, "llvm.vector.reduce.add.v16i32")
            total = builder.call(added, [builder.zext(numbers, wide)])
            return builder.zext(total, _llvm.IntType(64))

        return types.int64(types.int64), generate

    return typed


int64: Callable[[Any], int] = _int64
"""NumPy's int64: the type of an `int` in compiled code, typed as an int for checkers."""

count_ones: Callable[[int], int] = _intrinsic(_ones)
"""In compiled code: the number of set bits of an int64."""

leading_zeros: Callable[[int], int] = _intrinsic(_zeros_ahead)
"""In compiled code: the number of zero bits above the highest set bit of an int64 (64 for 0)."""

sum_of_sixteen_u1: Callable[[int], int] = _intrinsic(_sum_of_sixteen(8))
sum_of_sixteen_u2: Callable[[int], int] = _intrinsic(_sum_of_sixteen(16))
"""In compiled code: the sum of sixteen unsigned numbers at an address, in a few instructions."""

load_u8: Callable[[int], Any] = _intrinsic(_one_byte)
"""In compiled code: the uint8 at an address."""

load_u64: Callable[[int], Any] = _intrinsic(_eight_bytes)
"""In compiled code: the uint64 at an address, which need not be aligned."""

store_u64: Callable[[int, Any], None] = _intrinsic(_put_eight_bytes)
"""In compiled code: write a uint64 at an address, which need not be aligned."""

address_as_void_pointer: Callable[[int], Any] = _intrinsic(_void_pointer)
"""In compiled code: an int64 address as a `void *`, for `carray(pointer, shape, dtype)`."""

address_of: Callable[[Any], int] = _intrinsic(_address_of)
"""In compiled code: the address of an array's memory, which it does not keep alive."""

call_int64: Callable[..., int] = _intrinsic(_call_int)
"""In compiled code: `call_int(address, *int64s)` calls the C function there and returns its
int64. The number of arguments must be the callback's: nothing checks it."""

prefetch: Callable[[int], None] = _intrinsic(_prefetch)
"""In compiled code: prefetch the cache line at an address for reading; never faults."""

fetch_and_increment: Callable[[int], int] = _intrinsic(_next_of)
"""In compiled code: atomically return the int64 at an address and increment it."""

carray: Callable[..., Any] = numba_carray
"""In compiled code: a C-ordered array over foreign memory."""
