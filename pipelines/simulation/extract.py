"""What the CIS says: the yearly extract of services, links, non-sewer accounts and averages, and staff's adjustments.

Belongs here: the columns of those files as of 1 June of a billing year.
Does not belong here: who is there (``population``), what they use (``usage``).
"""

from __future__ import annotations

from collections.abc import Hashable
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from pipelines.simulation.lines import (
    FAR,
    Field,
    Floats,
    Ints,
    date_of,
    day,
    whole_file,
    write_lines,
)
from pipelines.simulation.population import CLASSES, NON_SEWER, Population, as_of, links_known
from pipelines.simulation.usage import Periods, ServicesPresent, delivered_decimals
from validations.district import RegisterReadings

_FILES = {
    "sewer_services": "service_id,account_id,premise_id,customer_class,dwelling_units,edu,esu,jurisdiction,"
    "billing_agency,billing_frequency,status,service_start,service_end,occupant_since,volume_source",
    "meter_links": "service_id,district_id,district_account,meter_id,purpose,share,link_start,link_end",
    "non_sewer_accounts": "district_id,district_account,reason",
    "current_averages": "service_id,winter_average,volume_unit,effective_date",
}
_ADJUSTMENTS = (
    "adjustment_id,service_id,district_id,district_account,meter_id,period_start,period_end,kind,method,volume,less_volume,"
    "volume_unit,share,bills,reached_sewer,linked_to,expires_on,reason,document,entered_by,approved_by"
)
_TRUTH = "service_id,scenario,district_id,district_account,detail"


class Rollover(NamedTuple):
    """A register that went round: whose, and when it was read."""

    service_id: str
    district_account: str
    detail: str


