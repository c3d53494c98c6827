"""Single machine instructions that Python has no word for."""

from typing import Any, cast

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.core.extending import intrinsic

from spanward_processor.kernels.jit import inlined, signed

_WORD = ir.IntType(64)
_NO = ir.Constant(ir.IntType(1), 0)  # of "is zero undefined?"


def _trailing_signature(typing_context: Any, word: Any) -> Any:  # noqa: ARG001 - numba's protocol
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001
        return builder.cttz(args[0], _NO)

    return types.uint64(types.uint64), codegen


def _leading_signature(typing_context: Any, word: Any) -> Any:  # noqa: ARG001 - numba's protocol
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001
        return builder.ctlz(args[0], _NO)

    return types.uint64(types.uint64), codegen


def _product_signature(typing_context: Any, left: Any, right: Any) -> Any:  # noqa: ARG001 - numba's protocol
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001
        wide = ir.IntType(128)
        product = builder.mul(builder.zext(args[0], wide), builder.zext(args[1], wide))
        return builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), _WORD)

    return types.uint64(types.uint64, types.uint64), codegen


_trailing = cast("Any", intrinsic)(_trailing_signature)
_leading = cast("Any", intrinsic)(_leading_signature)
_product = cast("Any", intrinsic)(_product_signature)


@inlined
def trailing_zeros(word: np.uint64) -> int:
    """Return how many low bits are zero, 64 for zero."""
    return signed(_trailing(word))


@inlined
def leading_zeros(word: np.uint64) -> int:
    """Return how many high bits are zero, 64 for zero."""
    return signed(_leading(word))


@inlined
def high_product(left: np.uint64, right: np.uint64) -> np.uint64:
    """Return the upper half of a 128-bit product; `left * right` is the lower."""
    high: np.uint64 = _product(left, right)
    return high
