"""``district check`` and ``district guess``, as a data person meets them.

Belongs here: that a check says what a run would do, that what does not fit is pointed out, that a draft is right or asks.
Does not belong here: the document (``test_docs``), reading (``tests/assets``).
"""

from __future__ import annotations

import datetime as dt
import itertools
import random
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from drafts import FILES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutated_files import DAMAGES, mutations
from whole_runs import SAMPLE_YEAR, SampleRun, annual_billing, committed_sample, query

from pipelines.district_entry.check import check
from pipelines.district_entry.guess import Draft, guess
from pipelines.district_entry.notation import number_notation
from pipelines.district_entry.shown import Checked
from pipelines.district_entry.unknown_file import CannotGuess
from pipelines.simulation import simulate
from rate_tables.config_file import ConfigError, load_config
from validations.district import District
from validations.workspace import Workspace


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The sample as it is simulated, without a run."""
    folder = committed_sample(tmp_path_factory.mktemp("simulated") / "sample")
    simulate(folder)
    return Workspace(folder)


def delivery(workspace: Workspace, district: str) -> Path:
    return workspace.deliveries(SAMPLE_YEAR, workspace.district(district, SAMPLE_YEAR))


def checked(workspace: Workspace, district: str, path: Path | None = None, **changes: Any) -> Checked:
    """The check of a district's delivery, or of ``path``, with keys of its entry replaced."""
    entry = workspace.district(district, SAMPLE_YEAR)
    content = entry.model_dump(mode="json")
    for key, value in changes.items():
        content[key] = {**content[key], **value} if isinstance(value, dict) else value
    year = workspace.year(SAMPLE_YEAR)
    return check(workspace, year, District.model_validate(content), path or delivery(workspace, district))


def everything(result: Checked) -> str:
    """All the text of a check."""
    parts = [
        "\n".join(part) if isinstance(part, list) else "\n".join(" ".join(row) for row in [[part.title], *part.rows])
        for part in result.parts
    ]
    return "\n".join([result.title, *parts, *result.against, *result.to_know])


@pytest.mark.parametrize("district", ["bellflower", "foxglove", "hazel_fen"])
def test_a_check_says_what_the_run_did(sample: SampleRun, district: str) -> None:
    before = sorted(sample.folder.rglob("*"))
    workspace = Workspace(sample.folder)
    path = delivery(workspace, district)
    if district == "foxglove":
        path = path / FILES[district][1]
    done = annual_billing("district", "check", path, "--district", district, "--workspace", sample.folder)
    assert done.code == 0, done.out + done.err
    assert sorted(sample.folder.rglob("*")) == before
    run = query(
        sample.folder,
        "SELECT reason_kind, reason_code, count(*) FROM rejected_rows WHERE district_id = ? AND billing_year = ? GROUP BY ALL",
        district, SAMPLE_YEAR,
    )  # fmt: skip
    said = re.findall(r"^(refused|duplicate|set aside): ([0-9,]+) rows?, (\w+):", done.out, re.M)
    assert {(k.replace(" ", "_"), c, int(n.replace(",", ""))) for k, n, c in said} == set(run)
    assert run
    table = done.out.split("What became of each file")[1].split("\n\n")[0].splitlines()[3:]
    ((taken,),) = query(
        sample.folder,
        "SELECT count(*) FROM consumption WHERE district_id = ? AND billing_year = ?",
        district,
        SAMPLE_YEAR,
    )
    assert sum(int(line.split()[3].replace(",", "")) for line in table) == taken


@pytest.mark.parametrize("district", sorted(FILES))
def test_the_entries_of_the_sample_fit_their_files(simulated: Workspace, district: str) -> None:
    assert checked(simulated, district).against == []