class YearFiles:
    """The files of one billing year, open while the districts add their parts; they appear when all have."""

    def __init__(self, folder: Path, billing_year: int, stack: ExitStack) -> None:
        self.billing_year = billing_year
        paths = {name: folder / "cis_extract" / str(billing_year) / f"{name}.csv" for name in _FILES}
        paths |= {name: folder / name / f"{billing_year}.csv" for name in ("adjustments", "truth")}
        paths["as_of"] = folder / "cis_extract" / str(billing_year) / "as_of.txt"
        self._files: dict[str, BinaryIO] = {name: stack.enter_context(whole_file(path)) for name, path in paths.items()}
        for name, header in {**_FILES, "adjustments": _ADJUSTMENTS, "truth": _TRUTH}.items():
            self._files[name].write(f"{header}\n".encode())
        self._files["as_of"].write(f"{date_of(as_of(billing_year))}\n".encode())
        self._adjusted = 0

    def add(
        self, population: Population, periods: Periods, prior_average: Floats, inactive: dict[int, int]
    ) -> list[Rollover]:
        """Add one district: its services, links, accounts, averages, adjustments, and what was played there.

        ``inactive``: rows of services that it calls inactive without reason, and the day of their end (``FAR``: suspended).
        Returns the registers that went round.
        """
        rows = present_services(population, self.billing_year)
        self._services(population, rows, inactive)
        self._links(population)
        self._non_sewer(population)
        self._averages(population, rows, prior_average)
        self._adjustments(population, periods)
        rollovers = _rollovers(population, periods)
        self._truth(population, rows, rollovers)
        return rollovers

    def _write(self, name: str, fields: list[Field]) -> None:
        if len(fields[0].codes):
            write_lines(self._files[name], fields, ",")

    def _services(self, population: Population, rows: Ints, inactive: dict[int, int]) -> None:
        taken = as_of(self.billing_year)
        at = population.services.iloc[rows]
        said = services_said(population, self.billing_year, inactive)
        changed = at["change_year"].to_numpy() <= self.billing_year
        classes = np.where(changed, at["next_class"], at["class"])
        moved = at["next_occupant_since"].to_numpy() <= taken
        end = said.end[rows]
        suspended = at["suspended"].to_numpy() | np.isin(rows, [row for row, day_ in inactive.items() if day_ == FAR])
        status = np.where(end < FAR, "closed", np.where(suspended, "suspended", "active"))
        self._write("sewer_services", [
            Field.of_texts(at["service_id"].tolist()),
            Field.of_texts([f"A{text[1:]}-{turn}" for text, turn in zip(at["service_id"], 1 + moved, strict=True)]),
            Field.of_texts([f"P{text[1:]}" for text in at["service_id"]]),
            Field(CLASSES, classes),
            Field.of_numbers(at["dwelling_units"].to_numpy()),
            Field.of_numbers(np.where(changed, at["next_edu_thousandths"], at["edu_thousandths"]), 3, short=True),
            Field.of_numbers(at["esu_hundredths"].to_numpy(), 2, short=True),
            Field.of_few(at["jurisdiction"]),
            Field.of_few(at["billing_agency"]),
            Field.of_few(at["billing_frequency"]),
            Field.of_few(status),
            Field.of_days(at["start"].to_numpy()),
            Field.of_days(end),
            Field.of_days(said.occupant_since[rows]),
            Field.of_few(at["volume_source"]),
        ])  # fmt: skip

    def _links(self, population: Population) -> None:
        taken, links = as_of(self.billing_year), links_known(population, self.billing_year)
        known = (links["start"] <= taken) & (links["end"] > day(self.billing_year - 1, 5, 1))
        at = links[known]
        meters = population.meters.iloc[at["meter"].to_numpy()]
        end = at["end"].to_numpy()
        self._write("meter_links", [
            Field.of_texts(at["service_id"].tolist()),
            Field.of_few([population.entry.district] * len(at)),
            Field.of_texts(meters["account"].tolist()),
            Field.of_texts(meters["meter_id"].tolist()),
            Field.of_few(at["purpose"]),
            Field.of_numbers(at["share_millionths"].to_numpy(), 6, short=True),
            Field.of_days(at["start"].to_numpy()),
            Field.of_days(np.where(end <= taken, end, FAR)),
        ])  # fmt: skip

    def _non_sewer(self, population: Population) -> None:
        at = population.meters[population.meters["role"] == NON_SEWER]
        self._write("non_sewer_accounts", [
            Field.of_few([population.entry.district] * len(at)),
            Field.of_texts(at["account"].tolist()),
            Field.of_few(at["non_sewer_reason"]),
        ])  # fmt: skip

    def _averages(self, population: Population, present: Ints, prior_average: Floats) -> None:
        in_force = day(self.billing_year - 1, 7, 1)
        services = population.services
        rows = present[~np.isnan(prior_average[present]) & (services["start"].to_numpy()[present] < in_force)]
        self._write("current_averages", [
            Field.of_texts(services["service_id"].iloc[rows].tolist()),
            Field.of_numbers(np.rint(prior_average[rows] * 100).astype(np.int64), 2),
            Field.of_few(["ccf"] * len(rows)),
            Field.of_days(np.full(len(rows), in_force)),
        ])  # fmt: skip

    def _adjustments(self, population: Population, periods: Periods) -> None:
        rows = periods.leaks
        meters = population.meters.iloc[periods.meter[rows]]
        numbers = range(self._adjusted + 1, self._adjusted + 1 + len(rows))
        self._adjusted += len(rows)
        entry, year = population.entry, self.billing_year
        self._write("adjustments", [
            Field.of_texts([f"ADJ-{year}-{number:04d}" for number in numbers]),
            Field.of_texts(population.services["service_id"].iloc[meters["owner"].to_numpy()].tolist()),
            Field.of_few([entry.district] * len(rows)),
            Field.of_texts(meters["account"].tolist()),
            Field.of_texts(meters["meter_id"].tolist()),
            Field.of_days(periods.start[rows]),
            Field.of_days(periods.end[rows]),
            Field.of_few(["leak"] * len(rows)),
            Field.of_few(["volume"] * len(rows)),
            Field.of_numbers(periods.without_leak, delivered_decimals(entry)),
            Field.of_few([""] * len(rows)),
            Field.of_few([entry.volume.unit] * len(rows)),
            *(Field.of_few([""] * len(rows)) for _ in range(2)),
            Field.of_few(["no"] * len(rows)),
            *(Field.of_few([""] * len(rows)) for _ in range(2)),
            Field.of_few(["leak in the service line, repaired"] * len(rows)),
            Field.of_texts([f"LR-{year}-{number:04d}" for number in numbers]),
            Field.of_few(["Clerk One"] * len(rows)),
            Field.of_few(["Reviewer One"] * len(rows)),
        ])  # fmt: skip

    def _truth(self, population: Population, present: Ints, rollovers: list[Rollover]) -> None:
        services, meters, year = population.services, population.meters, self.billing_year
        account = np.full(len(services), "", dtype=object)
        own = population.links[population.links["service"] >= 0]
        account[own["service"].to_numpy()] = meters["account"].to_numpy(dtype=object)[own["meter"].to_numpy()]
        at = services.iloc[present]
        # A register goes round when it must, so what was cast for it counts only where it did.
        plays = (at["scenario"] != "") & (at["scenario"] != "rollover") & at["scenario_year"].isin([0, year])
        played = at[plays]
        lines = [
            (service, scenario, account[row], _detail(scenario, service_row))
            for row, (service, scenario), service_row in zip(
                present[plays], zip(played["service_id"], played["scenario"], strict=True),
                played.to_dict("records"), strict=True,
            )
        ]  # fmt: skip
        lines += [(one.service_id, "rollover", one.district_account, one.detail) for one in rollovers]
        district = population.entry.district
        lines += [("", NON_SEWER, text, "") for text in meters["account"][meters["role"] == NON_SEWER]]
        for service_id, scenario, text, detail in lines:
            self._files["truth"].write(f"{service_id},{scenario},{district},{text},{detail}\n".encode())


