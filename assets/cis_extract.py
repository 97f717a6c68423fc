"""The CIS extract: sewer services, meter links, known non-sewer accounts, the averages billed now, measured strengths,
receivables.

Belongs here: taking the extract in, assigning services to slices, what changed since last year's extract and since the one before.
Does not belong here: consumption, matching (``service_consumption``), whether the extract is too old (``validations.gate``).

A front door like the districts': it takes files in, and keeps each extract that it has read under the hash of its content. The
extract of the year before enters in one place, ``extract_changes``.
"""

import datetime as dt
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property, reduce
from operator import and_
from pathlib import Path

import dagster as dg
import ibis
import ibis.expr.types as ir

from assets.kept import kept
from assets.pulling.archive import Taken, archived, content_hash_of, keep
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
    CIS_EXTRACTS,
    CURRENT_AVERAGES,
    EXTRACT_CHANGES,
    EXTRACT_REFRESH,
    METER_LINKS,
    NO_DISTRICT,
    NON_SEWER_ACCOUNTS,
    RECEIVABLES,
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
    RECEIVABLES: (),
}
"""Sheets of the extract, and the columns of their tables that are made here."""
_OPTIONAL = (STRENGTHS, RECEIVABLES)
"""Sheets that a utility without such customers, or that does not ask about debts, does not export."""


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
    bearers = services.group_by("account_id").agg(
        bearer=ibis.coalesce(services.service_id.min(where=~is_unbilled), services.service_id.min())
    )
    found = looked_up(services, bearers, "account_id", "bearer")
    return found.select(*services.columns, bears_account_charges=found.service_id == found.bearer)


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


def _differing(now: ir.Table, then: ir.Table, key: tuple[str, ...], *compared: str) -> ir.Table:
    """``service_id`` of rows that stand in one of the tables alone, or not with the same values there."""
    names = (*key, *compared)
    both = now.select(*names).outer_join(
        then.select(**{f"{name}_then": name for name in names}), [now[name] == then[name] for name in key]
    )
    are_same = reduce(and_, (both[name].identical_to(both[f"{name}_then"]) for name in names))
    return both.filter(~are_same).select(service_id=ibis.coalesce(both.service_id, both.service_id_then))


def extract_changes(services: ir.Table, links: ir.Table, services_before: ir.Table, links_before: ir.Table) -> ir.Table:
    """What changed since last year's extract: new, gone, closed, occupant, class, EDU, meter links."""
    # To describe the links of every service takes ten times as long as to find the few that have others.
    of_services = ("status", "occupant_since", "customer_class", "edu_thousandths")
    differing = kept(
        ibis.union(
            _differing(services, services_before, SEWER_SERVICES.key, *of_services),
            _differing(links, links_before, METER_LINKS.key, "share_millionths"),
        ).distinct()
    )
    services, links, services_before, links_before = (
        table.semi_join(differing, "service_id") for table in (services, links, services_before, links_before)
    )

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
    """The extract of one year, each sheet read when one of its tables is first asked for and kept until ``close``.

    Errors: ConfigError naming the sheet that is missing or has not the columns it should.
    """

    def __init__(self, session: Session, year: Year, sheets: Mapping[str, Path] | None = None) -> None:
        """``sheets``: sheet -> where it lies, of an extract that was kept; without it the one that lies in the workspace."""
        self._session, self._year = session, year
        self._folder = session.workspace.cis_extract(year.billing_year)
        self._kept = sheets
        self._read: dict[str, OfficeSheet] = {}

    def path(self, contract: Contract) -> Path:
        lying = self._folder / f"{contract.name}.csv"
        return lying if self._kept is None else self._kept.get(contract.name, lying.with_name(f".no_{lying.name}"))

    def is_there(self) -> bool:
        return self.path(SEWER_SERVICES).exists()

    @cached_property
    def version(self) -> str:
        """Of what averages and bills can depend on: what somebody owes changes none of them."""
        sheets = (content_hash_of(self.path(c)) for c in _SHEETS if c is not RECEIVABLES and self.path(c).exists())
        return version_of(*self._session.workspace.districts, *sheets)

    @cached_property
    def version_with_receivables(self) -> str:
        path = self.path(RECEIVABLES)
        return version_of(self.version, content_hash_of(path) if path.exists() else "none")

    def read(self) -> None:
        """Read every sheet now. ConfigError as above."""
        for contract in _SHEETS:
            self._sheet(contract)

    def close(self) -> None:
        """Free what was read."""
        tables = [sheet.kept for sheet in self._read.values()]
        self._read.clear()
        if (made := self.__dict__.pop("_made", None)) is not None:
            tables.append(made.get_name())
        for name in filter(None, tables):
            self._session.store.con.drop_table(name)

    def _sheet(self, contract: Contract) -> OfficeSheet:
        if contract.name not in self._read:
            self._read[contract.name] = self._sheet_read(contract)
        return self._read[contract.name]

    def _sheet_read(self, contract: Contract) -> OfficeSheet:
        shown = f"cis_extract/{self._year.billing_year}/{contract.name}.csv"
        if not self.path(contract).exists():
            if contract in _OPTIONAL:
                return OfficeSheet(contract.empty(), REJECTED_ROWS.empty())
            raise ConfigError(f"{shown}: the file does not exist; export it from the CIS and run again.")
        try:
            return read_office_sheet(
                self._session.store.con, self.path(contract), shown, CIS, contract, _SHEETS[contract],
                self._session.workspace.scratch, self._session.workspace.districts,
            )  # fmt: skip
        except UnreadableFile as error:
            raise ConfigError(f"{shown}: {error}.") from None

    @cached_property
    def _made(self) -> ir.Table:
        """What is made here of each service: few columns, which links need too."""
        asked = ("service_id", "account_id", "status", "service_end", "volume_source")
        services = with_account_charges(self._sheet(SEWER_SERVICES).rows.select(*asked), self._year)
        sliced = with_slices(services, self._sheet(METER_LINKS).rows, self._year)
        made = sliced.select("service_id", *_SHEETS[SEWER_SERVICES])
        return self._session.store.con.create_table(ibis.util.gen_name("made_of_services"), made, temp=True)

    @property
    def sewer_services(self) -> ir.Table:
        return looked_up(self._sheet(SEWER_SERVICES).rows, self._made, "service_id", *_SHEETS[SEWER_SERVICES])

    @property
    def meter_links(self) -> ir.Table:
        links = with_shares_in_line(self._sheet(METER_LINKS).rows)
        found = looked_up(links, self._made, "service_id", "slice_id")
        return found.mutate(slice_id=found.slice_id.fill_null(NO_DISTRICT))

    @property
    def non_sewer_accounts(self) -> ir.Table:
        return self._sheet(NON_SEWER_ACCOUNTS).rows

    @property
    def current_averages(self) -> ir.Table:
        return self._sheet(CURRENT_AVERAGES).rows

    @property
    def strengths(self) -> ir.Table:
        return self._sheet(STRENGTHS).rows

    @property
    def receivables(self) -> ir.Table:
        return self._sheet(RECEIVABLES).rows

    @property
    def rejected_rows(self) -> ir.Table:
        return ibis.union(*(self._sheet(contract).rejected for contract in _SHEETS))

    def changes_since(self, before: "Extract") -> ir.Table:
        """``extract_changes`` from an extract to this one."""
        sheets = (one._sheet(contract).rows for one in (self, before) for contract in (SEWER_SERVICES, METER_LINKS))
        return extract_changes(*sheets)