@pytest.mark.parametrize(
    ("district", "changes", "sentence"),
    [
        ("alder_creek", {"volume": {"unit": "gal"}}, r"median account uses 0\.01 CCF .* Read as hundred cubic feet"),
        ("alder_creek", {"volume": {"unit": "cf"}}, r"the unit or the decimals do not fit"),
        ("dunmore", {"volume": {"implied_decimals": 0}}, r"the unit or the decimals do not fit"),
        ("dunmore", {"period_end_is": "next_read", "billing_cycle": "monthly"}, r"typically has 6\d days, and billing_cycle monthly"),
        ("alder_creek", {"date_format": "%d/%m/%Y"}, r"day and month are exchanged"),
        ("alder_creek", {"columns": {"volume": "Usage"}}, r"lacks the column 'Usage'; it has: Account No"),
        ("alder_creek", {"layout": {"delimiter": ";"}}, r"lacks the column 'Account No'"),
        ("alder_creek", {"volume": {"decimal_mark": ","}}, r"records \(100\.0%\) are refused; 1 % are tolerated"),
        ("cinder_butte", {"layout": {"sheet": "Use"}}, r"no sheet 'Use'; it has: Consumption"),
        ("hazel_fen", {"trailer": {"total": {"position": 2}}}, r"states a sum of .* and holds"),
        ("foxglove", {"zip_members": "*.txt"}, r"none of the zip's 4 members is \*\.txt"),
        ("foxglove", {"zip_members": None}, r"the file is a zip archive; announced is text"),
        ("bellflower", {"files": "*.xlsx"}, r"no file \*\.xlsx was found"),
        ("bellflower", {"volume": {"unit": "thousand_gal"}}, r"Read as hundreds of US gallons it would"),
    ],
)  # fmt: skip
def test_what_does_not_fit_speaks_against_running_it(
    simulated: Workspace, district: str, changes: dict[str, Any], sentence: str
) -> None:
    against = checked(simulated, district, **changes).against
    assert any(re.search(sentence, a) for a in against), against


def test_a_sample_of_another_year_is_pointed_out(simulated: Workspace) -> None:
    older = simulated.folder / "deliveries" / "2017" / "alder_creek"
    assert any(
        "No record reaches into the winter of billing year 2019" in a
        for a in checked(simulated, "alder_creek", older).against
    )


