"""A failing input made short, so that a person can read it and it can be kept as a regression."""

from collections.abc import Iterator

from fuzz.target import Target


def fault_of(target: Target, data: bytes) -> str | None:
    """Return the kind of exception an input raises and the line of the check; None when it is judged in peace."""
    try:
        target.check(data)
    except Exception as error:  # noqa: BLE001 - any exception at all is a defect
        lines: list[int] = []
        trace = error.__traceback__
        while trace:
            if "fuzz" in trace.tb_frame.f_code.co_filename:
                lines.append(trace.tb_lineno)
            trace = trace.tb_next
        return f"{type(error).__name__} at line {lines[-1]}"
    return None


def shrunk(target: Target, data: bytes) -> bytes:
    """Return a shorter input with the same fault."""
    fault = fault_of(target, data)
    going_on = fault is not None
    while going_on:
        going_on = False
        for shorter in (*target.smaller(data), *_cut(data)):
            if len(shorter) < len(data) and fault_of(target, shorter) == fault:
                data, going_on = shorter, True
                break
    return data


def _cut(data: bytes) -> Iterator[bytes]:
    """Yield the input without a piece, larger pieces first."""
    size = len(data) // 2
    while size:
        for at in range(0, len(data), size):
            yield data[:at] + data[at + size :]
        size //= 2
