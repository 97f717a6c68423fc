"""The bare script's work in pandas: read the CSVs, average, rate, write."""

import sys
from pathlib import Path

import pandas as pd

folder = Path(sys.argv[1])
BEGIN, END = pd.Timestamp(2018, 11, 1), pd.Timestamp(2019, 5, 1)
text = {"district_account": "str", "meter_id": "str", "district_id": "str"}
consumption = pd.concat(
    [
        pd.read_csv(
            path, dtype=text, parse_dates=["period_start", "period_end"], date_format="%Y-%m-%d", engine="pyarrow"
        )
        for path in sorted(folder.glob("consumption_*.csv"))
    ],
    ignore_index=True,
)
links = pd.read_csv(folder / "meter_links.csv", dtype=text, parse_dates=["since", "until"], engine="pyarrow")
services = pd.read_csv(folder / "sewer_services.csv", engine="pyarrow")
consumption = consumption[(consumption.period_end > BEGIN) & (consumption.period_start < END)]
counted = consumption.merge(links, on=["district_id", "district_account", "meter_id"])
first = counted[["period_start", "since"]].max(axis=1).clip(lower=BEGIN)
after = counted[["period_end", "until"]].min(axis=1).clip(upper=END)
counted["days"] = (after - first).dt.days
counted = counted[counted.days > 0]
whole = (counted.period_end - counted.period_start).dt.days
counted["used"] = counted.volume * counted.ccf * counted.share * counted.days / whole
total = counted.groupby("service_id", as_index=False)[["used", "days"]].sum()
total = total[total.days >= 90]
total["winter_average"] = (total.used / total.days * 181 / 6).round(2)
bills = services.merge(total[["service_id", "winter_average"]], on="service_id", how="left").fillna(
    {"winter_average": 8.0}
)
bills["base"] = (bills.edu * bills.months * 30.03).round(2)
bills["use"] = (bills.winter_average * bills.months * 1.99).round(2)
bills["swm"] = (bills.esu * bills.months * 9.25).round(2)
bills["amount"] = bills.base + bills.use + bills.swm
bills.sort_values("service_id").to_csv(folder / "bills_pandas.csv", index=False)
print(len(bills), bills.amount.sum(), bills.winter_average.mean())
