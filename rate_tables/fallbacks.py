"""What a service is averaged by in the end: its own winter, or what stands in for it, in the order that the rule states.

Belongs here: who is averaged, the ladder of fallbacks, class averages, what the result is applied as.
Does not belong here: the average itself (``averaging``), reading or writing.
"""

from __future__ import annotations

import datetime as dt

import ibis
import ibis.expr.types as ir

from rate_tables.averaging_rule import AveragingRule, Enough, Fallback, thousandths_of, windows_of
from rate_tables.averaging_steps import Round
from rate_tables.counted_use import of_window, window_number
from rate_tables.exact import round_half_away, widened


def effective_of(services: ir.Table, rule: AveragingRule, effective: dt.date) -> ir.DateValue:
    """The day from which each service's new average is billed."""
    windows = windows_of(rule, effective)
    return of_window(window_number(services, windows), windows, lambda w: w.effective)  # type: ignore[return-value]


def _from(rule: AveragingRule, *sources: str) -> list[str]:
    """Classes whose quantity comes from one of ``sources``."""
    return [name for name, source in rule.quantity_from.value.items() if source in sources]


def _is_closed(services: ir.Table, rule: AveragingRule, effective: dt.date) -> ir.BooleanValue:
    ends = services.service_end <= effective_of(services, rule, effective)
    return ~services.status.isin(list(rule.statuses.value)) | ends.fill_null(False)


def class_key(services: ir.Table, rule: AveragingRule) -> ir.StringValue:
    """Of which class average a service is: what it has in common with the others, in words."""
    names = rule.class_average_of.value if rule.class_average_of else ()
    if not names:
        return ibis.literal("all services")
    key = ibis.literal("")
    for place, name in enumerate(names):
        key = key + ibis.literal(f"{', ' if place else ''}{name.replace('_', ' ')} ") + services[name].cast("string")
    return key


def class_averages(services: ir.Table, rule: AveragingRule, effective: dt.date) -> ir.Table:
    """One row per class: class_key, services, class_average_thousandths. None where the rule asks for no class average.

    ``services`` have average_thousandths and has_enough_history; those in force whose own winter was averaged make the class
    average: their mean, each counted once, rounded half up to what the rule rounds an average to.
    """
    rounded = [step for step in rule.steps if isinstance(step, Round)]
    to = thousandths_of(rounded[-1].to)
    counts = (
        ~_is_closed(services, rule, effective)
        & (services.volume_source == "district")
        & services.customer_class.isin(_from(rule, "winter_average", "measured_effluent"))
        & services.has_enough_history.fill_null(False)
    )
    if not rule.takes("class_average"):
        counts = ibis.literal(False)
    of_class = services.mutate(class_key=class_key(services, rule)).filter(counts)
    totals = of_class.group_by("class_key").agg(total=ibis._.average_thousandths.sum(), services=ibis._.count())
    return totals.select(
        "class_key", "services", class_average_thousandths=round_half_away(totals.total, totals.services * to) * to
    )


def undecided(services: ir.Table) -> ir.Table:
    """Services about whose averages no person has said anything, as ``with_fallbacks`` wants them."""
    return services.mutate(
        set_average_thousandths=ibis.null("int64"),
        keeps_prior_average=ibis.literal(False),
        set_by=ibis.null("string"),
        has_left_out=ibis.literal(False),
        history_note=ibis.null("string"),
    )


def _in_words(enough: Enough) -> str:
    said = []
    if enough.days is not None:
        said.append(f"{enough.days} days")
    if enough.coverage is not None:
        said.append(f"{(enough.coverage * 100).normalize():f} % of the days")
    if enough.count is not None:
        long = f" of at least {enough.of_at_least_days} days" if enough.of_at_least_days else ""
        said.append(f"{enough.count} month{'s' if enough.count > 1 else ''}{long}")
    if enough.full is not None:
        said.append(f"{enough.full} full month{'s' if enough.full > 1 else ''}")
    return " and ".join(said)


