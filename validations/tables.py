"""The contract of every table, in the order of the data's way.

Belongs here: column names, types, meanings, units, keys, ranges.
Does not belong here: how a table is made (``assets``), rules across tables (``checks``).

Whole numbers carry their unit in the name (``_thousandths`` of a volume unit, ``_cents``, ``_millionths``) and are published
without it as decimals. Every ``*_end`` date is the first day that is no longer included, so days = end - start.
"""

from __future__ import annotations

from typing import get_args

from rate_tables.averaging_rule import AppliedAs, CrossingBill
from rate_tables.terms import (
    MONTHS_PER_BILL,
    AdjustmentKind,
    AdjustmentMethod,
    CustomerClass,
    Decision,
    Pollutant,
    Purpose,
    VolumeSource,
)
from rate_tables.volume_units import SIZE_8NL
from validations.contract import Contract, column
from validations.district import ReadType
from validations.reasons import REASONS
from validations.volume_steps import VOLUME_STEPS

UNITS = list(SIZE_8NL)
CLASSES = list(get_args(CustomerClass))
PURPOSES = list(get_args(Purpose))
POLLUTANTS = list(get_args(Pollutant))
VOLUME_SOURCES = list(get_args(VolumeSource))
FREQUENCIES = list(MONTHS_PER_BILL)
READ_TYPES = list(get_args(ReadType))
APPLIED_AS = list(get_args(AppliedAs))
CROSSING_BILLS = list(get_args(CrossingBill))
ADJUSTMENT_KINDS = list(get_args(AdjustmentKind))
ADJUSTMENT_METHODS = list(get_args(AdjustmentMethod))
DECISION_WORDS = list(get_args(Decision))
DECISION_STATUSES = ["stands", "stale", "superseded", "without_finding"]
STATUSES = ["active", "suspended", "closed"]
RECEIVABLE_STATUSES = ["current", "collections", "written_off"]
SEVERITIES = ["info", "review", "must_decide"]
DELIVERY_STATUSES = [
    "current", "superseded", "same_content", "withdrawn", "unpacked", "sent_before", "still_being_written", "refused",
    "not_pulled", "not_checked", "not_received",
]  # fmt: skip
NOT_TAKEN_STATUSES = ["still_being_written", "refused", "not_pulled"]
"""A file that is there and was not taken, so that the delivery may not be whole."""
CONTENT_KINDS = [
    "delivery", "extract", "adjustments", "decisions", "overrides", "bills_issued", "schedule", "rules", "table",
]  # fmt: skip
APPEAL_OUTCOMES = ["granted", "refused", "withdrawn"]
DERIVATIONS = [
    "computed", "adjusted", "override", "previous_occupant", "prior_year", "class_average", "default", "fixed", "carried_forward", "held",
    "excluded",
]  # fmt: skip

SEVERAL_DISTRICTS = "several_districts"
NO_DISTRICT = "no_district"
CIS = "cis_extract"
ADJUSTMENT_SHEET = "adjustments"
DECISION_SHEET = "decisions"

_district = column("string", "District (id in the registry)", not_empty=True)
_service = column("string", "Sewer service (the CIS's id)", not_empty=True)
_slice = column(
    "string", "Slice of the store: the district that measures the service, or several_districts or no_district"
)
_account = column("string", "Account number as the district writes it", not_empty=True)
_meter = column("string", "Meter id as the district writes it; empty where the layout has none")
_file = column("string", "Delivered file")
_row = column("int64", "Line or sheet row in that file, the first being 1", ge=0)
_volume_unit = column("string", "Unit of the volumes in this row", isin=UNITS)

DELIVERIES = Contract(
    "deliveries",
    "file of a district and year (members of an unpacked zip each have one), and one for a district of which nothing is read "
    "or whose files could not be looked at",
    ("district_id", "source_file", "content_hash"),
    {
        "district_id": _district,
        "source_file": column(
            "string",
            "File name in the delivery, a zip's member as zip/member; empty if the row is about the district. Characters that "
            "are more than text are written as %XX",
        ),
        "content_hash": column(
            "string", "SHA-256 of the content; the file is kept unchanged under it. Empty if it was not taken"
        ),
        "bytes": column("int64", "Size; 0 if it is not known", "bytes", ge=0),
        "version": column("int64", "Count of different contents delivered under this name", ge=0),
        "received_on": column("date", "Day on which this content was first seen", nullable=True),
        "status": column(
            "string",
            "What became of the file. current: read; superseded: another content came under its name; same_content: another "
            "file has it; withdrawn: no longer there; unpacked: a zip whose members are read; sent_before: another billing "
            "year's; still_being_written, refused, not_pulled: not taken. Of the district: not_checked: what came before is "
            "read, its files could not be looked at; not_received: nothing is read",
            isin=DELIVERY_STATUSES,
        ),
        "message": column("string", "In words", not_empty=True),
    },
)

DELIVERY_TOTALS = Contract(
    "delivery_totals",
    "file that was read",
    ("district_id", "source_file"),
    {
        "district_id": _district,
        "source_file": _file,
        "content_hash": column("string", "SHA-256 of the content"),
        "rows_in_file": column("int64", "Lines or sheet rows in the file", "rows", ge=0),
        "rows_of_layout": column("int64", "Header, title, blank, total and trailer rows", "rows", ge=0),
        "records": column(
            "int64", "Records: rows of data, or cells where months or registers are columns", "records", ge=0
        ),
        "delivered_quantity_thousandths": column(
            "int64", "Sum of volumes or readings as far as they are numbers, as delivered", "thousandths"
        ),
        "control_records": column("int64", "Record count that the file states of itself", "records", nullable=True),
        "control_quantity_thousandths": column(
            "int64", "Total that the file states of itself", "thousandths", nullable=True
        ),
        "first_day": column("date", "First day of its consumption; empty without any", nullable=True),
        "last_day": column("date", "First day after its consumption; empty without any", nullable=True),
        "typical_days": column("int64", "Median length of its periods", "days", nullable=True),
        "cycle_days_from": column("int64", "Least that is usual of the district's cycle", "days", nullable=True),
        "cycle_days_to": column("int64", "Most that is usual of it", "days", nullable=True),
        "unreadable": column("boolean", "The file could not be read at all"),
        "message": column("string", "Why it could not be read, or empty"),
    },
)

