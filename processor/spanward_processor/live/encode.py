"""Snapshots and findings as JSON, and as server-sent events.

The JSON has the names of the dataclasses. Numbers that JSON cannot carry (NaN, infinities) become null.
"""

import json
import math
from dataclasses import asdict, replace
from typing import Final, cast

from spanward_processor.findings import Finding
from spanward_processor.live.view import History, Snapshot

Json = dict[str, object]

_NO_HISTORY: Final = History((), (), (), (), ())


def overview(snapshot: Snapshot) -> Json:
    """Return a snapshot without the histories: what is sent each second."""
    bare = replace(snapshot, series=tuple(replace(view, history=_NO_HISTORY) for view in snapshot.series))
    form = asdict(bare)
    for view in form["series"]:
        del view["history"]
    return form


def histories(snapshot: Snapshot) -> Json:
    """Return the history of each series by its key: what changes only when a window closes.

    Slices are left out: the page draws no charts of them, and there may be many.
    """
    return {str(view.key): asdict(view.history) for view in snapshot.series if view.series.slice is None}


def complete(snapshot: Snapshot) -> Json:
    """Return a snapshot with the history of every series and slice."""
    return asdict(snapshot)


def numbered(transitions: tuple[tuple[int, Finding], ...]) -> Json:
    """Return numbered transitions of findings."""
    return {"transitions": [{"sequence": sequence, "finding": asdict(finding)} for sequence, finding in transitions]}


def dumps(form: Json) -> str:
    """Return JSON on one line."""
    return json.dumps(_finite(form), separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def event(name: str, form: Json, sequence: int | None = None) -> bytes:
    """Return one server-sent event.

    Args:
        name: Its type.
        form: Its data.
        sequence: What a client that comes back names as the last it has seen.

    Source: WHATWG HTML Living Standard, 9.2.5 "Parsing an event stream".
    """
    number = "" if sequence is None else f"id: {sequence}\n"
    return f"event: {name}\n{number}data: {dumps(form)}\n\n".encode("utf-8", "replace")


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in cast("Json", value).items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in cast("list[object]", value)]
    return value
