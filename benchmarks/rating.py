"""Rating measured: does a second rating agree on a million lines, and how fast are lines made.

Writes ``rating.md`` beside itself. Run by ``make bench``; nothing here is a test, figures differ from machine to machine.
"""

from __future__ import annotations

import os
import sys
import time
from decimal import Decimal
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import duckdb
import ibis
import pyarrow as pa
import yaml

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

from decimal_rating import Lacking, Line, Service, bill  # noqa: E402

from rate_tables.charging import STRENGTH_COLUMNS, charge_lines, held_reasons  # noqa: E402
from rate_tables.schedule import SHIPPED, load_schedule  # noqa: E402
from rate_tables.terms import MONTHS_PER_BILL  # noqa: E402

LINES_TO_AGREE_ON = 1_000_000
TIMED_SERVICES = 1_000_000
TIMES = 5
CLASSES = ["single_family", "commercial"]


def services(number: int, seed: int) -> list[Service]:
    random = Random(seed)  # noqa: S311 - invented customers
    return [
        {
            "customer_class": random.choice(CLASSES), "jurisdiction": "Sherwood", "billing_frequency": random.choice(list(MONTHS_PER_BILL)),
            "edu": Decimal(random.randrange(1, 50_000)) / 1000, "esu": Decimal(random.randrange(1, 50_000)) / 1000,
            "volume": Decimal(random.randrange(0, 2_000_000)) / 1000, "bears_account_charges": True,
            "bod": None, "cod": None, "tss": None,
        }
        for _ in range(number)
    ]  # fmt: skip


def table_of(rows: list[Service]) -> pa.Table:
    columns: dict[str, Any] = {"service_id": [str(n) for n in range(len(rows))]}
    columns |= {name: [r[name] for r in rows] for name in ("customer_class", "jurisdiction", "billing_frequency")}
    columns |= {f"{name}_thousandths": [int(r[name] * 1000) for r in rows] for name in ("edu", "esu")}
    columns["bill_volume_thousandths"] = [
        int(r["volume"] * 1000) * MONTHS_PER_BILL[r["billing_frequency"]] for r in rows
    ]
    columns["bears_account_charges"] = [True] * len(rows)
    columns |= {column: pa.nulls(len(rows), pa.int64()) for column in STRENGTH_COLUMNS}
    return pa.table(columns)


def agree(con: Any, path: Path, most_lines: int) -> tuple[int, int]:
    """Lines compared with the second rating, and lines that differ."""
    loaded, plain = load_schedule(path), yaml.safe_load(path.read_text(encoding="utf-8"))
    compared = differing = seed = 0
    while compared < most_lines:
        rows = services(20_000, seed)
        seed += 1
        table = ibis.memtable(table_of(rows))
        held = {int(i) for i in con.to_pyarrow(held_reasons(table, loaded, "ccf"))["service_id"].to_pylist()}
        found: dict[int, dict[tuple[str, int], Line]] = {}
        for line in con.to_pyarrow(charge_lines(table, loaded, "ccf")).to_pylist():
            found.setdefault(int(line["service_id"]), {})[line["charge_code"], line["tier"]] = Line(
                Decimal(line["quantity_thousandths"]) / 1000, Decimal(line["rate_ten_thousandths"]) / 10_000,
                *(Decimal(line[f"{name}amount_cents"]) / 100 for name in ("", "regional_", "local_")),
            )  # fmt: skip
        for number, one in enumerate(rows):
            try:
                expected = bill(plain, one, "ccf")
            except Lacking:
                differing += number not in held
                continue
            lines = found.get(number, {})
            compared += len(expected)
            differing += sum(lines.get(key) != line for key, line in expected.items()) + len(
                lines.keys() - expected.keys()
            )
    return compared, differing


def seconds(what: Any) -> float:
    """Median of a few runs, after one that is not counted."""
    what()
    taken = []
    for _ in range(TIMES):
        begun = time.perf_counter()
        what()
        taken.append(time.perf_counter() - begun)
    return median(taken)


PLAIN = """
SELECT sum(base + use + swm) FROM (
    SELECT service_id,
           round(edu_thousandths * months * 300300 / 100000.0) AS base,
           round(bill_volume_thousandths * 19900 / 100000.0) AS use,
           round(esu_thousandths * months * 92500 / 100000.0) AS swm
    FROM (SELECT *, CASE billing_frequency WHEN 'monthly' THEN 1 WHEN 'two_monthly' THEN 2 WHEN 'quarterly' THEN 3
                         WHEN 'half_yearly' THEN 6 ELSE 12 END AS months FROM customers))
"""


def main() -> None:
    con: Any = ibis.duckdb.connect()
    cws, sherwood = SHIPPED / "clean_water_services" / "2019-07-01.yaml", SHIPPED / "sherwood" / "2023-07-01.yaml"
    begun = time.perf_counter()
    results = [agree(con, path, LINES_TO_AGREE_ON // 2) for path in (cws, sherwood)]
    compared, differing = (sum(r[i] for r in results) for i in (0, 1))
    agreed_in = time.perf_counter() - begun

    con.create_table("few", table_of(services(TIMED_SERVICES // 10, 1)))
    con.raw_sql(
        "CREATE TABLE customers AS SELECT * REPLACE (service_id || '-' || n AS service_id) FROM few, range(10) AS r(n)"
    )
    customers, loaded = con.table("customers"), load_schedule(cws)
    lines = TIMED_SERVICES * len(loaded.schedule.charges)
    rated = charge_lines(customers, loaded, "ccf")
    write = seconds(lambda: con.create_table("lines", rated, overwrite=True))
    summed = seconds(lambda: con.to_pyarrow(rated.amount_cents.sum()))
    plain = seconds(lambda: con.raw_sql(PLAIN).fetchall())
    same = int(con.to_pyarrow(rated.amount_cents.sum()).as_py()) == int(con.raw_sql(PLAIN).fetchone()[0])

    text = f"""# Rating, measured

Made by `make bench` on {os.cpu_count()} processor cores, Python {sys.version.split()[0]}, DuckDB {duckdb.__version__}, Ibis {ibis.__version__}.

**A second rating, on decimals alone and from the text of the schedule, differs on {differing:,} of {compared:,} generated lines**
(schedules of Clean Water Services 2019-20 and Sherwood 2023-24; quantity, rate, amount and both shares; {agreed_in:.0f} s).

Speed, {TIMED_SERVICES:,} services with three charges each, {lines:,} lines, median of {TIMES} runs:

| what | seconds | lines a second |
|---|---:|---:|
| lines of the bills, written with quantity, rate, amount, both shares and the schedule's file | {write:.2f} | {lines / write:,.0f} |
| the same lines, only their amounts added | {summed:.2f} | {lines / summed:,.0f} |
| a plain DuckDB query that multiplies, rounds and adds the same numbers | {plain:.2f} | {lines / plain:,.0f} |

The totals of the last two are {"the same" if same else "NOT the same: the plain query computes with binary fractions"}.
"""
    (HERE / "rating.md").write_text(text, encoding="utf-8")
    print(text)
    sys.exit(differing > 0)


if __name__ == "__main__":
    main()
