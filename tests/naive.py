"""Slow, obvious twins of the kernels: what each must equal."""

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import TypeVar

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

Value = TypeVar("Value", str, float)
Cell = tuple[int, int, float]  # stream, bin, count

MASK = 0xFFFF_FFFF_FFFF_FFFF


def siphash13(data: bytes, k0: int, k1: int) -> int:
    """SipHash-1-3 in plain integers, as in the paper's figure 2.1 with one and three rounds."""

    def rotate(word: int, bits: int) -> int:
        return ((word << bits) | (word >> (64 - bits))) & MASK

    def mix(v: list[int]) -> None:
        v[0] = (v[0] + v[1]) & MASK
        v[1] = rotate(v[1], 13) ^ v[0]
        v[0] = rotate(v[0], 32)
        v[2] = (v[2] + v[3]) & MASK
        v[3] = rotate(v[3], 16) ^ v[2]
        v[0] = (v[0] + v[3]) & MASK
        v[3] = rotate(v[3], 21) ^ v[0]
        v[2] = (v[2] + v[1]) & MASK
        v[1] = rotate(v[1], 17) ^ v[2]
        v[2] = rotate(v[2], 32)

    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]
    padded = data + bytes(-(len(data) + 1) % 8) + bytes([len(data) & 0xFF])
    for at in range(0, len(padded), 8):
        word = int.from_bytes(padded[at : at + 8], "little")
        v[3] ^= word
        mix(v)
        v[0] ^= word
    v[2] ^= 0xFF
    for _ in range(3):
        mix(v)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


@dataclass(frozen=True)
class Row:
    """One span as the decoder must see it: roles resolved to text and numbers."""

    start_ns: int
    end_ns: int
    status: int
    trace_id: bytes
    texts: dict[str, str]
    numbers: dict[str, float]
    reserved: int


def rows(request: bytes, texts: dict[str, Sequence[str]], numbers: dict[str, Sequence[str]]) -> list[Row]:
    """Decode by the official parser and resolve roles one attribute at a time."""
    found: list[Row] = []
    for resource in ExportTraceServiceRequest.FromString(request).resource_spans:
        for scope in resource.scope_spans:
            found.extend(_row(span, resource.resource.attributes, texts, numbers) for span in scope.spans)
    return found


def _row(
    span: Span, resource: Iterable[KeyValue], texts: dict[str, Sequence[str]], numbers: dict[str, Sequence[str]]
) -> Row:
    levels = (list(span.attributes), list(resource))
    return Row(
        start_ns=signed(span.start_time_unix_nano),
        end_ns=signed(span.end_time_unix_nano),
        status=span.status.code,
        trace_id=span.trace_id if len(span.trace_id) == 16 else b"",
        texts={role: text for role, names in texts.items() if (text := _first(levels, names, _text)) is not None},
        numbers={
            role: number for role, names in numbers.items() if (number := _first(levels, names, _number)) is not None
        },
        reserved=sum(attribute.key.startswith("spanward.anomaly.") for attribute in span.attributes),
    )


def signed(value: int) -> int:
    """Return a 64-bit word as a signed integer."""
    return value - (1 << 64) if value >> 63 else value


def _first(
    levels: Sequence[Sequence[KeyValue]], names: Sequence[str], read: Callable[[AnyValue], Value | None]
) -> Value | None:
    """Return the first usable value: spans before resources, earlier names before later ones, first occurrence."""
    for level in levels:
        for name in names:
            for attribute in level:
                if attribute.key == name and (value := read(attribute.value)) is not None:
                    return value
    return None


def _text(value: AnyValue) -> str | None:
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return value.string_value or None
    if kind == "bytes_value":
        return value.bytes_value.hex() or None
    if kind == "int_value":
        return str(value.int_value)
    if kind == "bool_value":
        return "true" if value.bool_value else "false"
    return None


def _number(value: AnyValue) -> float | None:
    kind = value.WhichOneof("value")
    if kind == "double_value":
        return None if math.isnan(value.double_value) else value.double_value
    if kind == "int_value":
        return float(value.int_value)
    if kind == "bool_value":
        return 1.0 if value.bool_value else 0.0
    return None


def exponential_bin(value: float) -> int | None:
    """Find by search the bin i with 2^(i/8) < |value| <= 2^((i+1)/8); negative numbers go below zero's."""
    if math.isnan(value) or math.isinf(value):
        return None
    zero = -(1 << 30)
    if value == 0:
        return zero
    return _index(value) if value > 0 else zero - 1 - (_index(-value) + (1 << 20))


