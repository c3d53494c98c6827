"""Every public kernel has a twin, and the test that compares the two."""

import bisect
import importlib
import inspect
import math
import pkgutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from numba.core.dispatcher import Dispatcher
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from scipy.special import fdtrc
from sklearn import ensemble

import naive
import naive_wire
from json_documents import slow_reader
from spanward_processor.kernels import jit

LIBRARY: Any = ensemble  # which has no types
HERE: Final = Path(__file__).parent
THROUGH_DECODE: Final = HERE.parent / "test_decode.py"
THROUGH_JSON: Final = HERE.parent / "receive" / "test_otlp_json.py"

TWINS: Final[dict[str, Callable[..., Any]]] = {
    "attributes.read_attribute": naive.rows,
    "attributes.read_familiar": naive.rows,
    "attributes.reserved_ranges": naive_wire.reserved,
    "binning.bin_rows": naive.exponential_bin,
    "binning.exponential_bin": naive.exponential_bin,
    "binning.exponential_bins": naive.exponential_bin,
    "binning.unit_bin": naive.unit_bin,
    "binning.unit_bins": naive.unit_bin,
    "carriers.match_carriers": naive.template,
    "cells.find_features": naive.merged,
    "cells.find_known": bisect.bisect_left,
    "cells.find_quantiles": naive.quantile,
    "cells.learn_cells": naive.learned,
    "cells.merge_cells": naive.merged,
    "cells.sift_cells": naive.sifted,
    "closing.count_cells": naive.counts,
    "closing.order_cells": naive.counts,
    "counting.add_rows": naive.counts,
    "deviance.deviances": naive.deviance,
    "attributes.key_is_reserved": naive_wire.reserved,
    "excess.find_excess": naive_wire.excess,
    "excess.longest_value": naive_wire.longest_value,
    "forest.score_forest": LIBRARY.IsolationForest.score_samples,
    "frames.locate_frames": naive_wire.frames,
    "grouping.group_by_rank": naive.grouped_by_rank,
    "grouping.group_by_watched": naive.grouped_by_watched,
    "jit.natural": int.__mod__,
    "jit.signed": naive.signed,
    "memory.check_run": bytes.__getitem__,
    "memory.copy_bytes": bytes.__getitem__,
    "memory.load_f64": struct.unpack_from,
    "memory.load_tail": int.from_bytes,
    "memory.load_u64": struct.unpack_from,
    "memory.peek_u64": struct.unpack_from,
    "pairing.pair_rows": naive.other_answers,
    "prune.plan_pruning": naive_wire.pruned,
    "prune.write_pruned": naive_wire.pruned,
    "repeats.mark_repeats": naive.repeats,
    "runs.after_ascii": bytes.isascii,
    "runs.same_run": bytes.__eq__,
    "runs.short_word": int.from_bytes,
    "objectives.add_marks": naive.is_good,
    "objectives.mark_rows": naive.is_good,
    "objectives.sum_stretches": naive.is_good,
    "objectives.tally_rows": naive.is_good,
    "sampling.coordinate": naive.coordinate,
    "sampling.order_sample": naive.sample,
    "sampling.sample_rows": naive.sample,
    "scatter.add_products": naive.products,
    "scatter.count_rows": naive.side,
    "scatter.distance_bin": math.log2,
    "scatter.distances": naive.distance,
    "scatter.score_numbers": naive.distance,
    "scatter.side_of": naive.side,
    "siphash.mix64": naive.mix64,
    "siphash.siphash13": naive.siphash13,
    "sparing.spare_one": naive.spared,
    "spans.read_spans": naive.rows,
    "splice.plan_growth": naive_wire.spliced,
    "splice.splice": naive_wire.spliced,
    "splice.varint_size": naive_wire.encoded_varint,
    "splice.write_varint": naive_wire.encoded_varint,
    "tables.add_cell": naive.merged,
    "tables.add_at": naive.merged,
    "tables.assign_keys": naive.Keys.of,
    "tables.find_cell": naive.merged,
    "tables.find_keys_again": naive.Keys.of,
    "tables.find_unknown": naive.unknown,
    "tables.home_of": naive.merged,
    "tables.look_up": naive.merged,
    "tables.rehash": naive.merged,
    "tails.f_tail": fdtrc,
    "tails.f_tails": fdtrc,
    "tails.fill_tails": naive.row_p,
    "tails.score_rows": naive.row_p,
    "validate.message_field": naive_wire.check,
    "validate.validate": naive_wire.check,
    "values.number_of": naive.rows,
    "values.read_any_value": AnyValue.FromString,
    "values.text_code": naive.rows,
    "waiting.sift_rows": naive.sifted_rows,
    "wire.read_length": naive_wire.length,
    "wire.read_tag": naive_wire.tag,
    "wire.read_varint": naive_wire.varint,
    "wire.step_over": naive_wire.step,
    "wire.text_field": naive_wire.text,
    "wire.valid_utf8": naive_wire.is_text,
    "bits.high_product": int.__mul__,
    "bits.leading_zeros": int.bit_length,
    "bits.trailing_zeros": int.bit_length,
    "json_numbers.decimal": float,
    "json_numbers.double_bits": float,
    "json_numbers.integer": int,
    "json_tape.find_escaped_name": slow_reader,
    "json_tape.find_name": slow_reader,
    "json_tape.read_document": slow_reader,
    "json_text.after_space": slow_reader,
    "json_text.character": slow_reader,
    "json_text.hex_value": slow_reader,
    "json_text.next_character": slow_reader,
    "json_text.number_end": slow_reader,
    "json_text.string_end": slow_reader,
    "json_text.unescape": slow_reader,
    "json_text.unescaped_size": slow_reader,
    "json_text.word_end": slow_reader,
    "json_wire.write_document": slow_reader,
}
"""Kernel to what it must equal; those of `memory` and `runs` have theirs in the language itself."""