CONSUMPTION = Contract(
    "consumption",
    "meter and service period",
    ("district_id", "source_file", "source_row", "source_column"),
    {
        "district_id": _district,
        "district_account": _account,
        "meter_id": _meter,
        "period_start": column("date", "First day of the period: the day of the opening read"),
        "period_end": column("date", "Day of the closing read, the first day that is not in the period"),
        "days": column("int64", "period_end - period_start", "days", ge=1, le=400),
        "registered_volume_thousandths": column("int64", "What the meter registered", "thousandths of volume_unit"),
        "billed_volume_thousandths": column("int64", "What the district billed", "thousandths of volume_unit"),
        "volume_unit": _volume_unit,
        "read_type": column("string", "How the closing read came about", isin=READ_TYPES),
        "is_rollover": column("boolean", "The register went round in this period; the volume allows for it"),
        "delivered_quantity_thousandths": column(
            "int64", "The volume or reading that stands in the file", "thousandths"
        ),
        "source_file": _file,
        "source_row": _row,
        "source_column": column("string", "Column of a month or register, where these are columns; else empty"),
    },
)

METERS = Contract(
    "meters",
    "meter that a district delivered (an account where the layout has no meter ids)",
    ("district_id", "district_account", "meter_id"),
    {
        "district_id": _district,
        "district_account": _account,
        "meter_id": _meter,
        "periods": column("int64", "Service periods delivered", "rows", ge=1),
        "first_day": column("date", "First day of the first period"),
        "last_day": column("date", "First day after the last period"),
        "billed_volume_thousandths": column("int64", "Volume billed in these periods", "thousandths of volume_unit"),
        "volume_unit": _volume_unit,
        "rollovers": column("int64", "Periods in which the register went round", "rows", ge=0),
    },
)

REJECTED_ROWS = Contract(
    "rejected_rows",
    "record that is not consumption: refused, duplicate or set aside",
    ("district_id", "source_file", "source_row", "source_column"),
    {
        "district_id": column("string", "District, or cis_extract, adjustments or decisions", not_empty=True),
        "source_file": _file,
        "source_row": _row,
        "source_column": column("string", "Column of a month or register, where these are columns; else empty"),
        "raw_text": column("string", "The row as it stands in the file (at most 4,000 characters)"),
        "reason_code": column("string", "Why", isin=list(REASONS)),
        "reason_kind": column("string", "refused, duplicate or set_aside", isin=["refused", "duplicate", "set_aside"]),
        "message": column("string", "The reason in words that can be sent back"),
        "delivered_quantity_thousandths": column(
            "int64", "The volume or reading, as far as it is a number", "thousandths", nullable=True
        ),
    },
)

SEWER_SERVICES = Contract(
    "sewer_services",
    "sewer service",
    ("service_id",),
    {
        "service_id": _service,
        "account_id": column("string", "Sewer account (the CIS's id)", not_empty=True),
        "premise_id": column("string", "Premise", not_empty=True),
        "customer_class": column("string", "Customer class", isin=CLASSES),
        "dwelling_units": column("int64", "Dwelling units", "units", ge=0),
        "edu_thousandths": column("int64", "Equivalent dwelling units", "thousandths of an EDU", ge=0),
        "esu_thousandths": column("int64", "Equivalent service units (impervious area)", "thousandths of an ESU", ge=0),
        "jurisdiction": column("string", "City or unincorporated area", not_empty=True),
        "billing_agency": column("string", "Who sends the bill; part of its bill file's name", word=True),
        "billing_frequency": column("string", "How often a bill is sent", isin=FREQUENCIES),
        "billing_cycle": column(
            "string", "Group of routes that are read together; empty if the CIS has none", optional=True
        ),
        "status": column("string", "Status of the service", isin=STATUSES),
        "service_start": column("date", "First day of service"),
        "service_end": column("date", "First day without service; empty while it goes on", nullable=True),
        "occupant_since": column(
            "date", "Since when the present occupant is there; empty before the first", nullable=True
        ),
        "volume_source": column("string", "Where the volume comes from", isin=VOLUME_SOURCES),
        "bears_account_charges": column(
            "boolean",
            "What is charged once per account stands on the bill of this service: the account's first in force",
        ),
        "slice_id": _slice,
    },
)

METER_LINKS = Contract(
    "meter_links",
    "meter, service and time during which the meter serves it",
    ("service_id", "district_id", "district_account", "meter_id", "purpose", "link_start"),
    {
        "service_id": _service,
        "district_id": _district,
        "district_account": _account,
        "meter_id": column("string", "Meter; empty means every meter of the account"),
        "purpose": column("string", "What the meter's water is for", isin=PURPOSES),
        "share_millionths": column("int64", "Part of the meter that serves the service", "millionths", ge=1, le=1_000_000),
        "share_from_millionths": column(
            "int64", "Where the share begins: shares of one meter follow each other, so that parts add to the whole",
            "millionths", ge=0,
        ),
        "link_start": column("date", "First day of the link"),
        "link_end": column("date", "First day after the link; empty while it goes on", nullable=True),
        "slice_id": _slice,
    },
)  # fmt: skip

NON_SEWER_ACCOUNTS = Contract(
    "non_sewer_accounts",
    "district account that is known to have no sewer",
    ("district_id", "district_account"),
    {
        "district_id": _district,
        "district_account": _account,
        "reason": column("string", "Why it has none: septic, outside the boundary, irrigation only"),
    },
)

CURRENT_AVERAGES = Contract(
    "current_averages",
    "sewer service that the CIS bills from an average now",
    ("service_id",),
    {
        "service_id": _service,
        "winter_average_thousandths": column(
            "int64", "Winter average billed now, per month", "thousandths of CCF", ge=0
        ),
        "volume_unit": column("string", "Unit of the average", isin=UNITS),
        "effective_date": column("date", "Since when"),
    },
)

STRENGTHS = Contract(
    "strengths",
    "sewer service and pollutant whose strength was measured",
    ("service_id", "pollutant"),
    {
        "service_id": _service,
        "pollutant": column("string", "What was measured", isin=POLLUTANTS),
        "mg_per_l_thousandths": column(
            "int64", "Strength that is billed", "thousandths of a milligram per litre", ge=0
        ),
        "measured_on": column("date", "Day of the sample, or the last of those it is the mean of"),
        "document": column("string", "The report that shows it", not_empty=True),
    },
)

RECEIVABLES = Contract(
    "receivables",
    "sewer service whose receivables the CIS lists",
    ("service_id",),
    {
        "service_id": _service,
        "status": column("string", "What became of what is owed", isin=RECEIVABLE_STATUSES),
        "balance_cents": column("int64", "What is owed", "cents", ge=0, le=100_000_000_000),
        "credit_cents": column("int64", "What stands to the customer's credit", "cents", ge=0, le=100_000_000_000),
        "credit_since": column(
            "date", "Day since which nothing has changed the credit; empty if not known", nullable=True, optional=True
        ),
    },
)

EXTRACT_CHANGES = Contract(
    "extract_changes",
    "service and field that changed since last year's CIS extract",
    ("service_id", "change"),
    {
        "service_id": _service,
        "change": column("string", "What changed", isin=[
            "new", "gone", "closed", "occupant", "customer_class", "edu", "meter_links",
        ]),
        "last_year": column("string", "Value in last year's extract; empty for a new service"),
        "this_year": column("string", "Value in this year's extract; empty for one that is gone"),
    },
)  # fmt: skip

