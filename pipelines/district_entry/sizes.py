"""How long the periods of an unknown file are, and how much its accounts use.

Belongs here: figures that unit and cycle are judged by. Does not belong here: judging them (``guess``).
"""

from __future__ import annotations

import datetime as dt
import itertools
import re
from collections import Counter, defaultdict
from statistics import median

from pipelines.district_entry.columns import LONGEST_PERIOD_DAYS, Roles
from pipelines.district_entry.notation import day_of
from pipelines.district_entry.unknown_file import UnknownFile


class Sizes:
    """How long periods are, and how much an account uses in 30 days, in the unit of the file."""

    def __init__(self, file: UnknownFile, roles: Roles) -> None:
        self.days: list[int] = []
        self.steps: list[float] = []
        self.months_between = 0
        self.same_period: Counter[str] = Counter()
        self._of_account: dict[str, list[tuple[float, int]]] = defaultdict(list)
        self.negative: list[tuple[int, str]] = []
        if not roles.has("account"):
            return
        if roles.months:
            self._of_months(roles)
        elif roles.gives == "register_readings":
            self._of_readings(roles)
        elif roles.has("volume") or roles.has("previous_reading"):
            self._of_rows(file, roles)

    @property
    def accounts(self) -> int:
        return len(self._of_account)

    @property
    def per_30_days(self) -> float | None:
        """Of the median account."""
        found = [
            sum(v for v, _ in rows) / days * 30
            for rows in self._of_account.values()
            if (days := sum(d for _, d in rows)) > 0
        ]
        return median(found) if found else None

    def _of_months(self, roles: Roles) -> None:
        account = roles.columns["account"].values
        for column in roles.months:
            for row, key in enumerate(account):
                value = column.number(row)
                if value is not None:
                    self._of_account[key].append((value, 30))
                    self.days.append(30)

    def _keys(self, roles: Roles) -> list[tuple[str, ...]]:
        names = [r for r in ("account", "meter", "register_id") if roles.has(r)]
        return list(zip(*(roles.columns[r].values for r in names), strict=True))

    def _of_readings(self, roles: Roles) -> None:
        if not (roles.has("read_date") and roles.date_format):
            return
        dates, reading = roles.columns["read_date"].values, roles.columns["reading"]
        by_key: dict[tuple[str, ...], list[tuple[dt.date, float]]] = defaultdict(list)
        for row, key in enumerate(self._keys(roles)):
            day, value = day_of(dates[row], roles.date_format), reading.number(row)
            if day and value is not None:
                by_key[key].append((day, value))
        for key, points in by_key.items():
            points.sort()
            for (d1, v1), (d2, v2) in itertools.pairwise(points):
                if v2 >= v1 and 0 < (d2 - d1).days <= LONGEST_PERIOD_DAYS:
                    self.days.append((d2 - d1).days)
                    self.steps.append(v2 - v1)
                    self._of_account[key[0]].append((v2 - v1, (d2 - d1).days))

    def _of_rows(self, file: UnknownFile, roles: Roles) -> None:
        volume, keys = roles.columns.get("volume") or roles.columns["reading"], self._keys(roles)
        before = roles.columns.get("previous_reading")
        multiplier = roles.columns.get("multiplier")
        if roles.has("bill_month"):
            self._months_apart(roles, keys)
        for row, key in enumerate(keys):
            value, days = volume.number(row), self._length(roles, row)
            if before is not None and value is not None:
                opening = before.number(row)
                value = value - opening if opening is not None and value >= opening else None
                self.steps += [] if value is None else [value]
            elif value is not None and value < 0:
                self.negative.append((file.rows[row][0], volume.values[row]))
            if days is not None and 0 < days <= LONGEST_PERIOD_DAYS:
                self.days.append(days)
                if value is not None:
                    times = multiplier.number(row) if multiplier else 1.0
                    self._of_account[key[0]].append((value * (times or 1.0), days))

    def _length(self, roles: Roles, row: int) -> int | None:
        if roles.has("bill_month"):
            return self.months_between * 30 or None
        if roles.has("days"):
            text = roles.columns["days"].values[row]
            return int(text) if re.fullmatch(r"[0-9]{1,3}", text) else None
        if roles.date_format and roles.has("period_start") and roles.has("period_end"):
            first = day_of(roles.columns["period_start"].values[row], roles.date_format)
            last = day_of(roles.columns["period_end"].values[row], roles.date_format)
            return (last - first).days + (roles.period_end_is == "last_day") if first and last else None
        return None

    def _months_apart(self, roles: Roles, keys: list[tuple[str, ...]]) -> None:
        by_key: dict[tuple[str, ...], set[int]] = defaultdict(set)
        for key, text in zip(keys, roles.columns["bill_month"].values, strict=True):
            if month := day_of(text, roles.bill_month_format):
                by_key[key].add(month.year * 12 + month.month)
        apart: Counter[int] = Counter()
        for months in by_key.values():
            ordered = sorted(months)
            apart.update(b - a for a, b in itertools.pairwise(ordered))
        if apart:
            times, count = apart.most_common(1)[0]
            self.months_between = times if count > 0.7 * apart.total() and times <= 12 else 0