TESTED_ELSEWHERE: Final = {
    "attributes.key_is_reserved": HERE / "test_prune.py",
    "attributes.read_attribute": THROUGH_DECODE,
    "attributes.read_familiar": THROUGH_DECODE,
    "closing.count_cells": HERE / "test_counting.py",
    "closing.order_cells": HERE / "test_counting.py",
    "spans.read_spans": THROUGH_DECODE,
    "values.number_of": THROUGH_DECODE,
    "values.text_code": THROUGH_DECODE,
    "jit.natural": HERE / "test_tables.py",
    "jit.signed": HERE / "test_tables.py",
} | {kernel: THROUGH_JSON for kernel in TWINS if kernel.startswith(("bits.", "json_"))}


def _is_kernel(member: object) -> bool:
    return isinstance(member, Dispatcher)


def public_kernels() -> set[str]:
    """Return `module.function` of every compiled function without an underscore."""
    found: set[str] = set()
    for info in pkgutil.iter_modules([str(Path(jit.__file__).parent)]):
        module = importlib.import_module(f"spanward_processor.kernels.{info.name}")
        for name, function in inspect.getmembers(module, _is_kernel):
            if function.__module__ == module.__name__ and not name.startswith("_"):
                found.add(f"{info.name}.{name}")
    return found


def test_every_public_kernel_has_a_twin() -> None:
    """The table above names exactly the public kernels, so a new one without a twin fails here."""
    assert set(TWINS) == public_kernels()


@pytest.mark.parametrize("kernel", TWINS)
def test_every_twin_is_compared(kernel: str) -> None:
    """The test file of a kernel's module speaks of the kernel, or of what calls it, and of its twin."""
    module, _, name = kernel.partition(".")
    file = TESTED_ELSEWHERE.get(kernel, HERE / f"test_{module}.py")
    text, twin = file.read_text(), TWINS[kernel]

    assert {THROUGH_DECODE: "decode(", THROUGH_JSON: "to_protobuf("}.get(file, name) in text
    if getattr(twin, "__module__", "") in ("naive", "naive_wire") and module != "attributes":
        assert f"{twin.__module__}.{twin.__name__}" in text or twin is naive.Keys.of