SERVICE_CONSUMPTION = Contract(
    "service_consumption",
    "meter and link under which its consumption serves a sewer service (a map; the rows of consumption stay where they are)",
    ("service_id", "district_id", "district_account", "meter_id", "purpose", "link_start"),
    {
        "service_id": _service,
        "district_id": _district,
        "district_account": _account,
        "meter_id": _meter,
        "purpose": column("string", "What the meter's water is for", isin=PURPOSES),
        "link_start": column("date", "First day of the link"),
        "link_end": column("date", "First day after the link (9999-12-31 while it goes on)"),
        "share_from_millionths": column("int64", "Where this service's share of the meter begins", "millionths", ge=0),
        "share_to_millionths": column(
            "int64", "Where it ends; shares of one meter follow each other", "millionths", ge=1
        ),
    },
)

UNMATCHED = Contract(
    "unmatched",
    "district account without a sewer service, or sewer service whose linked account was not delivered",
    ("district_id", "district_account", "meter_id", "service_id"),
    {
        "district_id": _district,
        "district_account": _account,
        "meter_id": _meter,
        "service_id": column("string", "Sewer service that found no consumption; empty for an unmatched account"),
        "side": column("string", "Which side was left over", isin=["district", "service", "known_non_sewer"]),
        "billed_volume_thousandths": column("int64", "Volume left over", "thousandths of volume_unit"),
        "volume_unit": column("string", "Unit of the volume", isin=[*UNITS, ""]),
        "nearest_account": column("string", "Account or link that differs only in leading zeros or a check digit"),
        "message": column("string", "In words"),
    },
    by_district=True,
)

ADJUSTMENTS = Contract(
    "adjustments",
    "consumption adjustment that staff entered",
    ("adjustment_id",),
    {
        "adjustment_id": column("string", "Id of the entry", not_empty=True),
        "service_id": _service,
        "district_id": column("string", "District of the meter; empty for every meter of the service", optional=True),
        "district_account": column("string", "Account of the meter; empty for every meter of the service", optional=True),
        "meter_id": column("string", "Meter; empty where the layout has none", optional=True),
        "period_start": column("date", "First day that is adjusted"),
        "period_end": column("date", "First day after"),
        "kind": column("string", "What happened", isin=ADJUSTMENT_KINDS),
        "method": column("string", "How the volume that counts is found", isin=ADJUSTMENT_METHODS),
        "volume_thousandths": column(
            "int64", "Volume that the method asks for", "thousandths of volume_unit", nullable=True, ge=0, le=10_000_000_000
        ),
        "less_volume_thousandths": column(
            "int64", "Volume that is taken off it, where the method asks for two", "thousandths of volume_unit",
            nullable=True, ge=0, le=10_000_000_000,
        ),
        "volume_unit": column("string", "Unit of both; empty without a volume", isin=[*UNITS, ""]),
        "share_millionths": column(
            "int64", "Share that the method asks for", "millionths", nullable=True, ge=0, le=1_000_000
        ),
        "bills": column("int64", "Bills before that make the mean", "bills", nullable=True, ge=1, le=12),
        "reached_sewer": column("string", "Whether leaked water reached the sewer", isin=["yes", "no", ""]),
        "linked_to": column("string", "Entry that this one goes on with, such as a leak across two winters", optional=True),
        "expires_on": column("date", "First day on which it no longer holds; empty where it does not expire", nullable=True),
        "reason": column("string", "Why"),
        "document": column("string", "The paper that shows it"),
        "entered_by": column("string", "Who entered it"),
        "approved_by": column("string", "Who approved it; another person"),
    },
)  # fmt: skip

PAST_ADJUSTMENTS = Contract(
    "past_adjustments",
    "adjustment of an earlier year's sheet that was not refused then, as far back as the policy looks",
    ("sheet_year", "adjustment_id"),
    {
        "sheet_year": column("int64", "Billing year of the sheet"),
        "adjustment_id": column("string", "Id of the entry", not_empty=True),
        "service_id": _service,
        "kind": column("string", "What happened", isin=ADJUSTMENT_KINDS),
        "period_start": column("date", "First day that was adjusted"),
        "period_end": column("date", "First day after"),
        "linked_to": column("string", "Entry that it goes on with; empty if none"),
        "expires_on": column(
            "date", "First day on which it no longer holds; empty where it does not expire", nullable=True
        ),
        "reason": column("string", "Why"),
    },
)

_RECORD = {
    "district_id": _district,
    "source_file": _file,
    "source_row": _row,
    "source_column": column("string", "Column of a month or register, where these are columns; else empty"),
}
_PERIOD = {
    "district_account": _account,
    "meter_id": _meter,
    "period_start": column("date", "First day of the period"),
    "period_end": column("date", "First day after the period"),
}

ADJUSTMENT_STEPS = Contract(
    "adjustment_steps",
    "adjustment and row of consumption that it changes, in the order in which they are applied",
    ("adjustment_id", *_RECORD),
    {
        "adjustment_id": column("string", "The entry", not_empty=True),
        "service_id": _service,
        **_RECORD,
        **_PERIOD,
        "place": column(
            "int64", "Place in the order in which the row's adjustments are applied, the first being 1", ge=1
        ),
        "before_volume_thousandths": column("int64", "What counted before it", "thousandths of volume_unit"),
        "after_volume_thousandths": column("int64", "What counts after it", "thousandths of volume_unit"),
        "is_left_out": column("boolean", "The row counts neither as volume nor as days from then on"),
        "volume_unit": _volume_unit,
        "why": column("string", "The calculation in words", not_empty=True),
    },
)

REFUSED_ADJUSTMENTS = Contract(
    "refused_adjustments",
    "adjustment that cannot be applied as it was entered, and so changes nothing",
    ("adjustment_id",),
    {
        "adjustment_id": column("string", "The entry", not_empty=True),
        "service_id": _service,
        "message": column("string", "Why, and what is allowed", not_empty=True),
    },
)

ADJUSTED_CONSUMPTION = Contract(
    "adjusted_consumption",
    "service and row of consumption that adjustments or decisions changed (differences; every other row counts as billed)",
    ("service_id", *_RECORD),
    {
        "service_id": _service,
        **_RECORD,
        **_PERIOD,
        "registered_volume_thousandths": column("int64", "What the meter registered", "thousandths of volume_unit"),
        "billed_volume_thousandths": column("int64", "What the district billed", "thousandths of volume_unit"),
        "adjusted_volume_thousandths": column("int64", "What counts for sewer", "thousandths of volume_unit"),
        "is_left_out": column("boolean", "The row counts neither as volume nor as days"),
        "volume_unit": _volume_unit,
        "adjustment_id": column("string", "The entries and decisions that say so, in order", not_empty=True),
    },
)