def _rollovers(population: Population, periods: Periods) -> list[Rollover]:
    """Registers of services' meters that went round."""
    services, meters, measure = population.services, population.meters, population.entry.measure
    rows = np.zeros(0, dtype=np.int64)
    if isinstance(measure, RegisterReadings):
        size = 10**measure.dials * periods.multiplier
        rows = np.flatnonzero(periods.closing // size > (periods.closing - periods.billed) // size)
    rows = rows[meters["owner"].to_numpy()[periods.meter[rows]] >= 0]
    at = meters.iloc[periods.meter[rows]]
    service_ids = services["service_id"].to_numpy(dtype=object)[at["owner"].to_numpy()]
    return [
        Rollover(str(service_id), str(account), f"read on {date_of(end)}")
        for service_id, account, end in zip(service_ids, at["account"], periods.end[rows], strict=True)
    ]


def services_said(population: Population, billing_year: int, inactive: dict[int, int]) -> ServicesPresent:
    """What the extract of a year says of occupants and ends; ``inactive`` as for ``YearFiles.add``."""
    taken, services = as_of(billing_year), population.services
    moved = services["next_occupant_since"].to_numpy() <= taken
    since = np.where(moved, services["next_occupant_since"], services["occupant_since"])
    end = services["end"].to_numpy().copy()
    end = np.where(end <= taken, end, FAR)
    for row, closed_on in inactive.items():
        end[row] = closed_on
    return ServicesPresent(np.where(since <= taken, since, FAR), end)


def present_services(population: Population, billing_year: int) -> Ints:
    """Rows of the services that are in the extract: begun by then, not ended before the last extract."""
    services = population.services
    begun = services["start"] <= as_of(billing_year)
    return np.flatnonzero(begun & (services["end"] > as_of(billing_year - 1)))


def _detail(scenario: str, service: dict[Hashable, object]) -> str:
    """The day on which the scenario turns, where it has one."""
    column = {
        "new_service": "start", "new_commercial_no_history": "start", "finaled_service": "end",
        "builder_low_winter": "occupant_since", "new_occupant": "next_occupant_since",
    }.get(scenario)  # fmt: skip
    return date_of(int(str(service[column]))).isoformat() if column else ""
