"""How every kernel is compiled: natively, without the GIL, cached, and never reading out of bounds."""

import hashlib
import importlib
import os
import sys
import zlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar, cast

import numba
import numpy as np
from llvmlite import binding
from numpy.typing import NDArray

P = ParamSpec("P")
R = TypeVar("R")

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]
Codes = NDArray[np.uint64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Narrow = NDArray[np.int32]
Singles = NDArray[np.float32]


def _source_digest(folder: Path) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted(folder.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _cache_folder() -> Path:
    """Return a folder named after the kernels' text.

    Numba notices a change of the file that holds a kernel, but not of a kernel that it calls in another file; and a
    package folder may be read-only. One folder per version of all kernels answers both.
    """
    base = os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "spanward" / f"kernels-{_source_digest(Path(__file__).parent)}"


def _without_blas() -> None:
    """Let numba find no BLAS for kernels that multiply matrices, since none does: looking for one loads all of scipy.linalg.

    Resident memory is 10 MB less. Nothing is hidden that was loaded before, nor from whoever imports scipy afterwards.
    """
    hidden = {} if "scipy.linalg" in sys.modules else {"scipy.linalg": None}
    sys.modules.update(cast("Any", hidden))  # None makes an import fail
    with suppress(ImportError):  # another version may look elsewhere, and load it
        importlib.import_module("numba.np.arraymath")
    for name in hidden:
        del sys.modules[name]


_without_blas()
CACHE_FOLDER: Final = _cache_folder()
_config = cast("Any", numba).config  # numba ships no types for its configuration
_config.CACHE_DIR = str(CACHE_FOLDER)


def _compile(function: Callable[P, R], **options: bool) -> Callable[P, R]:
    options |= {"nogil": True, "cache": True, "boundscheck": True}
    compiled = cast("Any", numba).njit(error_model="numpy", **options)(function)
    _once_for_all_constants(compiled)
    _packed_for_callers(compiled)
    return cast("Callable[P, R]", compiled)


def _once_for_all_constants(compiled: Any) -> None:
    """Let other kernels pass a constant as they pass any other number.

    Numba makes a constant part of a callee's type: it would compile a kernel once more for each constant, and for each variable
    that begins with one. That was three parts in ten of all compilation.

    Args:
        compiled: The kernel's dispatcher.
    """
    resolve = getattr(compiled, "get_call_template", None)  # not part of numba's documented interface
    if resolve is None:
        return
    plain = cast("Any", numba).types.unliteral

    def as_numbers(args: Iterable[Any], kws: Mapping[str, Any]) -> Any:
        return resolve(tuple(plain(kind) for kind in args), {name: plain(kind) for name, kind in kws.items()})

    compiled.get_call_template = as_numbers


def _packed_for_callers(compiled: Any) -> None:
    """Pack what a kernel from the cache keeps for kernels that are still to be compiled and call it.

    Numba parses that at once and holds it for ever, a third of a megabyte a kernel, though all who call it come from the cache too.

    Args:
        compiled: The kernel's dispatcher.
    """
    cache: Any = getattr(compiled, "_cache", None)  # not part of numba's documented interface, as is all of this
    load: Any = getattr(cache, "load_overload", None)
    if load is None:
        return
    parse = cast("Any", binding).parse_bitcode  # llvmlite ships no types

    def load_packed(*asked: Any) -> Any:
        found = load(*asked)
        library: Any = getattr(found, "library", None)
        if getattr(library, "_shared_module", None) is not None and hasattr(library, "_get_module_for_linking"):
            packed = zlib.compress(library._shared_module.as_bitcode(), 1)  # noqa: SLF001
            library._get_module_for_linking = lambda: parse(zlib.decompress(packed))  # noqa: SLF001
            library._shared_module = None  # noqa: SLF001
        return found

    cache.load_overload = load_packed


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function on first use, bounds checked, without the GIL, and keep the machine code on disk.

    Args:
        function: Plain function over arrays and scalars; it may call other kernels.

    Returns:
        The compiled dispatcher, typed as the function.
    """
    return _compile(function)


def borrowing(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a kernel that allocates nothing and only borrows its arrays from the caller.

    Numba counts references at every call that passes an array, by atomic instructions; in a parser made of small
    functions that is most of the time. The outermost caller holds the arrays, so nobody needs to count.

    Args:
        function: As for `kernel`; it must not create arrays.

    Returns:
        The compiled dispatcher, typed as the function.
    """
    return _compile(function, _nrt=False)


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a borrowing kernel into its callers, where the call itself would cost more than the work.

    Args:
        function: As for `borrowing`; short, or called from one place.

    Returns:
        The compiled dispatcher, typed as the function.
    """
    return _compile(function, _nrt=False, forceinline=True)


@inlined
def signed(word: np.uint64) -> int:
    """Return a word as a signed integer; numba's `int` would keep it unsigned, and mixing the two gives floats."""
    return np.int64(word)  # type: ignore[return-value] # pyright: ignore[reportReturnType] - an int to all callers


@inlined
def natural(index: int) -> int:
    """Return an index that is never negative as a word: numba then does not look whether to count from the end.

    One that is negative all the same is out of bounds.
    """
    return np.uint64(index)  # type: ignore[return-value] # pyright: ignore[reportReturnType] - an int to all callers