_FINDING = {
    "finding_id": column("string", "Rule and what it is about; stable from run to run", not_empty=True),
    "district_id": column("string", "District; empty if it concerns none"),
    "service_id": column("string", "Sewer service; empty if it concerns a district or an account"),
    "rule_id": column("string", "Rule, dotted", not_empty=True),
    "severity": column("string", "info, review, or must_decide before release", isin=SEVERITIES),
    "period_start": column("date", "First day of what it is about; empty if no period", nullable=True),
    "period_end": column("date", "First day after", nullable=True),
    "message": column("string", "What was found, in a sentence", not_empty=True),
    "evidence": column("string", "The figures it rests on, as JSON"),
    "evidence_hash": column("string", "SHA-256 of those of them that a decision is tied to", not_empty=True),
    "proposal": column("string", "What the rule proposes to count instead, in a sentence; empty if nothing"),
    "remedy": column("string", "What to do", not_empty=True),
}

IRREGULAR_USE = Contract(
    "irregular_use",
    "service and rule about what it used (part of the findings, made slice by slice)",
    ("finding_id",),
    _FINDING,
)

PROPOSED_CORRECTIONS = Contract(
    "proposed_corrections",
    "finding that knows what should count instead, and row of consumption that it would change",
    ("finding_id", *_RECORD),
    {
        "finding_id": column("string", "The finding", not_empty=True),
        "service_id": _service,
        **_RECORD,
        **_PERIOD,
        "proposed_volume_thousandths": column("int64", "What would count", "thousandths of volume_unit"),
        "volume_unit": _volume_unit,
    },
)

DISTRICT_USE = Contract(
    "district_use",
    "district: what it delivered for this year's update against last year's",
    ("district_id",),
    {
        "district_id": _district,
        "accounts": column("int64", "Accounts delivered", "accounts", ge=0),
        "prior_accounts": column("int64", "Accounts delivered for last year's update", "accounts", ge=0),
        "volume_thousandths": column("int64", "Volume billed", "thousandths of the district's unit"),
        "prior_volume_thousandths": column("int64", "Volume billed for last year's update", "thousandths of the district's unit"),
        "shared_month_accounts": column(
            "int64", "Accounts with two bills that share a month of the winter, as bills named by a month can", "accounts", ge=0
        ),
        "meters_compared": column("int64", "Meters in both deliveries", "meters", ge=0),
        "ratio_millionths": column(
            "int64", "Median over these meters of use a day, this year to last, in both units as delivered", "millionths", nullable=True
        ),
        "winter_ratio_millionths": column("int64", "The same of winter reads", "millionths", nullable=True),
        "summer_ratio_millionths": column("int64", "The same of summer reads", "millionths", nullable=True),
        "thin_month": column("date", "Month with the fewest reads against what is usual; empty if none can be judged", nullable=True),
        "thin_month_rows": column("int64", "Reads in it", "rows", nullable=True),
        "usual_rows": column("int64", "Reads of the same month a year before, or of the middle month", "rows", nullable=True),
        "stuck_month": column("date", "Month in which one figure stands most often; empty if none can be judged", nullable=True),
        "stuck_value_thousandths": column("int64", "That figure", "thousandths of the district's unit", nullable=True),
        "stuck_rows": column("int64", "Reads with it", "rows", nullable=True),
        "stuck_of_rows": column("int64", "Reads in that month", "rows", nullable=True),
        "usual_stuck_millionths": column("int64", "What part the commonest figure is in the middle month", "millionths", nullable=True),
    },
)  # fmt: skip

FINDINGS = Contract("findings", "service (or district account, or district) and rule", ("finding_id",), _FINDING)

_DECISION = {
    "decision_id": column("string", "Id of the decision; ids rise in the order in which decisions were taken in", not_empty=True),
    "finding_id": column("string", "The finding", not_empty=True),
    "service_id": column("string", "Sewer service; empty if the finding concerns none"),
    "rule_id": column("string", "Rule of the finding", not_empty=True),
    "decision": column(
        "string",
        "as_it_is: consumption counts as it stands; as_proposed: the proposed correction counts; leave_out: the finding's "
        "period is left out of the average; prior_average: the average in force stays; set_average: average counts",
        isin=DECISION_WORDS,
    ),
    "average_thousandths": column(
        "int64", "Average per month that was set; empty otherwise", "thousandths of the rule's unit", nullable=True, ge=0,
        le=10_000_000_000,
    ),
    "reason": column("string", "Why", not_empty=True),
    "decided_by": column("string", "Who decided", not_empty=True),
    "decided_on": column("date", "When it was taken in"),
    "evidence_hash": column("string", "Hash of the evidence it was made on", not_empty=True),
    "evidence_seen": column("string", "That evidence, as JSON"),
}  # fmt: skip

DECISION_ENTRIES = Contract(
    "decision_entries",
    "decision as it was taken in (kept for ever; nothing is overwritten)",
    ("decision_id",),
    _DECISION,
)

DECISIONS = Contract(
    "decisions",
    "decision that a person made about a finding, met with the finding as it is",
    ("decision_id",),
    {
        **_DECISION,
        "evidence_now": column("string", "The finding's evidence as it is; empty if there is no such finding any more"),
        "status": column(
            "string",
            "stands; stale: the evidence has changed since; superseded: a later decision about the finding took its place; "
            "without_finding: the finding is not there any more",
            isin=DECISION_STATUSES,
        ),
    },
)

_HISTORY = {
    "window_start": column("date", "First day of the winter window"),
    "window_end": column("date", "First day after the winter window"),
    "days_covered": column("int64", "Days of the window with counted consumption", "days", ge=0),
    "months_counted": column(
        "int64", "Stretches that the rule counts apart (the window, its months or its cycles) with counted consumption",
        "stretches", ge=0,
    ),
    "winter_volume_thousandths": column(
        "int64", "Volume counted in the window, in the unit of the average, rounded for show",
        "thousandths of volume_unit", nullable=True,
    ),
    "periods_counted": column("int64", "Rows of consumption that counted", "rows", ge=0),
    "periods_estimated": column("int64", "Of these, estimated", "rows", ge=0),
    "periods_adjusted": column("int64", "Of these, adjusted", "rows", ge=0),
}  # fmt: skip

