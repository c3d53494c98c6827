"""Unaligned 64-bit loads and block copies of byte arrays, checked against their lengths."""

from typing import Any, cast

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.extending import intrinsic

from spanward_processor.kernels.jit import Bytes, borrowing, inlined


def _unaligned_load(llvm_type: Any) -> Any:
    """Return a code generator that loads one value at a byte offset; the caller has checked the bounds."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        base = builder.bitcast(array.data, ir.IntType(8).as_pointer())
        address = builder.bitcast(builder.gep(base, [args[1]]), llvm_type.as_pointer())
        value = builder.load(address)
        value.align = 1
        return value

    return codegen


def _load_u64_signature(typing_context: Any, array: Any, offset: Any) -> Any:  # noqa: ARG001 - numba's protocol
    return types.uint64(array, types.intp), _unaligned_load(ir.IntType(64))


def _load_f64_signature(typing_context: Any, array: Any, offset: Any) -> Any:  # noqa: ARG001 - numba's protocol
    return types.float64(array, types.intp), _unaligned_load(ir.DoubleType())


def _copy_codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    out, at, data, start, size = args
    pointers = [
        builder.gep(
            builder.bitcast(context.make_array(kind)(context, builder, array).data, ir.IntType(8).as_pointer()),
            [offset],
        )
        for kind, array, offset in ((signature.args[0], out, at), (signature.args[2], data, start))
    ]
    cast("Any", cgutils).raw_memcpy(builder, pointers[0], pointers[1], size, 1)
    return context.get_dummy_value()


def _copy_signature(typing_context: Any, out: Any, at: Any, data: Any, start: Any, size: Any) -> Any:  # noqa: ARG001 - numba's protocol
    return types.void(out, types.intp, data, types.intp, types.intp), _copy_codegen


def _prefetch_codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    table, place = args
    tools = cast("Any", cgutils)
    array = context.make_array(signature.args[0])(context, builder, table)
    indices = tools.unpack_tuple(builder, place) if isinstance(signature.args[1], types.BaseTuple) else [place]
    byte = ir.IntType(8).as_pointer()
    address = builder.bitcast(array.data, byte)
    for index, stride in zip(indices, tools.unpack_tuple(builder, array.strides), strict=False):
        address = builder.gep(address, [builder.mul(index, stride)])
    word = ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [byte, word, word, word])
    function = tools.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
    builder.call(function, [address, word(1), word(3), word(1)])  # to write, keep close, data
    return context.get_dummy_value()


def _prefetch_signature(typing_context: Any, table: Any, place: Any) -> Any:  # noqa: ARG001 - numba's protocol
    indices = cast("Any", types).UniTuple(types.intp, len(place)) if isinstance(place, types.BaseTuple) else types.intp
    return types.void(table, indices), _prefetch_codegen


prefetch = cast("Any", intrinsic)(_prefetch_signature)
"""prefetch(table, place): ask for the cache line of a row, or of a place where `place` is a tuple; a hint, no access, whatever the place."""

_raw_copy = cast("Any", intrinsic)(_copy_signature)
_raw_u64 = cast("Any", intrinsic)(_load_u64_signature)
_raw_f64 = cast("Any", intrinsic)(_load_f64_signature)


@inlined
def load_u64(data: Bytes, offset: int) -> np.uint64:
    """Return the little-endian 64-bit word at a byte offset.

    Raises:
        IndexError: When the eight bytes are not all inside the array.
    """
    if offset < 0 or offset > data.size - 8:  # not `offset + 8`, which may overflow
        raise IndexError("load outside the request")
    word: np.uint64 = _raw_u64(data, offset)
    return word


@inlined
def check_run(data: Bytes, start: int, end: int) -> None:
    """Check a run of bytes once, for those who then look at its words by `peek_u64`.

    Raises:
        IndexError: When it is not all inside the array.
    """
    if start < 0 or end < start or end > data.size:
        raise IndexError("run outside the request")


@inlined
def peek_u64(data: Bytes, offset: int) -> np.uint64:
    """Return the little-endian 64-bit word at a byte offset inside a run that was checked."""
    word: np.uint64 = _raw_u64(data, offset)
    return word


@inlined
def load_f64(data: Bytes, offset: int) -> float:
    """Return the little-endian IEEE 754 double at a byte offset.

    Raises:
        IndexError: When the eight bytes are not all inside the array.
    """
    if offset < 0 or offset > data.size - 8:  # not `offset + 8`, which may overflow
        raise IndexError("load outside the request")
    number: float = _raw_f64(data, offset)
    return number


@borrowing
def load_tail(data: Bytes, start: int, end: int) -> np.uint64:
    """Return up to seven bytes as a little-endian word, zero filled."""
    word = np.uint64(0)
    shift = np.uint64(0)
    for at in range(start, end):
        word |= np.uint64(data[at]) << shift
        shift += np.uint64(8)
    return word


@borrowing
def copy_bytes(out: Bytes, at: int, data: Bytes, start: int, end: int) -> int:
    """Copy `data[start:end]` to `out[at:]`, which is other memory; return the position after it.

    Raises:
        IndexError: When either run is not inside its array.
    """
    if start < 0 or end < start or end > data.size or at < 0 or at > out.size - (end - start):
        raise IndexError("copy outside the request")
    _raw_copy(out, at, data, start, end - start)
    return at + end - start