def _index(value: float) -> int:
    if value < 2.0**-900:  # borders of subnormal numbers are not exact; those of larger ones are
        return _index(value * 2.0**200) - 1600
    return next(
        i for i in range(-9000, 8192) if i == 8191 or value <= math.ldexp(2.0 ** ((i + 1) % 8 / 8), (i + 1) // 8)
    )


def unit_bin(value: float) -> int | None:
    """Find by search the bin i with i/128 <= value < (i+1)/128; the last holds 1 too, others are exponential."""
    if 0 <= value <= 1:
        return next((i for i in range(128) if value < (i + 1) / 128), 127)
    outside = exponential_bin(value)
    return outside + 128 if outside is not None and value > 1 else outside


def mix64(word: int) -> int:
    """SplitMix64's finaliser in plain integers."""
    word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    word = (word ^ (word >> 27)) * 0x94D049BB133111EB & MASK
    return word ^ (word >> 31)


def counts(
    keys: Iterable[Sequence[int]], bins: Iterable[Sequence[int]], missing: int, in_slices: Sequence[bool]
) -> Counter[tuple[int, int, int]]:
    """Count (key, feature, bin) row by row; `keys` (the series first, then its slices) and `bins` are per row."""
    cells: Counter[tuple[int, int, int]] = Counter()
    for row_keys, row_bins in zip(keys, bins, strict=True):
        for level, key in enumerate(row_keys):
            for feature, cell_bin in enumerate(row_bins):
                if key >= 0 and cell_bin != missing and (level == 0 or in_slices[feature]):
                    cells[key, feature, cell_bin] += 1
    return cells


def examples(
    keys: Iterable[Sequence[int]], p: Iterable[float], traces: Iterable[list[int]]
) -> dict[int, tuple[float, list[int]]]:
    """Find each key's smallest p-value and the trace of the first row that has it."""
    best: dict[int, tuple[float, list[int]]] = {}
    for row_keys, row_p, trace in zip(keys, p, traces, strict=True):
        for key in row_keys:
            if key >= 0 and (key not in best or row_p < best[key][0]):
                best[key] = (row_p, trace)
    return best


def other_answers(rows: Iterable[tuple[int, int, int]], places: int) -> list[int | None]:
    """Return what the other arm decided on each row's input; rows are (hash, decision, arm), in a memory of so many places."""
    memory: dict[int, tuple[int, int, set[int]]] = {}
    found: list[int | None] = []
    for word, decision, arm in rows:
        found.append(None)
        if not word or arm < 0:
            continue
        place = mix64(word) % places
        asked, said, arms = memory.get(place, (0, 0, set[int]()))
        if asked != word:
            memory[place] = word, decision, {arm}
        elif arm not in arms:
            arms.add(arm)
            found[-1] = said
    return found


def repeats(rows: Iterable[tuple[int, Sequence[int]]]) -> list[int]:
    """Mark rows (key, hashes) that share at least half of their hashes with one and the same earlier row of their key.

    A hash speaks only for the newest earlier row that had it, and once per row. Memory without bound.
    """
    newest: dict[tuple[int, int], int] = {}
    marks: list[int] = []
    for number, (key, hashes) in enumerate(rows):
        if key < 0 or not hashes:
            marks.append(-1)
            continue
        distinct = {(key, value) for value in hashes}
        together = Counter(newest[each] for each in distinct if each in newest)
        marks.append(int(2 * max(together.values(), default=0) >= len(hashes)))
        newest.update(dict.fromkeys(distinct, number))
    return marks


def annotated(request: bytes, notes: dict[int, bytes]) -> bytes:
    """Append encoded attributes to spans by number, and leave out inbound ones of ours, through the official parser."""
    message = ExportTraceServiceRequest.FromString(request)
    number = 0
    for resource in message.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                kept = [item for item in span.attributes if not item.key.startswith("spanward.anomaly.")]
                del span.attributes[:]
                span.attributes.extend(kept)
                span.MergeFromString(notes.get(number, b""))
                number += 1
    return message.SerializeToString()


def deviance(observed: Counter[int], usual: Counter[int], shape: str) -> tuple[float, float]:
    """Return G2 over the groups of `kernels.deviance`, written out with dictionaries."""
    weight, rows_seen = sum(usual.values()), sum(observed.values())
    groups: dict[int, list[float]] = defaultdict(lambda: [0.0, 0.0])
    below, own = 0.0, 0
    for cell_bin in sorted(observed.keys() | usual.keys()):
        mass = usual[cell_bin]
        middle = (below + mass / 2) / weight
        if shape == "number":
            group = 10 if middle > 0.99 else min(int(middle * 10), 9)
        elif shape == "flag":
            group = int(cell_bin == 1)
        elif mass / weight >= 0.02 and own < 33:
            group, own = own, own + 1
        else:
            group = 33
        groups[group][0] += observed[cell_bin]
        groups[group][1] += mass
        below += mass
    used = max(2, sum(sum(pair) > 0 for pair in groups.values()))
    total = 0.0
    for seen, expected_mass in groups.values():
        expected = rows_seen * (expected_mass + 0.5) / (weight + 0.5 * used)
        if seen:
            total += 2 * seen * math.log(seen / expected)
    if shape == "flag":
        expected = rows_seen * (groups[1][1] + 0.5) / (weight + 0.5 * used)
        if groups[1][0] <= expected:
            return 0.0, 1.0
    return max(total, 0.0) / (1 + rows_seen / weight), used - 1.0


def grouped_by_rank(
    observed: Mapping[int, float], usual: Mapping[int, float], edges: Sequence[float]
) -> tuple[list[float], list[float]]:
    """Return rows of a window and of a baseline in groups by the rank that each bin's middle has in the baseline."""
    weight, below = max(sum(usual.values()), 1e-9), 0.0
    groups = ([0.0] * (len(edges) + 1), [0.0] * (len(edges) + 1))
    for cell_bin in sorted(observed.keys() | usual.keys()):
        mass = usual.get(cell_bin, 0.0)
        group = sum((below + mass / 2) / weight > edge for edge in edges)
        groups[0][group] += observed.get(cell_bin, 0.0)
        groups[1][group] += mass
        below += mass
    return groups


def grouped_by_watched(bag: Mapping[int, float], watched: Sequence[int]) -> list[float]:
    """Return the rows of each watched category, and of all others."""
    counts = [bag.get(cell_bin, 0.0) if cell_bin not in watched[:at] else 0.0 for at, cell_bin in enumerate(watched)]
    return [*counts, sum(count for cell_bin, count in bag.items() if cell_bin not in watched)]


def merged(*bags: Iterable[Cell]) -> list[Cell]:
    """Add the counts of equal cells (stream, bin) of several bags; sorted."""
    total: Counter[tuple[int, int]] = Counter()
    for bag in bags:
        for stream, cell_bin, count in bag:
            total[stream, cell_bin] += count  # type: ignore[assignment] # a Counter adds floats as well
    return [(stream, cell_bin, count) for (stream, cell_bin), count in sorted(total.items())]


def sifted(
    window: Iterable[Cell], waiting: Iterable[Cell], tested: Sequence[bool], fewest: float
) -> tuple[list[Cell], list[Cell]]:
    """Return the cells of streams with enough rows, and those of the others; untested features of the window left out."""
    cells = merged([cell for cell in window if tested[cell[0] & 15]], waiting)
    rows: Counter[int] = Counter()
    for stream, _, count in cells:
        rows[stream] += count  # type: ignore[assignment] # a Counter adds floats as well
    enough = [cell for cell in cells if rows[cell[0]] >= fewest]
    return enough, [cell for cell in cells if rows[cell[0]] < fewest]


def learned(
    usual: Iterable[Cell], seen: Iterable[Cell], free: set[int], fades: Mapping[int, float], least: float
) -> list[Cell]:
    """Return a baseline after a window: streams that were seen and are free fade, each by its factor, and are added to."""
    old = {(stream, cell_bin): count for stream, cell_bin, count in usual}
    seen = [cell for cell in seen if cell[0] in free]
    streams = {stream for stream, _, _ in seen}
    faded = [(*cell, fades[cell[0]] * count if cell[0] in streams else count) for cell, count in old.items()]
    return [cell for cell in merged(faded, seen) if cell[0] not in streams or cell[2] >= least]


def quantile(bins: Mapping[int, float], share: float, other: int) -> int | None:
    """Return the first bin, in order, at which a share of the rows is reached."""
    known = sorted((cell_bin, count) for cell_bin, count in bins.items() if cell_bin != other)
    total, running = sum(count for _, count in known), 0.0
    for cell_bin, count in known:
        running += count
        if running >= share * total:
            return cell_bin
    return known[-1][0] if known else None


def unknown(columns: Mapping[int, Sequence[int]], known: set[int]) -> list[tuple[int, int]]:
    """Return (column, row) of every code's first occurrence, column by column, and add the codes to `known`."""
    found: list[tuple[int, int]] = []
    for column, codes in columns.items():
        for row, code in enumerate(codes):
            if code and code not in known:
                known.add(code)
                found.append((column, row))
    return found


@dataclass
class Keys:
    """Keys by their parts, in dictionaries; key 0 is the overflow series."""

    most_keys: int
    most_slices: int
    ids: dict[tuple[int, ...], int] = field(default_factory=dict[tuple[int, ...], int])
    overflowed: int = 0
    given: int = 0

    def of(self, series: tuple[int, int, int], slices: Mapping[int, int]) -> list[int]:
        """Return the key of a row's series (service, model, version), then of each slice column's code."""
        if not series[1]:
            return [-1] * (1 + len(slices))
        if series not in self.ids and len(self.ids) == self.most_keys:
            self.overflowed += 1
            return [0] + [-1] * len(slices)
        key = self._known_or_next(series)
        return [key, *(self._slice(key, column, code) for column, code in slices.items())]

    def _slice(self, series: int, column: int, code: int) -> int:
        if not code:
            return -1
        parts = (series, column, code, 0)  # four parts: never equal to a series' three
        siblings = sum(len(known) == 4 and known[0] == series for known in self.ids)
        if parts not in self.ids and (len(self.ids) == self.most_keys or siblings == self.most_slices):
            self.overflowed += 1
            return -1
        return self._known_or_next(parts)

    def _known_or_next(self, parts: tuple[int, ...]) -> int:
        if parts not in self.ids:
            self.given += 1
            self.ids[parts] = self.given
        return self.ids[parts]

    def forget(self, keys: AbstractSet[int]) -> AbstractSet[int]:
        """Forget keys, and the slices of those that are series; return all that were forgotten."""
        gone = {key: parts for parts, key in self.ids.items() if key in keys or (len(parts) == 4 and parts[0] in keys)}
        for parts in gone.values():
            del self.ids[parts]
        return gone.keys()


def tail_p(cell_bin: int, usual: Mapping[int, float], *, category: bool) -> float:
    """Return the p-value of one feature of one row: how much of the usual lies at least as far out, both sides alike."""
    weight = sum(usual.values())
    count = usual.get(cell_bin, 0.0)
    if category:
        p = sum(other for other in usual.values() if other <= count) / weight
    else:
        at_most = sum(other for place, other in usual.items() if place <= cell_bin) / weight
        at_least = sum(other for place, other in usual.items() if place >= cell_bin) / weight
        p = min(1.0, 2 * min(at_most, at_least))
    return max(p, 1 / (weight + 1))


def row_p(bins: Mapping[int, int], usual: Mapping[int, Mapping[int, float]], categories: set[int]) -> float:
    """Return a row's p-value: the smallest over its features that are known, times their number."""
    tested = [
        tail_p(cell_bin, usual[feature], category=feature in categories)
        for feature, cell_bin in bins.items()
        if feature in usual
    ]
    return min(1.0, min(tested) * len(tested)) if tested else 1.0


def template(
    cells: Iterable[tuple[int, int]], carriers: Mapping[tuple[int, int], int], *, unusual: bool, otherwise: int
) -> int:
    """Return the template of a row that lies in the given cells: the last carrying cell decides."""
    for cell in cells:
        if cell in carriers:
            otherwise = 2 * carriers[cell] + int(unusual)
    return otherwise


def is_good(value: float, source: int, op: int, limit: float) -> bool:
    """Return whether a value meets an objective; any source below -1 is an error, which must not be."""
    if source < -1:
        return value == 0
    return {0: value <= limit, 1: value < limit, 2: value >= limit, 3: value > limit}[op]


# --- rows as vectors of their numbers --------------------------------------------------------------------------------


def coordinate(cell_bin: int | None) -> int:
    """Return a bin as a small number of the same order."""
    zero = -(1 << 30)
    if cell_bin is None:
        return -(1 << 15)
    if cell_bin == zero:
        return -8
    if cell_bin > zero:
        return sorted((-512, cell_bin, 639))[1]
    index = zero - 1 - (1 << 20) - cell_bin
    return -1 - sorted((0, index + 64, 511))[1]


def rank(time: int, high: int, low: int) -> int:
    """Return the rank of a row: a hash of trace and time."""
    return mix64(high ^ mix64(low ^ time))


def sample(
    rows: Iterable[tuple[int, int, int, int, list[int], list[int]]], most: int, unknown: int
) -> list[tuple[int, int, list[int], list[int]]]:
    """Return key, rank, numbers and marks of the rows of each series with the smallest ranks; a row needs a number."""
    ranked = sorted(
        (key, rank(time, high, low), numbers, marks)
        for key, time, high, low, numbers, marks in rows
        if key > 0 and any(number != unknown for number in numbers)
    )
    kept: Counter[int] = Counter()
    result: list[tuple[int, int, list[int], list[int]]] = []
    for row in ranked:
        kept[row[0]] += 1
        if kept[row[0]] <= most:
            result.append(row)
    return result


def products(rows: Sequence[Sequence[int]], unknown: int) -> tuple[list[list[int]], list[list[int]], list[list[int]]]:
    """Return for each two numbers the rows that have both, the sum of the first over them, and of their product."""
    numbers = range(len(rows[0]))
    pairs = [[[(row[i], row[j]) for row in rows if unknown not in (row[i], row[j])] for j in numbers] for i in numbers]
    return (
        [[len(pair) for pair in line] for line in pairs],
        [[sum(first for first, _ in pair) for pair in line] for line in pairs],
        [[sum(first * second for first, second in pair) for pair in line] for line in pairs],
    )


def spared(pairs: Sequence[tuple[int, int]], least: float, most: float) -> tuple[float, float]:
    """Return the smallest and largest Fisher's z of pairs without one of them, or of all; nothing where a side hardly varies."""
    subsets = [list(pairs), *([*pairs[:left_out], *pairs[left_out + 1 :]] for left_out in range(len(pairs)))]
    varying = [
        one for one in subsets if len(one) > 1 and min(map(statistics.pvariance, zip(*one, strict=True))) >= least
    ]
    if not varying or varying[0] != list(pairs):
        return 0.0, 0.0
    z = [math.atanh(sorted((-most, statistics.correlation(*zip(*one, strict=True)), most))[1]) for one in varying]
    return min(z), max(z)


def side(deviation: float, bins: int) -> int:
    """Return the bin of a deviation: four for one standard deviation, the outermost ones open."""
    return sorted((0, math.floor(deviation * 4) + bins // 2, bins - 1))[1]


def distance(
    row: Sequence[int],
    unknown: int,
    means: Sequence[float],
    scales: Sequence[float],
    inverse: Sequence[Sequence[float]],
    surprise: Sequence[Sequence[float]],
) -> float:
    """Return half the square of Mahalanobis' distance of a row plus the surprise of each number."""
    known = [i for i, number in enumerate(row) if number != unknown and scales[i] > 0]
    apart = {i: row[i] - means[i] for i in known}
    square = sum(apart[i] * apart[j] * inverse[i][j] for i in known for j in known)
    return max(square, 0.0) / 2 + sum(surprise[i][side(apart[i] * scales[i], len(surprise[i]))] for i in known)


def sifted_rows(
    new: Iterable[tuple[int, Sequence[int]]],
    old: Iterable[tuple[int, int, Sequence[int]]],
    fewest: int,
    longest: int,
    unknown: int,
) -> tuple[dict[int, list[list[int]]], list[tuple[int, int, tuple[int, ...]]]]:
    """Return the rows of series with enough of them, and (series, age, numbers) of those that wait on; one number is too few."""
    rows: dict[int, list[tuple[int, Sequence[int]]]] = {}
    for key, age, numbers in old:
        rows.setdefault(key, []).append((age + 1, numbers))
    for key, numbers in new:
        if sum(number != unknown for number in numbers) >= 2:
            rows.setdefault(key, []).append((0, numbers))
    enough = {key: [list(numbers) for _, numbers in rows[key]] for key in sorted(rows) if len(rows[key]) >= fewest}
    waiting = [
        (key, age, tuple(numbers))
        for key in sorted(rows.keys() - enough.keys())
        for age, numbers in rows[key]
        if age < longest
    ]
    return enough, waiting
