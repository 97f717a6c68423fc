"""The CIS extract: sewer services, meter links, known non-sewer accounts, the averages billed now, measured strengths.

Belongs here: taking the extract in, assigning services to slices, what changed since last year's extract.
Does not belong here: consumption, matching (``service_consumption``).

A front door like the districts': it takes files in. The extract of the year before enters in one place,
``extract_changes``.
"""

import datetime as dt
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import dagster as dg
import ibis
import ibis.expr.types as ir

from assets.deliveries import content_hash_of
from assets.readers.office_sheet import OfficeSheet, read_office_sheet
from assets.readers.sheet import UnreadableFile
from assets.stage import (
    Making,
    Session,
    Slice,
    asset_out,
    version_of,
    year_version,
    years_of,
)
from assets.store import WHOLE
from rate_tables.config_file import ConfigError
from rate_tables.looked_up import looked_up
from validations.contract import Contract
from validations.tables import (
    CIS,
    CURRENT_AVERAGES,
    EXTRACT_CHANGES,
    METER_LINKS,
    NO_DISTRICT,
    NON_SEWER_ACCOUNTS,
    REJECTED_ROWS,
    SEVERAL_DISTRICTS,
    SEWER_SERVICES,
    STRENGTHS,
)
from validations.workspace import Workspace, Year

NEVER = dt.date(9999, 12, 31)

_SHEETS: dict[Contract, tuple[str, ...]] = {
    SEWER_SERVICES: ("bears_account_charges", "slice_id"),
    METER_LINKS: ("share_from_millionths", "slice_id"),
    NON_SEWER_ACCOUNTS: (),
    CURRENT_AVERAGES: (),
    STRENGTHS: (),
}
"""Sheets of the extract, and the columns of their tables that are made here."""
_OPTIONAL = (STRENGTHS,)
"""Sheets that a utility without such customers does not export."""


def links_of_winter(meter_links: ir.Table, year: Year) -> ir.Table:
    """Links that hold on some day whose use can count in the year's averages."""
    first_day, day_after = (ibis.literal(day) for day in year.use_dates)
    return meter_links.filter(
        (meter_links.link_start < day_after) & (meter_links.link_end.isnull() | (meter_links.link_end > first_day))
    )


def with_slices(services: ir.Table, meter_links: ir.Table, year: Year) -> ir.Table:
    """Services with ``slice_id``: the one district that measures them in the winter, several, or none."""
    districts = (
        links_of_winter(meter_links, year)
        .group_by("service_id")
        .agg(count=ibis._.district_id.nunique(), one=ibis._.district_id.min())
    )
    found = looked_up(services, districts, "service_id", "count", "one")
    return found.select(
        *services.columns,
        slice_id=ibis.cases(
            (found["count"].isnull(), NO_DISTRICT), (found["count"] > 1, SEVERAL_DISTRICTS), else_=found.one
        ),
    )


def with_account_charges(services: ir.Table, year: Year) -> ir.Table:
    """Services with ``bears_account_charges``: true for one service of each account.

    It is the first by id of those that are billed; a closed one, or one billed by agreement, only where there is no other.
    """
    ends = services.service_end.fill_null(ibis.literal(NEVER)) <= ibis.literal(year.effective)
    is_unbilled = (services.status == "closed") | ends | (services.volume_source == "wholesale")
    place = ibis.row_number().over(
        ibis.window(group_by=services.account_id, order_by=[is_unbilled, services.service_id])
    )
    return services.mutate(bears_account_charges=place == 0)


def with_shares_in_line(meter_links: ir.Table) -> ir.Table:
    """Links with ``share_from_millionths``: shares of one meter and purpose laid end to end.

    A volume is then cut at the ends of the shares, and the parts add to it whatever the rounding.
    """
    before = ibis.window(
        group_by=["district_id", "district_account", "meter_id", "purpose"],
        order_by=["link_start", "service_id"],
        preceding=(None, 1),
    )
    return meter_links.mutate(share_from_millionths=meter_links.share_millionths.sum().over(before).fill_null(0))