def too_little(rule: AveragingRule) -> str:
    """What a service without enough history lacks, in words."""
    asked = " or ".join(_in_words(enough) for enough in rule.enough_history.value)
    of = "the present occupant's" if rule.whose_history.value == "occupant" else "the premise's"
    return f"less than {asked} of {of} winter are known"


def _taken(
    fallback: Fallback, s: ir.Table, default: ir.IntegerValue
) -> tuple[ir.BooleanValue, str, ir.IntegerValue, str]:
    """Where a fallback can be taken, the word for it, its average, and what the note says after what is lacking."""
    match fallback.take:
        case "previous_occupant":
            average = s.previous_occupant_average_thousandths
            return average.notnull(), "previous_occupant", average, "; the winter of the occupant before stands in"
        case "prior_year":
            average = s.prior_average_thousandths
            return s.prior_is_own, "prior_year", average, "; the occupant's own average in force stays"
        case "class_average":
            average = s.class_average_thousandths
            return average.notnull(), "class_average", average, "; the average of its class"
        case "default":
            return default.notnull(), "default", default, "; the default of its class"
        case "hold":
            return ibis.literal(True), "held", ibis.null("int64"), ""


def with_fallbacks(s: ir.Table, rule: AveragingRule, effective: dt.date) -> ir.Table:
    """Services with derivation, winter_average_thousandths, derivation_note and how the average is applied.

    ``s``: one row per service as in the CIS extract, with the columns of ``averages_of_services``, is_awaited (its district has
    not delivered), prior_average_thousandths (in the rule's unit), prior_is_own, class_average_thousandths,
    set_average_thousandths (an average that a person set, in the rule's unit), keeps_prior_average (a person decided that the
    average in force stays), set_by (the entry or decision that says so), has_left_out (periods were left out of its winter),
    history_note (what a person should know of its winter, in words, or null).

    Adds also applied_as ("" without an average), applied_in_months (numbers, "" for all), other_months_billed_from ("" where
    all are alike), yields_to_lower_actual_after_months, crossing_bill, is_provisional.
    """
    short = too_little(rule)
    excluded_sources = [v for v, what in rule.other_volume_sources.value.items() if what == "exclude"]
    metered, fixed = _from(rule, "metered"), _from(rule, "fixed_per_edu")
    defaults = rule.no_history_default.value if rule.no_history_default else {}
    default = ibis.cases(
        *((s.customer_class == name, ibis.literal(thousandths_of(value), "int64")) for name, value in defaults.items()),
        else_=ibis.null("int64"),
    ) if defaults else ibis.null("int64")  # fmt: skip
    per_edu = thousandths_of(rule.fixed_volume_per_edu.value) if rule.fixed_volume_per_edu else 0
    is_closed, is_excluded = _is_closed(s, rule, effective), s.volume_source.isin(excluded_sources)
    is_metered = s.customer_class.isin(metered) if metered else ibis.literal(False)
    is_fixed = s.customer_class.isin(fixed) if fixed else ibis.literal(False)
    is_measured = s.volume_source == "district"
    has_prior = s.prior_average_thousandths.notnull()
    enough = is_measured & s.has_enough_history.fill_null(False)

    to_know = (ibis.literal("; ") + s.history_note).fill_null("")
    source = ibis.literal("volume source ") + s.volume_source
    takes = [(fallback, *_taken(fallback, s, default)) for fallback in rule.without_enough_history.value]
    none_left = " and its class has no default: a person has to set one" if defaults else ": a person has to set one"
    held = ibis.null("int64")
    outcomes: list[tuple[ir.BooleanValue, str, ir.IntegerValue, ir.StringValue | str, Fallback | None]] = [
        (is_closed, "excluded", held, "the service is closed or ends by the effective date", None),
        (is_excluded, "excluded", held, source + " is billed by agreement, not by winter average", None),
        (is_metered, "excluded", held,
         ibis.literal("class ") + s.customer_class + " is billed from its metered use, not from a winter average", None),
        (is_fixed, "fixed", round_half_away(widened(s.edu_thousandths) * per_edu, 1000),
         ibis.literal("class ") + s.customer_class + " is billed a fixed volume per EDU", None),
        (s.set_average_thousandths.notnull(), "override", s.set_average_thousandths,
         ibis.literal("a person set this average: ") + s.set_by, None),
        (s.keeps_prior_average & has_prior, "prior_year", s.prior_average_thousandths,
         ibis.literal("a person decided that the average in force stays: ") + s.set_by, None),
        (s.keeps_prior_average, "held", held,
         ibis.literal("a person decided that the average in force stays, and there is none: ") + s.set_by, None),
        (~is_measured & has_prior, "prior_year", s.prior_average_thousandths,
         source + ": no district history, the average in force stays", None),
        (is_measured & s.is_awaited & has_prior, "carried_forward", s.prior_average_thousandths,
         "its district has not delivered; the average in force stays until it does", None),
        (is_measured & s.is_awaited, "held", held, "its district has not delivered and there is no average in force", None),
        # A credit for what was estimated too high belongs to earlier months: nobody used less than nothing.
        (enough & (s.winter_volume_thousandths < 0), "held", held,
         "the winter's volumes add to less than zero, as after estimates that were too high: a person has to decide", None),
        (enough & ((s.periods_adjusted > 0) | s.has_left_out), "adjusted", s.average_thousandths,
         ibis.literal("from its own winter, with consumption adjustments") + to_know, None),
        (enough, "computed", s.average_thousandths, ibis.literal("from its own winter") + to_know, None),
        *((can, word, average, short + note, fallback) for fallback, can, word, average, note in takes if word != "held"),
        (~is_measured, "held", held, source + " and no average in force: a person has to set one", None),
    ]  # fmt: skip
    place = ibis.cases(
        *((where, ibis.literal(n, "int64")) for n, (where, *_) in enumerate(outcomes)), else_=len(outcomes)
    )
    # Averages and notes are worked out where the place is known, so that each row has those of its own outcome worked out only.
    s = s.mutate(place=place)
    numbers = range(len(outcomes))
    derivation = ibis.cases(*((s.place == n, outcomes[n][1]) for n in numbers), else_="held")
    own = rule.applied.value
    other_words = {n: f.applied_as for n in numbers if (f := outcomes[n][4]) and f.applied_as}
    yields = {n: f.yields_to_lower_actual_after_months for n in numbers if (f := outcomes[n][4])}
    is_decided = s.set_average_thousandths.notnull() | s.keeps_prior_average
    is_averaged = derivation.notin(["excluded", "fixed"])
    s = s.mutate(
        derivation=derivation,
        winter_average_thousandths=ibis.cases(*((s.place == n, outcomes[n][2]) for n in numbers), else_=ibis.null("int64")),
        derivation_note=ibis.cases(*((s.place == n, outcomes[n][3]) for n in numbers), else_=short + none_left),
        yields_to_lower_actual_after_months=ibis.cases(
            *((s.place == n, ibis.literal(months, "int64")) for n, months in yields.items() if months),
            (s.place < 0, ibis.null("int64")), else_=ibis.null("int64"),
        ),
        is_provisional=s.is_awaited & is_measured & is_averaged & ~is_decided,
    )  # fmt: skip
    has_average = s.winter_average_thousandths.notnull()
    return s.mutate(
        applied_as=ibis.cases(
            (~has_average, ""),
            (s.derivation == "fixed", "average"),
            *((s.place == n, word) for n, word in other_words.items()),
            else_=own.applied_as,
        ),
        applied_in_months=ibis.ifelse(has_average, ", ".join(map(str, own.months)), ""),
        other_months_billed_from=ibis.ifelse(has_average, own.other_months or "", ""),
        crossing_bill=ibis.literal(rule.crossing_bill.value),
    ).drop("place")