COUNTED_USE = Contract(
    "counted_use",
    "service, row of consumption, and stretch of the window in which days of it count towards an average",
    ("service_id", "whose", *_RECORD, "span_start", "counted_start", "covers"),
    {
        "service_id": _service,
        "whose": column(
            "string", "own: of the history that the rule asks for; previous_occupant: of the occupant before, where the rule falls back on it",
            isin=["own", "previous_occupant"],
        ),
        "window_no": column("int64", "Place of the service's window among those of the rule", ge=0),
        "span_start": column("date", "First day of what the rule counts apart: the window, a month of it, or a cycle"),
        "span_end": column("date", "First day after it"),
        "span_months": column("int64", "Months that it stands for", "months", ge=1),
        **_RECORD,
        "counted_start": column("date", "First day of the row that counts there"),
        "counted_end": column("date", "First day after"),
        "covers": column("boolean", "Whether these days count as days of which use is known"),
        "volume_unit": _volume_unit,
        "counted_volume_thousandths": column(
            "int64", "Volume of these days that counts for the service; below zero where a meter is taken off", "thousandths of volume_unit"
        ),
        "is_estimated": column("boolean", "The district estimated the row"),
        "is_adjusted": column("boolean", "An adjustment or a decision says what counts"),
    },
)  # fmt: skip

WINTER_AVERAGES = Contract(
    "winter_averages",
    "sewer service",
    ("service_id",),
    {
        "service_id": _service,
        "average_thousandths": column(
            "int64", "What its own window comes to, per month; empty if nothing of it is known",
            "thousandths of the rule's unit", nullable=True, ge=0,
        ),
        "has_enough_history": column("boolean", "Whether that is enough for an average"),
        **_HISTORY,
        "previous_occupant_average_thousandths": column(
            "int64", "The same of the occupant before, where the rule falls back on it and there is enough",
            "thousandths of the rule's unit", nullable=True, ge=0,
        ),
        "slice_id": _slice,
    },
)  # fmt: skip

CLASS_AVERAGES = Contract(
    "class_averages",
    "class whose average stands in for services without enough history",
    ("class_key",),
    {
        "class_key": column("string", "What its services have in common", not_empty=True),
        "services": column("int64", "Services whose own averages make it", "services", ge=1),
        "class_average_thousandths": column("int64", "Their mean, per month", "thousandths of the rule's unit", ge=0),
    },
)

RELEASED_CLASS_AVERAGES = Contract(
    "released_class_averages",
    "class whose average the year's last release has fixed",
    CLASS_AVERAGES.key,
    CLASS_AVERAGES.columns,
)

BILLING_BASIS = Contract(
    "billing_basis",
    "sewer service",
    ("service_id",),
    {
        "service_id": _service,
        "account_id": column("string", "Sewer account", not_empty=True),
        "winter_average_thousandths": column(
            "int64", "Winter average per month from the effective date; empty if held or excluded",
            "thousandths of volume_unit", nullable=True, ge=0,
        ),
        "prior_average_thousandths": column(
            "int64", "Winter average that the CIS bills from until then; empty if none",
            "thousandths of volume_unit", nullable=True, ge=0,
        ),
        "volume_unit": column("string", "Unit of both averages", isin=UNITS),
        "derivation": column("string", "How the average came about", isin=DERIVATIONS),
        "derivation_note": column("string", "The same in words"),
        "is_provisional": column("boolean", "True while a district of the service has not delivered"),
        "applied_as": column("string", "What the billing system does with it; empty without an average", isin=["", *APPLIED_AS]),
        "applied_in_months": column("string", "Calendar months (1 to 12) in which it does so; empty for all"),
        "other_months_billed_from": column("string", "What the other months are billed from", isin=["", "actual", "average"]),
        "yields_to_lower_actual_after_months": column(
            "int64", "Once so many months of use are known, a lower mean of them takes its place; empty if it stays",
            "months", nullable=True, ge=1, le=12,
        ),
        "crossing_bill": column(
            "string", "Which average a bill has that crosses the effective date: by days, or by the day it is issued",
            isin=CROSSING_BILLS,
        ),
        **_HISTORY,
        "effective_date": column("date", "First day on which the average is billed"),
        "rule_file": column("string", "Schedule whose averaging rule was used"),
        "slice_id": _slice,
    },
)  # fmt: skip

BILLS = Contract(
    "bills",
    "sewer service and schedule period",
    ("service_id", "period_start"),
    {
        "service_id": _service,
        "account_id": column("string", "Sewer account", not_empty=True),
        "period_start": column("date", "First day on which these charges hold"),
        "period_end": column("date", "First day after"),
        "billing_frequency": column("string", "How often a bill is sent", isin=FREQUENCIES),
        "bills_in_period": column("int64", "Bills from period_start to period_end, all of this amount", "bills", ge=1, le=12),
        "amount_cents": column("int64", "Recurring charges of one billing period; empty if held", "cents", nullable=True, ge=0),
        "status": column("string", "ready, provisional (average carried forward) or held", isin=["ready", "provisional", "held"]),
        "status_reason": column("string", "Why it is not ready; empty if it is"),
        "billing_agency": column("string", "Who sends the bill"),
    },
)  # fmt: skip

BILL_LINES = Contract(
    "bill_lines",
    "charge (or tier of a charge) of a bill, and schedule where two share a bill by days",
    ("service_id", "period_start", "charge_code", "tier", "schedule_file"),
    {
        "service_id": _service,
        "period_start": column("date", "First day on which the charge holds"),
        "charge_code": column("string", "Charge", not_empty=True),
        "tier": column("int64", "Tier of the charge, the first being 1; 1 where it has none", ge=1),
        "quantity_thousandths": column("int64", "Quantity in one billing period", "thousandths of quantity_unit", ge=0),
        "quantity_unit": column(
            "string", "EDU-months, ESU-months, account-months, pounds, a unit of volume, or dollars of other charges",
            not_empty=True,
        ),
        "rate_ten_thousandths": column("int64", "Rate per unit", "ten-thousandths of a dollar", ge=0),
        "amount_cents": column("int64", "quantity x rate, rounded", "cents", ge=0),
        "regional_amount_cents": column("int64", "The utility's part", "cents", ge=0),
        "local_amount_cents": column("int64", "The jurisdiction's part; both add to the amount", "cents", ge=0),
        "schedule_file": column("string", "Schedule that the rate stands in", not_empty=True),
    },
)  # fmt: skip

PAST_BILLS = Contract(
    "past_bills",
    "bill of the past that is to be rated with what was really used (a sheet of the office; not published)",
    ("service_id", "bill_start"),
    {
        "service_id": _service,
        "bill_start": column("date", "First day of the bill"),
        "bill_end": column("date", "First day after it"),
        "actual_volume_thousandths": column(
            "int64",
            "What was used in it; empty if the rule does not ask",
            "thousandths of volume_unit",
            nullable=True,
            ge=0,
        ),
        "volume_unit": _volume_unit,
    },
)