def extract_changes(services: ir.Table, links: ir.Table, services_before: ir.Table, links_before: ir.Table) -> ir.Table:
    """What changed since last year's extract: new, gone, closed, occupant, class, EDU, meter links."""

    def described(table: ir.Table, meter_links: ir.Table, suffix: str) -> ir.Table:
        meters = meter_links.mutate(
            text=meter_links.district_id + " " + meter_links.district_account + " " + meter_links.meter_id + " "
            + meter_links.purpose + " " + meter_links.share_millionths.cast("string")
        )  # fmt: skip
        linked = meters.group_by("service_id").agg(links=meters.text.group_concat("; ", order_by=meters.text))
        found = looked_up(table, linked, "service_id", "links")
        columns = {
            "status": found.status,
            "occupant": found.occupant_since.cast("string").fill_null("none"),
            "customer_class": found.customer_class,
            "edu": found.edu_thousandths.cast("string"),
            "meter_links": found.links.fill_null("none"),
        }
        return found.select(
            **{f"service_id{suffix}": found.service_id}, **{f"{name}{suffix}": value for name, value in columns.items()}
        )

    now, then = described(services, links, ""), described(services_before, links_before, "_then")
    both = now.outer_join(then, now.service_id == then.service_id_then)
    both = both.mutate(service=ibis.coalesce(both.service_id, both.service_id_then))

    def change(kind: str, where: ir.BooleanValue, before: ir.StringValue, after: ir.StringValue) -> ir.Table:
        return both.filter(where.fill_null(False)).select(
            service_id=ibis._.service,
            change=ibis.literal(kind),
            last_year=before.fill_null(""),
            this_year=after.fill_null(""),
        )

    was_closed, is_closed = both.status_then == "closed", both.status == "closed"
    parts = [
        change("new", both.service_id_then.isnull(), ibis.literal(""), both.customer_class),
        change("gone", both.service_id.isnull(), both.customer_class_then, ibis.literal("")),
        change("closed", is_closed & ~was_closed, both.status_then, both.status),
        *(
            change(name, both[name] != both[f"{name}_then"], both[f"{name}_then"], both[name])
            for name in ("occupant", "customer_class", "edu", "meter_links")
        ),
    ]
    return EXTRACT_CHANGES.conform(ibis.union(*parts))


class Extract:
    """The extract of one year, read when one of its tables is first asked for.

    Errors: ConfigError naming the sheet that is missing or has not the columns it should.
    """

    def __init__(self, session: Session, year: Year) -> None:
        self._session, self._year = session, year
        self._folder = session.workspace.cis_extract(year.billing_year)

    def path(self, contract: Contract) -> Path:
        return self._folder / f"{contract.name}.csv"

    def is_there(self) -> bool:
        return self.path(SEWER_SERVICES).exists()

    def version(self) -> str:
        sheets = (content_hash_of(self.path(c)) for c in _SHEETS if self.path(c).exists())
        return version_of(*self._session.workspace.districts, *sheets)

    @cached_property
    def _sheets(self) -> dict[str, OfficeSheet]:
        sheets = {}
        for contract, made_later in _SHEETS.items():
            shown = f"cis_extract/{self._year.billing_year}/{contract.name}.csv"
            if not self.path(contract).exists():
                if contract in _OPTIONAL:
                    sheets[contract.name] = OfficeSheet(contract.empty(), REJECTED_ROWS.empty())
                    continue
                raise ConfigError(f"{shown}: the file does not exist; export it from the CIS and run again.")
            try:
                sheets[contract.name] = read_office_sheet(
                    self._session.store.con, self.path(contract), shown, CIS, contract, made_later,
                    self._session.workspace.work / "scratch", self._session.workspace.districts,
                )  # fmt: skip
            except UnreadableFile as error:
                raise ConfigError(f"{shown}: {error}.") from None
        return sheets

    @property
    def sewer_services(self) -> ir.Table:
        services = with_account_charges(self._sheets["sewer_services"].rows, self._year)
        return with_slices(services, self._sheets["meter_links"].rows, self._year)

    @property
    def meter_links(self) -> ir.Table:
        links, services = with_shares_in_line(self._sheets["meter_links"].rows), self.sewer_services
        found = looked_up(links, services, "service_id", "slice_id")
        return found.mutate(slice_id=found.slice_id.fill_null(NO_DISTRICT))

    @property
    def non_sewer_accounts(self) -> ir.Table:
        return self._sheets["non_sewer_accounts"].rows

    @property
    def current_averages(self) -> ir.Table:
        return self._sheets["current_averages"].rows

    @property
    def strengths(self) -> ir.Table:
        return self._sheets["strengths"].rows

    @property
    def rejected_rows(self) -> ir.Table:
        return ibis.union(*(sheet.rejected for sheet in self._sheets.values()))


