"""The annual update as a bare script: read the CSVs, average, rate, write. No check, no reason, nobody is told anything.

    python in_duckdb.py FOLDER [MEMORY]

Belongs here: what the whole pipeline is measured against. Reads consumption_*.csv, meter_links.csv and sewer_services.csv in FOLDER
(``plain.py`` writes them), writes bills.csv and bills.duckdb there.
"""

import sys
from pathlib import Path

import duckdb

folder = Path(sys.argv[1])
database = folder / "bills.duckdb"
database.unlink(missing_ok=True)
con = duckdb.connect(str(database))
memory = sys.argv[2] if len(sys.argv) > 2 else "4GB"
con.execute(f"SET threads = 2; SET memory_limit = '{memory}'")
con.execute(
    f"""
    CREATE VIEW consumption AS FROM read_csv('{folder}/consumption_*.csv', header = true, auto_detect = false, columns = {{
        'district_id': 'VARCHAR', 'district_account': 'VARCHAR', 'meter_id': 'VARCHAR', 'period_start': 'DATE', 'period_end': 'DATE',
        'volume': 'DECIMAL(18, 3)', 'ccf': 'DOUBLE'}})
    """
)
con.execute(
    f"CREATE VIEW links AS FROM read_csv('{folder}/meter_links.csv', header = true, types = {{'district_account': 'VARCHAR', 'meter_id': 'VARCHAR'}})"
)
con.execute(f"CREATE VIEW services AS FROM read_csv('{folder}/sewer_services.csv', header = true)")
con.execute(
    """
    CREATE TABLE bills AS
    WITH counted AS (
        SELECT service_id, greatest(period_start, since, DATE '2018-11-01') AS first, least(period_end, until, DATE '2019-05-01') AS after,
               volume * ccf * share * (least(period_end, until, DATE '2019-05-01') - greatest(period_start, since, DATE '2018-11-01'))
               / (period_end - period_start) AS used
        FROM consumption JOIN links USING (district_id, district_account, meter_id)
        WHERE period_end > greatest(since, DATE '2018-11-01') AND period_start < least(until, DATE '2019-05-01')
    ), averages AS (
        SELECT service_id, round(sum(used) / sum(after - first) * 181 / 6, 2) AS winter_average FROM counted GROUP BY ALL HAVING sum(after - first) >= 90
    )
    SELECT service_id, account_id, coalesce(winter_average, 8) AS winter_average,
           round(edu * months * 30.03, 2) AS base, round(coalesce(winter_average, 8) * months * 1.99, 2) AS use, round(esu * months * 9.25, 2) AS swm,
           round(edu * months * 30.03, 2) + round(coalesce(winter_average, 8) * months * 1.99, 2) + round(esu * months * 9.25, 2) AS amount
    FROM services LEFT JOIN averages USING (service_id)
    """
)
con.execute(f"COPY (FROM bills ORDER BY service_id) TO '{folder}/bills.csv' (HEADER)")
print(con.execute("SELECT count(*), sum(amount), avg(winter_average) FROM bills").fetchone())