RATE_SCHEDULE = Contract(
    "rate_schedule",
    "setting, rate or share of a schedule of the year",
    ("schedule_file", "used_for", "item"),
    {
        "schedule_file": column("string", "The schedule's file", not_empty=True),
        "item": column("string", "Which setting, charge or share", not_empty=True),
        "value": column("string", "As it stands in the file"),
        "counted_in": column("string", "Dollars per what, or the unit of the figure; empty for what is no figure"),
        "source": column("string", "Where it comes from"),
        "used_for": column("string", "averaging or charges", isin=["averaging", "charges"]),
        "effective_date": column("date", "Since when the schedule holds"),
        "status": column("string", "adopted; a proposed schedule is never in force", isin=["adopted"]),
    },
)

BILL_FILES = Contract(
    "bill_files",
    "file made for a billing agency",
    ("billing_agency",),
    {
        "billing_agency": column("string", "Who sends the bills", not_empty=True),
        "file": column("string", "File below the workspace's bill_files folder"),
        "content_hash": column("string", "SHA-256 of the file"),
        "records": column("int64", "Detail records", "records", ge=0),
        "winter_average_thousandths": column("int64", "Sum of the averages in it", "thousandths of CCF", ge=0),
        "amount_cents": column("int64", "Sum of the amounts of one billing period", "cents", ge=0),
        "approval": column("string", "Whether a person has approved it", isin=["not approved"]),
    },
)

_of_finding = {
    "finding_id": column("string", "The finding", not_empty=True),
    "service_id": _service,
    "account_id": column("string", "Sewer account", not_empty=True),
    "rule_id": column("string", "Rule of the finding", not_empty=True),
    "severity": column("string", "review, or must_decide before release", isin=["review", "must_decide"]),
}
_worth = {
    "winter_average_thousandths": column(
        "int64", "Average as the basis has it; empty if held", "thousandths of volume_unit", nullable=True, ge=0
    ),
    "other_average_thousandths": column(
        "int64", "Average if decided the other way; empty if nothing is known", "thousandths of volume_unit",
        nullable=True, ge=0,
    ),
    "other_way": column("string", "What the other way is, in words"),
    "amount_a_year_cents": column("int64", "Bills of a year with the average", "cents", nullable=True, ge=0),
    "other_amount_a_year_cents": column("int64", "Bills of a year the other way", "cents", nullable=True, ge=0),
    "at_stake_a_year_cents": column("int64", "Difference of the two without its sign; empty if not known", "cents", nullable=True, ge=0),
    "proposed_decision": column("string", "What the rule proposes", isin=DECISION_WORDS),
    "decision": column("string", "The decision that stands; empty if none", isin=["", *DECISION_WORDS]),
    "decision_status": column("string", "stands, stale, or empty if nobody has decided", isin=["", "stands", "stale"]),
}  # fmt: skip

AT_STAKE = Contract(
    "at_stake",
    "finding about a service that somebody should look at, with what it is worth",
    ("finding_id",),
    {
        **_of_finding,
        **_worth,
        "most_of_service_cents": column(
            "int64", "Most that is at stake for a finding of its service; empty if it is known of none", "cents", nullable=True, ge=0
        ),
        "must_of_service": column("boolean", "Whether a finding of its service must be decided"),
    },
)  # fmt: skip

WORKLIST = Contract(
    "worklist",
    "finding about a service that somebody should look at, in the order in which that is done",
    ("finding_id",),
    {
        **_of_finding,
        "place": column("int64", "Place in the list: most dollars a year first", ge=1),
        "listed_on": column(
            "string",
            "worklist; sample: below the dollars a year that are looked at one by one, and drawn; below_limit: not drawn",
            isin=["worklist", "sample", "below_limit"],
        ),
        **_worth,
    },
)

RECONCILIATION = Contract(
    "reconciliation",
    "identity that must hold, per district file or for the year",
    ("identity", "district_id", "source_file"),
    {
        "identity": column("string", "What is counted on both sides", not_empty=True),
        "district_id": column("string", "District; empty for the year as a whole"),
        "source_file": column("string", "File; empty if it concerns none"),
        "left_side": column("string", "What the left figure is"),
        "left_thousandths": column("int64", "Left figure", "thousandths"),
        "right_side": column("string", "What the right figure is"),
        "right_thousandths": column("int64", "Right figure", "thousandths"),
        "difference_thousandths": column("int64", "Left less right; 0 if the identity holds", "thousandths"),
    },
)

CONTENTS = Contract(
    "contents",
    "thing that a release of the year would rest on",
    ("kind", "name"),
    {
        "kind": column(
            "string",
            "delivery: a file that was read; extract, adjustments, decisions, overrides: what the office wrote; schedule, rules: what "
            "was adopted and how it is applied; table: rows that a release is made from",
            isin=CONTENT_KINDS,
        ),
        "name": column("string", "Which: a district and its file, a file of the workspace, a table", not_empty=True),
        "content_hash": column(
            "string", "SHA-256: of a file's bytes; of a table's rows as text in the order of its key", not_empty=True
        ),
        "rows": column("int64", "Rows of a table; empty for what is no table", "rows", nullable=True, ge=0),
    },
)

COUNTED_VOLUME = Contract(
    "counted_volume",
    "service and district whose consumption counts towards its average",
    ("service_id", "district_id", "volume_unit"),
    {
        "service_id": _service,
        "district_id": _district,
        "volume_unit": _volume_unit,
        "counted_volume_thousandths": column(
            "int64", "Volume that counts, with meters that are taken off", "thousandths of volume_unit"
        ),
        "periods_counted": column("int64", "Parts of periods that count", "parts", ge=1),
        "slice_id": _slice,
    },
)

DELIVERED_VOLUME = Contract(
    "delivered_volume",
    "delivered file for all its meters, and one for each kind of them that serves nobody",
    ("district_id", "source_file", "fate"),
    {
        "district_id": _district,
        "source_file": _file,
        "fate": column(
            "string", "Empty: all meters; else the step of the volume account in which those leave that serve nobody",
            isin=["", "known_non_sewer", "unmatched", "not_linked"],
        ),
        "records": column("int64", "Records of these meters", "records", ge=1),
        "records_inside": column("int64", "Of these, the ones with a day in the winter's window", "records", ge=0),
        "delivered_quantity_thousandths": column("int64", "Volumes or readings as delivered", "thousandths"),
        "volume_thousandths": column("int64", "Volume of the records", "thousandths of volume_unit"),
        "volume_inside_thousandths": column("int64", "Of it, the part of the days in the window", "thousandths of volume_unit"),
        "volume_unit": _volume_unit,
    },
    by_district=True,
)  # fmt: skip