_OUTPUTS: dict[str, tuple[Contract, str]] = {
    "sewer_services": (SEWER_SERVICES, "Every sewer service that the CIS knows"),
    "meter_links": (METER_LINKS, "Which meter serves which service, when, for what and to which share"),
    "non_sewer_accounts": (NON_SEWER_ACCOUNTS, "District accounts that are known to have no sewer"),
    "current_averages": (CURRENT_AVERAGES, "What the CIS bills from now: the prior average of this update"),
    "strengths": (STRENGTHS, "Measured strengths of waste, for charges per pound"),
    "extract_changes": (EXTRACT_CHANGES, "What changed since last year's extract, for a person to look through"),
    "cis_rejected_rows": (REJECTED_ROWS, "Rows of the extract that cannot be used, and why"),
}


def cis_extract_assets(workspace: Workspace) -> dg.AssetsDefinition:
    """The Dagster assets of the CIS extract."""

    def out(name: str) -> dg.AssetOut:
        contract, text = _OUTPUTS[name]
        if contract is REJECTED_ROWS:
            return asset_out(contract, workspace, CIS, "delivery_details", text)
        return asset_out(contract, workspace, None, "cis_extract", text)

    @dg.multi_asset(
        name="cis_extract",
        outs={name: out(name) for name in _OUTPUTS},
        partitions_def=years_of(workspace),
        required_resource_keys={"session"},
    )
    def _cis_extract(context: dg.AssetExecutionContext) -> Iterator[dg.Output[Making]]:
        session: Session = context.resources.session
        year = session.workspace.year(int(context.partition_key))
        extract = Extract(session, year)
        if not extract.is_there():
            raise dg.Failure(
                f"cis_extract/{year.billing_year}/sewer_services.csv does not exist; export the CIS extract of billing year "
                f"{year.billing_year} into that folder and run again.",
                allow_retries=False,
            )
        before = None
        if year.billing_year - 1 in session.workspace.file.billing_years:
            last_year = Extract(session, session.workspace.year(year.billing_year - 1))
            before = last_year if last_year.is_there() else None

        def changes() -> ir.Table:
            if before is None:
                return EXTRACT_CHANGES.empty()
            return extract_changes(
                extract.sewer_services, extract.meter_links, before.sewer_services, before.meter_links
            )

        made = {"extract_changes": changes, "cis_rejected_rows": lambda: extract.rejected_rows}
        version = version_of(
            "cis_extract", year_version(year), extract.version(), before.version() if before else "none"
        )
        for name, (contract, _) in _OUTPUTS.items():
            make = made.get(name, lambda name=name: getattr(extract, name))  # type: ignore[misc]
            slice_id = CIS if contract is REJECTED_ROWS else WHOLE
            yield dg.Output(Making(contract, year.billing_year, {slice_id: Slice(version, make)}), output_name=name)

    return _cis_extract
