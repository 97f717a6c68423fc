"""Why a row of a file is not a row of consumption.

Belongs here: reason codes, their kind, and the sentence that can be sent to the district.
Does not belong here: finding them (the readers and ``assets.consumption`` do).

Kinds: ``refused`` (cannot be used as it stands), ``duplicate`` (the same row was already taken), ``set_aside`` (right as it
is, but no consumption: the first reading of a meter, an empty month). Every record of a file is consumption or one of these.
"""

from __future__ import annotations

REASONS: dict[str, tuple[str, str]] = {
    "file_unreadable": ("refused", "the file could not be read in the layout that the registry announces"),
    "field_count": ("refused", "the line has another number of fields than the header"),
    "line_cut_off": ("refused", "the last line has no line end; the file seems to be cut off"),
    "record_kind_unknown": ("refused", "the line begins like no record of the announced layout"),
    "record_length": ("refused", "the line has another length than the layout announces"),
    "stray_quote": ("refused", "a quotation mark is opened and not closed, or stands inside a field"),
    "control_character": ("refused", "a field holds a control character"),
    "account_missing": ("refused", "the account number is empty"),
    "account_is_formula": ("refused", "the account number begins like a spreadsheet formula"),
    "account_too_long": ("refused", "the account number is longer than the district's numbers are"),
    "check_digit_wrong": ("refused", "the account number's check digit does not belong to its other digits"),
    "account_not_in_cross_reference": (
        "refused",
        "the account number is not in the cross-reference sheet, or stands there under two numbers",
    ),
    "cross_reference_unusable": (
        "refused",
        "this row of the cross-reference sheet cannot be read, or a number in it is empty, wrong or begins like a formula",
    ),
    "cross_reference_ambiguous": (
        "refused",
        "the cross-reference sheet gives two numbers for this account; which one is it?",
    ),
    "field_too_long": ("refused", "a field is longer than 200 characters"),
    "date_unreadable": ("refused", "a date is missing, does not exist, or is not written in the announced format"),
    "days_unreadable": ("refused", "the number of days is not a whole number"),
    "period_backward": ("refused", "the period ends before it starts, or on the same day"),
    "period_too_long": ("refused", "the period is longer than 400 days"),
    "period_in_the_future": ("refused", "the period ends after the billing year's effective date"),
    "period_after_year": ("set_aside", "the period ends after the billing year's effective date; it is a later year's"),
    "multiplier_unreadable": (
        "refused",
        "the multiplier is not a number above zero, at most 10,000 with three decimals",
    ),
    "multiplier_changed": ("refused", "the meter's multiplier differs from that of the reading before"),
    "unit_unknown": ("refused", "the row states a unit that is not the district's"),
    "volume_missing": ("refused", "the volume is empty"),
    "volume_unreadable": ("refused", "the volume is not a number in the announced notation"),
    "volume_too_precise": ("refused", "the volume has more than three decimals"),
    "volume_out_of_range": (
        "refused",
        "the volume is beyond anything a meter can register (10,000,000 units), or the reading has more digits than the register",
    ),
    "volume_negative": ("refused", "the volume is below zero and this district's entry does not allow credits"),
    "read_type_unknown": ("refused", "the read type is not in the district's entry"),
    "reading_backward": ("refused", "the register went back and it is not a rollover; no use is counted across it"),
    "same_period_other_values": ("refused", "the meter and period stand again with another volume; both are refused"),
    "exact_duplicate": ("duplicate", "the same row was delivered before, equal in every field that is read"),
    "opening_reading": ("set_aside", "the first reading of the meter: it opens the first period and has no use"),
    "no_register": ("set_aside", "the meter has no further register"),
    "empty_month": ("set_aside", "the month is empty: the account had no service in it, or no figure was sent"),
    "value_unreadable": ("refused", "a value is missing or not of the kind its column holds"),
    "key_repeated": ("refused", "the row's key stands more than once"),
}

NOT_OF_RECORDS = ("file_unreadable", "cross_reference_unusable", "cross_reference_ambiguous")
"""Reasons of what is no record of consumption."""
