"""The question as SQL, for whoever wants to see the rows themselves."""

from typing import Final

from spanward import semconv
from spanward_processor.explain.measured import DATA, RUNTIME
from spanward_processor.roles import NUMBER_ROLES, TEXT_ROLES

_SECOND_NS: Final = 1_000_000_000


def query(service: str, model: str, before: tuple[int, int], now: tuple[int, int], driver: str | None) -> str:
    """Return a query in the dialect of DuckDB over a table `spans` with a column for each attribute, by its name.

    Attributes of which the table has no column are taken for empty: nobody told them. The query gives the mean and p99 of latency in both times, the mean of everything that may have moved, and what the driver adds by
    its price of before.

    Args:
        service: Name of the service.
        model: Name of the model.
        before: First nanosecond, and the first one after it.
        now: Likewise.
        driver: The role of what costs most in the data; None for none.
    """
    numbers = {role: _column(NUMBER_ROLES[role][0]) for role in (*DATA, *RUNTIME)}
    seconds = {role: f"coalesce({numbers[role]}, 0)" for role in RUNTIME}
    picked = ",\n".join(f"    {column} AS {role}" for role, column in numbers.items() if role in DATA)
    told = ",\n".join(f"    {column} AS {role}" for role, column in seconds.items())
    means = ",\n".join(f"  avg({role}) AS {role}" for role in (*DATA, *RUNTIME))
    asked = [f"    NULL::VARCHAR AS {_column(name)}" for name in (semconv.SERVICE_NAME, *_named())]
    asked += [f"    NULL::DOUBLE AS {column}" for column in numbers.values()]
    needed = ",\n".join(asked)
    lines = [
        "WITH asked AS (",
        "  SELECT",
        needed,
        "  LIMIT 0",
        "),",
        "every AS (SELECT * FROM asked UNION ALL BY NAME SELECT * FROM spans),",
        "calls AS (",
        "  SELECT",
        f"    end_time_unix_nano >= {now[0]} AS is_now,",
        f"    (end_time_unix_nano - start_time_unix_nano) / 1e9 + {seconds['wait_s']} AS latency_s,",
        f"{picked},",
        f"{told}",
        "  FROM every",
        f"  WHERE {_column(semconv.SERVICE_NAME)} = {_text(service)}",
        f"    AND coalesce({', '.join(_column(name) for name in _named())}) = {_text(model)}",
        f"    AND end_time_unix_nano >= {before[0]} AND end_time_unix_nano < {now[1]}",
        ")",
        "SELECT",
        "  CASE WHEN is_now THEN 'now' ELSE 'before' END AS time,",
        "  count(*) AS calls,",
        "  avg(latency_s) AS mean_s,",
        "  quantile_disc(latency_s, 0.99) AS p99_s,",
        f"{means},",
        "  avg(latency_s - wait_s - gc_pause_s - model_load_s - cpu_s) AS waiting_s" + ("," if driver else ""),
    ]
    if driver:
        run = "latency_s - wait_s - gc_pause_s - model_load_s"
        lines += [
            f"  (avg({driver}) - (SELECT avg({driver}) FROM calls WHERE NOT is_now))",  # noqa: S608 - of roles
            f"    * (SELECT regr_slope({run}, {driver}) FROM calls WHERE NOT is_now) AS {driver}_adds_s",  # noqa: S608
        ]
    return "\n".join((*lines, "FROM calls", "GROUP BY is_now", "ORDER BY is_now;"))


def _named() -> tuple[str, ...]:
    """Return the names that a model may have; the others are those of single instrumentations."""
    return TEXT_ROLES["model"][:3]


def _column(name: str) -> str:
    return f'"{name}"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
