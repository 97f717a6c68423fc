"""A year of a workspace as plain CSV files: what a bare script would wish for.

    python plain.py WORKSPACE YEAR FOLDER

Belongs here: the very rows that the annual update found to count, already in one layout, one notation and matched with services, so that
a bare script has nothing to do but to read, average, rate and write.
"""

import sys
from pathlib import Path

import duckdb

from rate_tables.volume_units import SIZE_8NL

_METER = "coalesce(nullif(meter_id, ''), '-') AS meter_id"
"""An empty cell would be no text to some readers and a missing one to others."""


def export(workspace: Path, billing_year: int, folder: Path) -> int:
    """Write consumption_*.csv (a file per district), meter_links.csv and sewer_services.csv. Returns rows of consumption."""
    folder.mkdir(parents=True, exist_ok=True)
    con = duckdb.connect(str(workspace / "work" / "billing.duckdb"), read_only=True)
    year = {"year": billing_year}
    ccf = " ".join(f"WHEN '{unit}' THEN {size / SIZE_8NL['ccf']!r}" for unit, size in SIZE_8NL.items())
    districts = con.execute("SELECT DISTINCT district_id FROM consumption WHERE billing_year = $year", year).fetchall()
    for (district,) in districts:
        rows = con.sql(
            f"SELECT district_id, district_account, {_METER}, period_start, period_end, billed_volume AS volume, CASE volume_unit {ccf} END AS ccf "
            "FROM consumption WHERE billing_year = $year AND district_id = $district",
            params={**year, "district": district},
        )
        rows.write_csv(str(folder / f"consumption_{district}.csv"), header=True)
    con.sql(
        f"SELECT service_id, district_id, district_account, {_METER}, share_to - share_from AS share, greatest(link_start, occupant_since) AS since, "
        "link_end AS until FROM service_consumption JOIN sewer_services USING (billing_year, service_id) "
        "WHERE billing_year = $year AND purpose = 'domestic' AND link_end > occupant_since",
        params=year,
    ).write_csv(str(folder / "meter_links.csv"), header=True)
    con.sql(
        "SELECT service_id, account_id, edu, esu, CASE billing_frequency WHEN 'monthly' THEN 1 WHEN 'two_monthly' THEN 2 ELSE 3 END AS months "
        "FROM sewer_services WHERE billing_year = $year",
        params=year,
    ).write_csv(str(folder / "sewer_services.csv"), header=True)
    counted = con.execute("SELECT count(*) FROM consumption WHERE billing_year = $year", year).fetchone()
    return int(counted[0]) if counted else 0


if __name__ == "__main__":
    print(export(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])))