def test_a_file_alone_is_read_whatever_its_name_and_a_person_is_told(simulated: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "from [mail] *{year}.txt"
    path.write_bytes((delivery(simulated, "alder_creek") / "alder_creek_2019.csv").read_bytes())
    (tmp_path / "other.txt").write_text("nothing of it\n", encoding="utf-8")
    result = checked(simulated, "alder_creek", path)
    assert result.against == []
    assert any("would leave from [mail] *{year}.txt out for its name" in s for s in result.to_know)
    assert "other.txt" not in everything(result)


def test_nothing_that_a_terminal_obeys_is_shown(simulated: Workspace, tmp_path: Path) -> None:
    evil = "\x1b[2J\x1b]0;owned\x07\u202etxt.\x9b31m"
    good = (delivery(simulated, "alder_creek") / "alder_creek_2019.csv").read_text(encoding="utf-8").splitlines()
    files = {
        "fields.csv": [good[0], good[1].replace(",A", f",{evil}"), *good[2:60], f"{evil},1,2,3,4,5"],
        "header.csv": [good[0].replace("Meter No", evil), *good[1:60]],
        "unused.csv": [good[0] + f",{evil}", *(line + f",{evil}" for line in good[1:60])],
        f"name{evil}.csv": good[:60],
    }
    for name, lines in files.items():
        path = tmp_path / name
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        text = everything(checked(simulated, "alder_creek", path)) + guess(path).text
        assert [c for c in text if not c.isprintable() and c != "\n"] == []


def test_the_call_the_entry_and_the_file_have_exit_codes_of_their_own(simulated: Workspace, tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("district: x1\nname: X\n\nvolume: {unit: buckets}\n", encoding="utf-8")
    huge = tmp_path / "huge.csv"
    with huge.open("wb") as file:
        file.truncate(3_000_000_000)
    at = ("--workspace", simulated.folder)
    calls: list[tuple[list[object], int, str]] = [
        (["check", tmp_path / "none.csv", "-d", "dunmore", *at], 2, r"none\.csv: does not exist"),
        (["check", huge, *at], 2, r"either --district ID, .* or --entry FILE"),
        (["check", huge, "-d", "nobody", *at], 2, r"'nobody' is not in the registry; there are: alder_creek"),
        (["check", huge, "-e", broken, *at], 2, r"broken\.yaml, line 4: key volume\.unit: 'buckets' is not allowed"),
        (["check", "/dev/zero", "-d", "dunmore", *at], 2, r"no ordinary file"),
        (["check", huge, "-d", "dunmore", *at], 1, r"has 3,000\.0 MB, and largest_file_mb allows 2,000 MB; it is not read"),
        (["guess", "/dev/zero"], 2, r"there is no such file"),
        (["guess", huge], 1, r"No entry can be drafted: "),
    ]  # fmt: skip
    for arguments, code, sentence in calls:
        done = annual_billing("district", *arguments)
        assert done.code == code, (arguments, done.out, done.err)
        assert re.search(sentence, done.out + done.err), (arguments, done.out, done.err)
        assert "Traceback" not in done.err
        assert "unexpected" not in done.err


def test_a_draft_is_written_once_and_never_over_an_entry(simulated: Workspace, tmp_path: Path) -> None:
    path = delivery(simulated, "alder_creek") / "alder_creek_2019.csv"
    arguments = ("district", "guess", path, "--write-to", "office@alder.example", "--write", tmp_path / "districts")
    first = annual_billing(*arguments)
    assert (first.code, first.out) == (0, "")
    written = tmp_path / "districts" / "alder_creek.yaml"
    entry = load_config(District, written)
    assert entry.write_to == "office@alder.example"
    again = annual_billing(*arguments)
    assert again.code == 2
    assert "it is not overwritten" in again.err


def test_broken_files_cost_a_sentence_or_a_draft_that_asks(simulated: Workspace, tmp_path: Path) -> None:
    drafts, sentences = list[Draft](), list[str]()
    for number, mutation in enumerate(mutations(simulated, SAMPLE_YEAR, len(DAMAGES) * len(FILES), seed=11)):
        path = tmp_path / f"{number}{Path(mutation.source_file).suffix}"
        path.write_bytes(mutation.content)
        try:
            drafts.append(guess(path, "broken", "Broken", "office@broken.example"))
        except CannotGuess as sentence:
            sentences.append(str(sentence))
        path.unlink()
    assert all(sentence.isprintable() for sentence in sentences)
    assert min(len(drafts), len(sentences)) > 8
    for draft in drafts:
        assert all(c.isprintable() or c == "\n" for c in draft.text)
        try:
            District.model_validate(yaml.safe_load(draft.text))
            loads = True
        except ValueError:
            loads = False
        assert loads == (not draft.unanswered), draft.text


def written(value: float, decimals: int, mark: str, thousands: str) -> str:
    text = f"{value:,.{decimals}f}"
    return text.translate(str.maketrans({",": thousands or None, ".": mark}))


@dataclass(frozen=True)
class History:
    """A file, what of its entry can be right only one way, and each volume's text with its value."""

    text: str
    right: dict[str, Any]
    volumes: dict[str, float]


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Files in many notations."""
    rng = random.Random(draw(st.integers(0, 10**6)))  # noqa: S311 - invented volumes
    delimiter = draw(st.sampled_from([",", ";", "|", "\t"]))
    date_format = draw(
        st.sampled_from(["%m/%d/%Y", "%d/%m/%Y", "%Y-%m-%d", "%d.%m.%y", "%Y%m%d", "%d-%b-%Y", "%m-%d-%y"])
    )
    mark, thousands = draw(st.sampled_from([(".", ""), (",", ""), (".", ","), (",", "."), (".", "'")]))
    unit, per_month, decimals = draw(
        st.sampled_from([("ccf", 8, 1), ("gal", 6_000, 0), ("m3", 22, 2), ("cf", 800, 0), ("thousand_gal", 6, 1)])
    )
    months = draw(st.sampled_from([1, 2, 3]))
    ends = draw(st.sampled_from(["next_read", "last_day"]))
    has_header, has_days, first_of_month = draw(st.booleans()), draw(st.booleans()), draw(st.booleans())
    has_header = has_header or draw(st.booleans())
    lines, volumes = [], dict[str, float]()
    for account in range(12):
        read = dt.date(2018, 5, 1 if first_of_month else rng.randint(1, 28))
        size = per_month * rng.uniform(0.7, 1.6)
        for _ in range(12 // months):
            step = rng.randint(29, 32) if not first_of_month else 0
            following = read + dt.timedelta(days=step * months)
            if first_of_month:
                following = dt.date(read.year + (read.month + months > 12), (read.month + months - 1) % 12 + 1, 1)
            last = following - dt.timedelta(days=1) if ends == "last_day" else following
            amount = size * months * rng.uniform(0.8, 1.2)
            volume = written(amount, decimals, mark, thousands)
            volumes[volume] = round(amount, decimals)
            cells = [
                f"{1000 + 37 * account}-{account:02d}",
                f"M{7000 + 13 * account}",
                read.strftime(date_format),
                last.strftime(date_format),
                volume,
            ]
            if has_days:
                cells.append(str((following - read).days))
            lines.append([f'"{c}"' if delimiter in c else c for c in cells])
            read = following
    names = ["Account", "Meter", "From", "To", f"Use {unit.replace('_', ' ')}", "Days"][: len(lines[0])]
    rows = [names, *lines] if has_header else lines
    refs: list[Any] = [n if has_header else {"position": i} for i, n in enumerate(names, start=1)]
    right = {
        "layout": {"delimiter": delimiter, "header_row": int(has_header)},
        "columns": dict(zip(["account", "meter", "period_start", "period_end", "volume"], refs, strict=False)),
        "date_format": date_format,
        "period_end_is": ends,
        "billing_cycle": ["monthly", "two_monthly", "quarterly"][months - 1],
        "volume": {"unit": unit},
    }
    return History("\n".join(delimiter.join(row) for row in rows) + "\n", right, volumes)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=histories())
def test_a_draft_is_right_or_it_asks(tmp_path: Path, history: History) -> None:
    path = tmp_path / "history.txt"
    path.write_text(history.text, encoding="utf-8")
    draft = guess(path, "drafted", "Drafted", "office@drafted.example")
    content = yaml.safe_load(draft.text)
    seen = f"\n{draft.text}\n{history.text[:400]}"
    for key, value in history.right.items():
        found = content[key]
        if isinstance(value, dict):
            assert {k: found.get(k) for k in value if found.get(k) != "?"}.items() <= value.items(), f"{key}{seen}"
        else:
            assert found in (value, "?"), f"{key}{seen}"
    decimal, thousands = content["volume"].get("decimal_mark", "."), content["volume"].get("thousands_mark", "")
    if decimal != "?":
        for text, amount in history.volumes.items():
            bare = text.replace(thousands, "") if thousands else text
            assert float(bare.replace(decimal, ".")) == pytest.approx(amount), f"{text}{seen}"


@pytest.mark.parametrize(
    ("texts", "marks"),
    [
        (["812", "1,012", "930", "12,200"], (".", ",", "before")),
        (["812", "1.012", "930", "12.200"], (",", ".", "before")),
        (["8,5", "10,25", "930"], (",", "", "before")),
        (["0,512", "1,200"], (",", "", "before")),
        (["1.044,6", "19,4"], (",", ".", "before")),
        (["1,044.6", "19.4", "300-"], (".", ",", "after")),
        (["1'044.6", "19.4", "(3.5)"], (".", "'", "parentheses")),
        (["1,234,567", "3,000"], (".", ",", "before")),
    ],
)
def test_marks_in_numbers_are_told_apart(texts: list[str], marks: tuple[str, str, str]) -> None:
    found = number_notation(texts)
    assert found is not None
    assert (found.decimal_mark, found.thousands_mark, found.minus) == marks
    assert found.doubt == ""


def test_three_digits_after_every_mark_are_a_doubt() -> None:
    found = number_notation(["1,200", "3,400"])
    assert found is not None
    assert "decimals, or thousands?" in found.doubt


@pytest.mark.parametrize("day_first", [True, False])
def test_day_and_month_that_nothing_tells_apart_are_asked_for_with_a_sentence(tmp_path: Path, day_first: bool) -> None:
    dates = [dt.date(2018, month, month) for month in range(1, 13)]
    written_as = "%d/%m/%Y" if day_first else "%m/%d/%Y"
    lines = [
        f"{account},{a.strftime(written_as)},{b.strftime(written_as)},{8 + account % 5}"
        for account in range(100, 120)
        for a, b in itertools.pairwise(dates)
    ]
    path = tmp_path / "history.csv"
    path.write_text("\n".join(["Account,From,To,Use CCF", *lines]) + "\n", encoding="utf-8")
    draft = guess(path, "drafted", "Drafted", "office@drafted.example")
    assert draft.unanswered == ["date_format", "period_end_is", "billing_cycle"]
    entry = tmp_path / "drafted.yaml"
    entry.write_text(draft.text, encoding="utf-8")
    with pytest.raises(
        ConfigError, match=r"key date_format: '\?' is not allowed; allowed: a format with year, month and day"
    ):
        load_config(District, entry)
