"""Which rows carry an open finding."""

from spanward_processor.kernels.jit import Flags, Ints, borrowing
from spanward_processor.kernels.tables import FEATURE_BITS, MISSING, CellTable, look_up


@borrowing
def match_carriers(keys: Ints, bins: Ints, carriers: CellTable, unusual: Flags, chosen: Ints) -> None:
    """Choose the template of the rows that fall into a carrying cell.

    Args:
        keys: (1 + s, n) int64.
        bins: (f, n) int64.
        carriers: Cells whose count is the finding's place plus one.
        unusual: (n,) bool rows that are unusual by themselves.
        chosen: (n,) int64 templates, changed: `2 f` for a row that carries finding f, `2 f + 1` if it is unusual too.
    """
    for row in range(keys.shape[1]):
        for level in range(keys.shape[0]):
            if keys[level, row] < 0:
                continue
            for feature in range(bins.shape[0]):
                if bins[feature, row] != MISSING:
                    found = look_up(carriers, keys[level, row] << FEATURE_BITS | feature, bins[feature, row])
                    if found > 0:
                        chosen[row] = 2 * (found - 1) + (1 if unusual[row] else 0)