@dataclass(frozen=True)
class SeenExtract:
    """A line of the ledger: an extract that was read; ``sheets`` are the hashes by which it lies in the archive."""

    as_of: str | None
    received_on: str
    sheets: dict[str, str]

    @property
    def content_hash(self) -> str:
        return hashlib.sha256(json.dumps(self.sheets, sort_keys=True).encode()).hexdigest()

    def paths(self, archive: Path) -> dict[str, Path]:
        return {name: archived(archive, content_hash) for name, content_hash in self.sheets.items()}


def as_of_stated(workspace: Workspace, billing_year: int) -> dt.date | None:
    """The day whose state the extract in the workspace shows, as ``as_of.txt`` beside its sheets says. ConfigError if it is no day."""
    path = workspace.cis_extract(billing_year) / "as_of.txt"
    if not path.is_file():
        return None
    with path.open("rb") as file:
        text = file.read(40).decode("utf-8", errors="replace").strip()
    try:
        return dt.datetime.strptime(text, "%Y-%m-%d").date()
    except ValueError:
        raise ConfigError(
            f"cis_extract/{billing_year}/as_of.txt: {text!r} is no day; allowed: one line with the day whose state the extract shows, "
            f"such as {billing_year}-06-15."
        ) from None


def _ledger(workspace: Workspace, billing_year: int) -> Path:
    return workspace.archive / "ledger" / str(billing_year) / f"{CIS}.jsonl"


def extracts_seen(workspace: Workspace, billing_year: int) -> list[SeenExtract]:
    """Every extract that was read for the year, in the order in which they came."""
    path = _ledger(workspace, billing_year)
    lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []
    return [SeenExtract(**json.loads(line)) for line in lines if line]


def _kept_sheet(archive: Path, sheet: Path) -> str:
    """Keep a sheet under the hash of its content, and return that."""
    content_hash = content_hash_of(sheet)
    if archived(archive, content_hash).is_file():
        return content_hash
    archive.mkdir(parents=True, exist_ok=True)
    beside = archive / f".{uuid.uuid4().hex}.tmp"
    try:
        shutil.copyfile(sheet, beside)
        copied = Taken(content_hash_of(beside), beside.stat().st_size)
        keep(archive, beside, copied)
        return copied.content_hash
    finally:
        beside.unlink(missing_ok=True)