LINKED_VOLUME = Contract(
    "linked_volume",
    "slice of services, district and step in which records of their meters leave; at a meter that may serve other slices too, one per record",
    ("slice_id", "district_id", "place", "source_file", "source_row", "source_column"),
    {
        "slice_id": _slice,
        "district_id": _district,
        "place": column("int64", "Place of the step among those of the volume account, the first being 1", ge=1),
        "source_file": column("string", "Delivered file of the record; empty for all records of meters that serve this slice only"),
        "source_row": column("int64", "Line or sheet row of the record; 0 for all of these", ge=0),
        "source_column": column("string", "Column of the record where a row has several; empty for all of these"),
        "records": column("int64", "Records with a day in the window that leave here", "records", ge=1),
        "at_link_thousandths": column("int64", "Their volume on days of the links, for the links' shares", "thousandths of the district's unit"),
        "at_history_thousandths": column("int64", "Of it, on days of the services' histories", "thousandths of the district's unit"),
        "of_no_sign_thousandths": column("int64", "Of that, at meters that do not count", "thousandths of the district's unit"),
        "of_deduct_thousandths": column("int64", "Of that, at meters that are taken off", "thousandths of the district's unit"),
        "signed_thousandths": column("int64", "What counts of it by the meters' purposes", "thousandths of the district's unit"),
        "entered_thousandths": column("int64", "The same after entries of the adjustment sheet", "thousandths of the district's unit"),
        "decided_thousandths": column("int64", "The same after decisions", "thousandths of the district's unit"),
    },
)  # fmt: skip

VOLUME_ACCOUNT = Contract(
    "volume_account",
    "district and step on the way from the delivery to the averages",
    ("district_id", "step"),
    {
        "district_id": _district,
        "place": column("int64", "Place of the step, the first being 1", ge=1),
        "step": column(
            "string", "; ".join(f"{step}: {meaning}" for step, meaning in VOLUME_STEPS.items()), isin=list(VOLUME_STEPS)
        ),
        "rows": column(
            "int64", "Records that come in (delivered) or go out here (below zero). A district's steps add to 0", "records"
        ),
        "volume_thousandths": column(
            "int64", "Volume that comes in, or goes out here (below zero). A district's steps add to 0",
            "thousandths of volume_unit",
        ),
        "volume_unit": column("string", "The district's unit; empty if it has no consumption", isin=[*UNITS, ""]),
    },
)  # fmt: skip

_OF_A_YEAR: dict[str, tuple[str, str]] = {
    "services": ("Services that are not excluded", "services"),
    "averaged": ("Of these, those with an average", "services"),
    "average_sum_thousandths": ("Sum of their averages per month", "thousandths of the unit"),
    "billed_services": ("Services with an amount for every bill of the year", "services"),
    "amount_a_year_cents": ("Bills of the year, as far as they have amounts", "cents"),
}

YEAR_ON_YEAR = Contract(
    "year_on_year",
    "district (slice of the store) and customer class, against the year before",
    ("slice_id", "customer_class"),
    {
        "slice_id": _slice,
        "customer_class": column("string", "Customer class", isin=CLASSES),
        **{name: column("int64", meaning, unit, ge=0) for name, (meaning, unit) in _OF_A_YEAR.items()},
        **{
            f"prior_{name}": column("int64", f"The year before: {meaning[0].lower()}{meaning[1:]}", unit, ge=0)
            for name, (meaning, unit) in _OF_A_YEAR.items()
        },
        "services_in_both": column("int64", "Services that are counted in both years, wherever they were then", "services", ge=0),
        "volume_unit": column("string", "Unit of the averages; empty without any", isin=[*UNITS, ""]),
        "prior_volume_unit": column("string", "Their unit the year before; empty if that was not run", isin=[*UNITS, ""]),
    },
)  # fmt: skip

CIS_EXTRACTS = Contract(
    "cis_extracts",
    "CIS extract that was read for the year, in the order in which they came",
    ("place",),
    {
        "place": column("int64", "Place among the year's extracts, the first being 1; the last one is in force", ge=1),
        "as_of": column("date", "Day whose state it shows (as_of.txt); empty if it does not say", nullable=True),
        "content_hash": column("string", "SHA-256 over the hashes of its sheets", not_empty=True),
        "received_on": column("date", "Day on which it was first read"),
    },
)

EXTRACT_REFRESH = Contract(
    "extract_refresh",
    "service and field that changed since the extract that was read before it for the same year",
    ("service_id", "change"),
    {
        "service_id": _service,
        "change": EXTRACT_CHANGES.columns["change"],
        "before": column("string", "Value in the extract before; empty for a new service"),
        "after": column("string", "Value in the extract in force; empty for one that is gone"),
    },
)

OVERRIDES = Contract(
    "overrides",
    "override of what holds up release, as it was made (a file of the workspace; not published)",
    ("override_id",),
    {
        "override_id": column("string", "Id; ids rise in the order in which overrides were made", not_empty=True),
        "block_id": column("string", "What was overridden", not_empty=True),
        "evidence_hash": column("string", "Hash of the rows that it was made on", not_empty=True),
        "rows": column("int64", "How many rows these were", "rows", ge=0),
        "reason": column("string", "Why", not_empty=True),
        "overridden_by": column("string", "Who said so", not_empty=True),
        "overridden_on": column("date", "When"),
    },
)

BILLS_ISSUED = Contract(
    "bills_issued",
    "bill that an agency has issued for the year, as it was first billed (a sheet of the office; not published)",
    ("service_id", "period_start"),
    {
        "service_id": _service,
        "billing_agency": column("string", "Who sent the bill", not_empty=True),
        "period_start": column("date", "First day of the bill"),
        "period_end": column("date", "First day after it"),
        "billed_winter_average_thousandths": column(
            "int64", "Winter average that it was billed on", "thousandths of the averages' unit", ge=0, le=10_000_000_000
        ),
        "billed_amount_cents": column(
            "int64", "Recurring charges that it was billed for", "cents", ge=0, le=100_000_000_000
        ),
        "actual_volume_thousandths": column(
            "int64", "What was used in it; empty if the rule does not ask", "thousandths of the averages' unit",
            nullable=True, ge=0, le=10_000_000_000, optional=True,
        ),
    },
)  # fmt: skip

EFFECTIVE_MEANS = {"shared_by_days": "service_days", "bills_issued_on_or_after": "bills_issued"}
"""What the rule says of a bill that crosses the effective date -> what a release says of that date."""

POSTED_AVERAGES = Contract(
    "posted_averages",
    "sewer service whose winter average is posted (a released file; not published)",
    ("service_id",),
    {
        "service_id": _service,
        "account_id": column("string", "Sewer account (the CIS's id)", not_empty=True),
        "premise_id": column("string", "Premise", not_empty=True),
        "billing_agency": column("string", "Who sends the bill", word=True),
        "old_winter_average_thousandths": column(
            "int64", "Winter average per month that the CIS bills from until then; empty if none", "thousandths of volume_unit",
            nullable=True, ge=0,
        ),
        "new_winter_average_thousandths": column(
            "int64", "Winter average per month from the effective date", "thousandths of volume_unit", ge=0
        ),
        "volume_unit": column("string", "Unit of both averages", isin=UNITS),
        "source_code": column("string", "How the average came about", isin=DERIVATIONS),
        "effective_date": column("date", "First day on which the average is billed"),
        "effective_means": column(
            "string", "Whether it holds for service days, or for bills issued, on and after that day", isin=[*EFFECTIVE_MEANS.values()]
        ),
        "billing_frequency": column("string", "How often a bill is sent", isin=FREQUENCIES),
        "preview_amount_cents": column(
            "int64", "What one billing period would come to, for checking; empty if held", "cents", nullable=True, ge=0
        ),
        "bill_status": column(
            "string", "ready, provisional (average carried forward) or held", isin=["ready", "provisional", "held"]
        ),
    },
)  # fmt: skip

