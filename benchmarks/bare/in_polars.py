"""The bare script's work in Polars (lazy, streaming): read the CSVs, average, rate, write."""

import datetime as dt
import sys
from pathlib import Path

import polars as pl

folder = Path(sys.argv[1])
WINDOW = dt.date(2018, 11, 1), dt.date(2019, 5, 1)
consumption = pl.scan_csv(
    folder / "consumption_*.csv",
    schema={"district_id": pl.String, "district_account": pl.String, "meter_id": pl.String, "period_start": pl.Date, "period_end": pl.Date,
            "volume": pl.Float64, "ccf": pl.Float64},
)  # fmt: skip
links = pl.scan_csv(
    folder / "meter_links.csv",
    try_parse_dates=True,
    schema_overrides={"district_account": pl.String, "meter_id": pl.String},
)
services = pl.scan_csv(
    folder / "sewer_services.csv", schema_overrides={"service_id": pl.String, "account_id": pl.String}
)
first = pl.max_horizontal("period_start", "since", pl.lit(WINDOW[0]))
after = pl.min_horizontal("period_end", "until", pl.lit(WINDOW[1]))
counted = (
    consumption.join(links, on=["district_id", "district_account", "meter_id"])
    .with_columns(first=first, after=after)
    .filter(pl.col("after") > pl.col("first"))
    .with_columns(
        days=(pl.col("after") - pl.col("first")).dt.total_days(),
        whole=(pl.col("period_end") - pl.col("period_start")).dt.total_days(),
    )
)
averages = (
    counted.group_by("service_id")
    .agg(
        used=(pl.col("volume") * pl.col("ccf") * pl.col("share") * pl.col("days") / pl.col("whole")).sum(),
        days=pl.col("days").sum(),
    )
    .filter(pl.col("days") >= 90)
    .select("service_id", winter_average=(pl.col("used") / pl.col("days") * 181 / 6).round(2))
)
bills = (
    services.join(averages, on="service_id", how="left")
    .with_columns(winter_average=pl.col("winter_average").fill_null(8.0))
    .with_columns(
        base=(pl.col("edu") * pl.col("months") * 30.03).round(2),
        use=(pl.col("winter_average") * pl.col("months") * 1.99).round(2),
        swm=(pl.col("esu") * pl.col("months") * 9.25).round(2),
    )
    .with_columns(amount=pl.col("base") + pl.col("use") + pl.col("swm"))
    .sort("service_id")
    .collect(engine="streaming")
)
bills.write_csv(folder / "bills_polars.csv")
print(bills.height, bills["amount"].sum(), bills["winter_average"].mean())