def receive_extract(session: Session, year: Year) -> tuple[list[SeenExtract], Extract]:
    """Keep the extract that lies in the workspace; return all that were read for the year, this one last, and this one to be read.

    Errors: ConfigError if it cannot be read; it is no extract that was read then.
    """
    workspace = session.workspace
    lying = {c.name: workspace.cis_extract(year.billing_year) / f"{c.name}.csv" for c in _SHEETS}
    sheets = {name: _kept_sheet(workspace.archive, path) for name, path in lying.items() if path.is_file()}
    as_of = as_of_stated(workspace, year.billing_year)
    found = SeenExtract(as_of.isoformat() if as_of else None, dt.date.today().isoformat(), sheets)
    seen = extracts_seen(workspace, year.billing_year)
    extract = Extract(session, year, found.paths(workspace.archive))
    if seen and (seen[-1].as_of, seen[-1].sheets) == (found.as_of, found.sheets):
        return seen, extract
    extract.read()
    ledger = _ledger(workspace, year.billing_year)
    ledger.parent.mkdir(parents=True, exist_ok=True)
    with ledger.open("a+b") as file:
        file.seek(0)
        content = file.read()
        # Half a line was being written when a run was killed.
        file.truncate(content.rfind(b"\n") + 1)
        file.write(json.dumps(asdict(found)).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    return [*seen, found], extract


def as_of_in_force(session: Session, billing_year: int) -> dt.date | None:
    """The day whose state the extract shows that the year's last run read; None if it does not say, or none was read."""
    read = session.store.read(CIS_EXTRACTS, billing_year, [WHOLE])
    days = session.store.con.to_pyarrow(read.order_by(ibis.desc("place")).limit(1)).column("as_of").to_pylist()
    return days[0] if days else None


def refresh_changes(now: Extract, before: Extract | None) -> ir.Table:
    """What changed from one extract of a year to the next; without rows if there was none, or it can no longer be read."""
    if before is None:
        return EXTRACT_REFRESH.empty()
    try:
        before.read()
    except ConfigError:
        return EXTRACT_REFRESH.empty()
    return now.changes_since(before).rename(before="last_year", after="this_year")


_OUTPUTS: dict[str, tuple[Contract, str]] = {
    "sewer_services": (SEWER_SERVICES, "Every sewer service that the CIS knows"),
    "meter_links": (METER_LINKS, "Which meter serves which service, when, for what and to which share"),
    "non_sewer_accounts": (NON_SEWER_ACCOUNTS, "District accounts that are known to have no sewer"),
    "current_averages": (CURRENT_AVERAGES, "What the CIS bills from now: the prior average of this update"),
    "strengths": (STRENGTHS, "Measured strengths of waste, for charges per pound"),
    "receivables": (
        RECEIVABLES,
        "What is owed, in collections, written off or to a customer's credit; nothing is billed from it",
    ),
    "extract_changes": (EXTRACT_CHANGES, "What changed since last year's extract, for a person to look through"),
    "extract_refresh": (
        EXTRACT_REFRESH,
        "What changed since the extract that was read before, for the same year: services new, closed, changed",
    ),
    "cis_extracts": (CIS_EXTRACTS, "Extracts that were read for the year, each kept under the hash of its content"),
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
        if not Extract(session, year).is_there():
            raise dg.Failure(
                f"cis_extract/{year.billing_year}/sewer_services.csv does not exist; export the CIS extract of billing year "
                f"{year.billing_year} into that folder and run again.",
                allow_retries=False,
            )
        seen, extract = receive_extract(session, year)
        former = Extract(session, year, seen[-2].paths(session.workspace.archive)) if len(seen) > 1 else None
        before = None
        if year.billing_year - 1 in session.workspace.file.billing_years:
            last_year = Extract(session, session.workspace.year(year.billing_year - 1))
            before = last_year if last_year.is_there() else None

        listed = [
            {
                "place": place, "as_of": one.as_of and dt.date.fromisoformat(one.as_of), "content_hash": one.content_hash,
                "received_on": dt.date.fromisoformat(one.received_on),
            }
            for place, one in enumerate(seen, start=1)
        ]  # fmt: skip
        made = {
            "extract_changes": lambda: extract.changes_since(before) if before else EXTRACT_CHANGES.empty(),
            "extract_refresh": lambda: refresh_changes(extract, former),
            "cis_extracts": lambda: CIS_EXTRACTS.of_rows(listed),
            "cis_rejected_rows": lambda: extract.rejected_rows,
        }
        version = version_of("cis_extract", year_version(year), extract.version, before.version if before else "none")
        versions = {
            "extract_refresh": version_of("extract_refresh", version, former.version if former else "none"),
            "cis_extracts": version_of("cis_extracts", *listed),
            "receivables": version_of("receivables", extract.version_with_receivables),
            "cis_rejected_rows": version_of("cis_rejected_rows", version, extract.version_with_receivables),
        }
        for name, (contract, _) in _OUTPUTS.items():
            make = made.get(name, lambda name=name: getattr(extract, name))  # type: ignore[misc]
            slice_id = CIS if contract is REJECTED_ROWS else WHOLE
            yield dg.Output(
                Making(contract, year.billing_year, {slice_id: Slice(versions.get(name, version), make)}),
                output_name=name,
            )
        for one in (extract, former, before):
            if one is not None:
                one.close()

    return _cis_extract