DIFFERENCES = Contract(
    "differences",
    "sewer service and billing agency whose posting differs from the version before (a released file; not published)",
    ("service_id", "billing_agency"),
    {
        "service_id": _service,
        "billing_agency": column("string", "Who sends the bill", word=True),
        "old_winter_average_thousandths": column(
            "int64", "Winter average that the version before posted; empty if none", "thousandths of volume_unit", nullable=True, ge=0
        ),
        "new_winter_average_thousandths": column(
            "int64", "Winter average that this version posts; empty if none", "thousandths of volume_unit", nullable=True, ge=0
        ),
        "volume_unit": column("string", "Unit of both averages", isin=UNITS),
        "effective_date": column("date", "First day on which the new average is billed"),
        "reason": column("string", "Why it differs", not_empty=True),
    },
)  # fmt: skip

CREDITED_BILLS = Contract(
    "credits",
    "bill that was issued and is credited, charged, held or outside the look-back (a released file; not published)",
    ("service_id", "period_start"),
    {
        "billing_agency": column("string", "Who sent the bill", not_empty=True),
        "service_id": _service,
        "account_id": column("string", "Sewer account (the CIS's id); empty if the CIS extract has no such service"),
        "period_start": column("date", "First day of the bill"),
        "period_end": column("date", "First day after it"),
        "billed_average_thousandths": column(
            "int64", "Winter average that it was billed on", "thousandths of volume_unit", ge=0
        ),
        "new_average_thousandths": column(
            "int64", "Winter average that stands; empty if none", "thousandths of volume_unit", nullable=True, ge=0
        ),
        "volume_unit": column("string", "Unit of averages and volumes", isin=UNITS),
        "billed_volume_thousandths": column(
            "int64", "The bill's volume on the average that it was billed on; empty if not known", "thousandths of volume_unit",
            nullable=True, ge=0,
        ),
        "corrected_volume_thousandths": column(
            "int64", "The bill's volume on the average that stands; empty if not known", "thousandths of volume_unit",
            nullable=True, ge=0,
        ),
        "billed_amount_cents": column("int64", "Recurring charges that it was billed for", "cents", ge=0),
        "corrected_amount_cents": column(
            "int64", "Recurring charges on the average that stands; empty if it cannot be rated", "cents", nullable=True, ge=0
        ),
        "credited_before_cents": column("int64", "Credited by the releases before", "cents", ge=0),
        "charged_before_cents": column("int64", "Charged by the releases before", "cents", ge=0),
        "credit_cents": column("int64", "Still to be credited; 0 unless that is the outcome", "cents", ge=0),
        "charge_cents": column("int64", "Still to be charged; 0 unless that is the outcome", "cents", ge=0),
        "outcome": column(
            "string", "credit; charge; outside_look_back: its last day is before the look-back; held: a person has to look",
            isin=["credit", "charge", "outside_look_back", "held"],
        ),
        "note": column("string", "Why it is held; else empty"),
    },
)  # fmt: skip

APPEALS = Contract(
    "appeals",
    "appeal against an average of the year (a sheet of the office; not published)",
    ("appeal_id",),
    {
        "appeal_id": column("string", "Id of the appeal", not_empty=True),
        "service_id": _service,
        "received": column("date", "Day on which it came"),
        "due": column("date", "Last day on which it may be decided"),
        "decided": column("date", "Day on which it was decided; empty while it is open", nullable=True),
        "outcome": column("string", "What was decided; empty while it is open", isin=["", *APPEAL_OUTCOMES]),
        "realised_by": column(
            "string", "Adjustment or decision of the year by which a granted appeal changes the average; else empty"
        ),
        "entered_by": column("string", "Who entered it", not_empty=True),
    },
)

ANSWERS = Contract(
    "answers",
    "sewer service of which a billing system says what became of its posting (a sheet of the office; not published)",
    ("service_id",),
    {
        "service_id": _service,
        "status": column("string", "accepted or refused", isin=["accepted", "refused"]),
        "winter_average_thousandths": column(
            "int64", "Winter average that the billing system bills from; may be empty where it refused", "thousandths of the averages' unit",
            nullable=True, ge=0, le=10_000_000_000,
        ),
        "reason": column("string", "Why it was refused, in the billing system's words; else empty", optional=True),
    },
)  # fmt: skip

ANSWER_TOTALS = Contract(
    "answer_totals",
    "billing agency with the totals that its billing system states itself (a sheet of the office; not published)",
    ("billing_agency",),
    {
        "billing_agency": column("string", "Who sends the bill", not_empty=True),
        "accepted": column("int64", "Services that it accepted", ge=0),
        "refused": column("int64", "Services that it refused", ge=0),
        "winter_average_thousandths": column(
            "int64", "Sum of the averages that it accepted", "thousandths of the averages' unit", ge=0
        ),
    },
)

PUBLISHED = [
    DELIVERIES, DELIVERY_TOTALS, CONSUMPTION, METERS, REJECTED_ROWS, SEWER_SERVICES, METER_LINKS, NON_SEWER_ACCOUNTS,
    CURRENT_AVERAGES, STRENGTHS, RECEIVABLES, EXTRACT_CHANGES, SERVICE_CONSUMPTION, UNMATCHED, ADJUSTMENTS, PAST_ADJUSTMENTS, ADJUSTMENT_STEPS,
    REFUSED_ADJUSTMENTS, IRREGULAR_USE, PROPOSED_CORRECTIONS, DISTRICT_USE, FINDINGS, DECISION_ENTRIES, DECISIONS, ADJUSTED_CONSUMPTION,
    COUNTED_USE, WINTER_AVERAGES, RELEASED_CLASS_AVERAGES, CLASS_AVERAGES, BILLING_BASIS, BILLS, BILL_LINES, RATE_SCHEDULE, BILL_FILES, AT_STAKE, WORKLIST,
    COUNTED_VOLUME, DELIVERED_VOLUME, LINKED_VOLUME, VOLUME_ACCOUNT, YEAR_ON_YEAR, CIS_EXTRACTS, EXTRACT_REFRESH, RECONCILIATION, CONTENTS,
]  # fmt: skip
"""Every table of ``billing.duckdb``."""
