"""The commands of the person who keeps the rates, run as that person does.

Belongs here: what ``rates check``, ``show``, ``diff``, ``lock`` and ``what-if`` print, refuse and leave alone.
Does not belong here: the arithmetic behind them.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import shutil
import subprocess
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import jsonschema
import pytest
import yaml
from whole_runs import PROGRAM, ROOT, SAMPLE_YEAR, Ran, SampleRun, annual_billing, query

RATES = ROOT / "rate_tables"
CWS = "clean_water_services"


def test_all_that_ships_holds_and_so_does_a_folder_outside(tmp_path: Path) -> None:
    checked = annual_billing("rates", "check")
    assert (checked.code, checked.err) == (0, "")
    assert len(re.findall(r" holds$", checked.out, re.M)) == len({path.parent for path in RATES.glob("*/*.yaml")})
    shutil.copytree(RATES / CWS, tmp_path / CWS)
    for folder in (tmp_path, tmp_path / CWS):
        assert annual_billing("rates", "check", folder).code == 0


def test_an_example_that_comes_out_otherwise_is_named_with_both_figures(tmp_path: Path) -> None:
    shutil.copytree(RATES / CWS, tmp_path / CWS)
    path = tmp_path / CWS / "examples" / "2018-19_one_month.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace('total: "53.35"', 'total: "53.36"'), encoding="utf-8")
    checked = annual_billing("rates", "check", tmp_path)
    assert checked.code == 1
    assert checked.err.strip() == (
        f"rate_tables/{CWS}/examples/2018-19_one_month.yaml: total: the source says 53.36, computed is 53.35"
    )


def test_every_broken_file_is_refused_with_its_sentence_in_one_go() -> None:
    broken = ROOT / "tests" / "rate_tables" / "broken"
    checked = annual_billing("rates", "check", broken)
    assert checked.code == 2
    said = checked.err.splitlines()
    for path in broken.glob("*/*.yaml"):
        sentence = path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
        assert [s for s in said if s.startswith(f"rate_tables/{path.parent.name}/") and s.endswith(sentence)], sentence


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (["check", "nowhere"], "nowhere: the folder does not exist"),
        (["check", "tests/validations"], "no schedule is in it; allowed: a utility's folder"),
        (["show", CWS, "tomorrow"], "tomorrow: not a date; allowed: year, month and day, like 2019-07-01."),
        (
            ["show", CWS, "2021-01-01"],
            "no adopted schedule holds on 2021-01-01; there are those of 2018-07-01 (adopted)",
        ),
        (["show", "../secrets", "2021-01-01"], "../secrets: no such utility"),
        (["diff", "sherwood/2023-07-01", "sherwood/1999-07-01"], "sherwood/1999-07-01: no such schedule"),
    ],
)
def test_a_call_that_cannot_be_answered_says_what_is_allowed(call: list[str], sentence: str) -> None:
    ran = annual_billing("rates", *call)
    assert ran.code == 2
    assert sentence in ran.err
    assert "Traceback" not in ran.err


def test_a_schedule_is_shown_with_every_figure_and_where_it_stands() -> None:
    shown = annual_billing("rates", "show", "sherwood", "2024-01-01").out
    content = yaml.safe_load((RATES / "sherwood" / "2023-07-01.yaml").read_text(encoding="utf-8"))
    for charge in content["charges"]:
        figures = [charge.get("rate"), charge.get("percent"), *(r["rate"] for r in charge.get("rates", []))]
        for figure in filter(None, figures):
            assert re.search(
                rf"^ .*{charge['title']} .*{charge['code']}.* {figure} .*{charge['source'][:20]}", shown, re.M
            )


def test_a_comparison_has_every_rate_and_warns_beyond_fifteen_percent(tmp_path: Path) -> None:
    text = (RATES / CWS / "2019-07-01.yaml").read_text(encoding="utf-8")
    text = text.replace("effective: 2019-07-01", "effective: 2020-07-01").replace('rate: "1.99"', 'rate: "2.31"')
    path = tmp_path / CWS / "2020-07-01.yaml"
    path.parent.mkdir()
    path.write_text(text, encoding="utf-8")
    compared = annual_billing("rates", "diff", f"{CWS}/2019-07-01", path)
    assert compared.code == 0
    rows = [line.split() for line in compared.out.splitlines()]
    assert ["sewer_use", "$", "per", "CCF", "1.99", "2.31", "+16.1"] in rows
    assert ["swm", "$", "per", "ESU", "and", "month", "9.25", "9.25", "+0.0"] in rows
    assert "  - sewer_use: 1.99 becomes 2.31, +16.1 %; beyond 15 %." in compared.out


def files_of(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_proposed_schedule_is_tried_on_the_years_averages_and_leaves_nothing_behind(
    sample: SampleRun, tmp_path: Path
) -> None:
    """Each rate of the proposal is 10 % higher, so is the revenue but for rounding; the file is no part of the workspace."""
    adopted = (RATES / CWS / f"{SAMPLE_YEAR}-07-01.yaml").read_text(encoding="utf-8")
    text = re.sub(r'rate: "([\d.]+)"', lambda found: f'rate: "{Decimal(found[1]) * Decimal("1.1"):.4f}"', adopted)
    text = text.replace("effective: 2019-07-01", "effective: 2020-07-01").replace("status: adopted", "status: proposed")
    path = tmp_path / CWS / "2020-07-01.yaml"
    path.parent.mkdir()
    path.write_text(text, encoding="utf-8")
    before = files_of(sample.folder)
    tried = annual_billing("what-if", SAMPLE_YEAR, path, "--workspace", sample.folder)
    assert tried.code == 0, tried.err
    assert files_of(sample.folder) == before
    assert "nothing was written, and none of it can be released" in tried.out

    ((published,),) = query(
        sample.folder, "SELECT sum(amount * bills_in_period) FROM bills WHERE billing_year = ?", SAMPLE_YEAR
    )
    rows = [line.split() for line in tried.out.splitlines() if line.strip().startswith("all ")]
    assert len(rows) == 3, "by class, by district, by charge"
    for row in rows:
        assert Decimal(row[1].replace(",", "")) == published
        assert row[4] == "+10.0"
    assert re.search(r"rises by 5 to 15 % +1,9\d\d", tried.out)


def test_a_year_that_was_not_run_is_refused_with_what_to_do(sample_copy: Path) -> None:
    refused = annual_billing("what-if", 2018, f"{CWS}/2019-07-01", "--workspace", sample_copy)
    assert (refused.code, refused.err.strip()) == (
        1, "billing year 2018 has not been run here; run: annual-billing run 2018"
    )  # fmt: skip


def without_dates() -> type[yaml.SafeLoader]:
    """YAML as editors read it: a date is text."""
    resolvers = {
        first: [(tag, pattern) for tag, pattern in ways if tag != "tag:yaml.org,2002:timestamp"]
        for first, ways in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    return type("WithoutDates", (yaml.SafeLoader,), {"yaml_implicit_resolvers": resolvers})


def test_the_json_schemas_are_those_of_the_models_and_all_that_ships_validates() -> None:
    from pipelines.rates import json_schemas

    for path, text in json_schemas():
        assert path.read_text(encoding="utf-8") == text, "run: annual-billing rates schema"
        assert len(text) < 100_000
    for name, files in {"schedule": RATES.glob("*/*.yaml"), "example": RATES.glob("*/examples/*.yaml")}.items():
        schema = json.loads((RATES / f"{name}.schema.json").read_text(encoding="utf-8"))
        validator = jsonschema.Draft202012Validator(schema)
        for path in files:
            content = yaml.load(path.read_text(encoding="utf-8"), without_dates())  # noqa: S506
            assert list(validator.iter_errors(content)) == [], path
    unknown = yaml.load((ROOT / "tests/rate_tables/broken/key_unknown/2018-07-01.yaml").read_text(), without_dates())  # noqa: S506
    schema = json.loads((RATES / "schedule.schema.json").read_text(encoding="utf-8"))
    assert list(jsonschema.Draft202012Validator(schema).iter_errors(unknown)) != []


def written_as_shown(text: str, block: str) -> str:
    """``text`` with the lines of ``block``: each takes the place of the first line that has its key and indentation."""
    lines = text.splitlines()
    for shown in block.splitlines():
        key = shown.partition(":")[0]
        places = [n for n, line in enumerate(lines) if line.partition(":")[0] == key]
        if places:
            lines[places[0]] = shown
        else:
            lines.insert(next(n for n, line in enumerate(lines) if line.startswith("  found_at")), shown)
    return "\n".join(lines) + "\n"


def test_the_steps_of_the_readme_lead_from_a_resolution_to_a_locked_schedule(sample_copy: Path) -> None:
    """Typed in the sample workspace, which gets the rate tables as its own."""
    shutil.copytree(RATES / CWS, sample_copy / "rate_tables" / CWS)
    readme = (RATES / "README.md").read_text(encoding="utf-8")
    steps = readme.partition("## Next July")[2].partition("## The words")[0]
    environment = os.environ | {
        "ANNUAL_BILLING_WORKSPACE": str(sample_copy),
        "PATH": f"{PROGRAM.parent}:{os.environ['PATH']}",
    }
    made = sample_copy / "rate_tables" / CWS / "2020-07-01.yaml"
    printed = ""
    for kind, block in re.findall(r"```(\w+)\n(.*?)```", steps, re.S):
        if kind == "yaml":
            made.write_text(written_as_shown(made.read_text(encoding="utf-8"), block), encoding="utf-8")
            continue
        done = subprocess.run(block, shell=True, cwd=sample_copy, env=environment, capture_output=True, text=True)  # noqa: S602
        assert done.returncode == 0, block + done.stdout + done.stderr
        printed += done.stdout
    content = yaml.safe_load(made.read_text(encoding="utf-8"))
    assert (content["status"], content["charges"][0]["rate"]) == ("adopted", "31.08")
    assert re.search(r"sewer_base +\$ per EDU and month +30.03 +31.08 +\+3.5", printed)
    assert "R&O 20-11" in printed
    assert "locked: " in printed
    assert "2020-07-01.yaml" in printed.rpartition("locked: ")[2]
    refused = changed_after_locking(made, sample_copy)
    assert refused.code == 2
    assert "is locked, but the file was changed" in refused.err


def changed_after_locking(path: Path, workspace: Path) -> Ran:
    path.write_text(path.read_text(encoding="utf-8").replace('"31.08"', '"31.09"'), encoding="utf-8")
    return annual_billing("status", SAMPLE_YEAR, "--workspace", workspace)


def test_bills_of_the_past_are_rated_with_actual_use_and_those_that_cannot_be_are_named(
    sample: SampleRun, tmp_path: Path
) -> None:
    """Clean Water Services bills the average whatever was used: a whole month comes to the year's bill."""
    (service, average, edu, esu) = query(
        sample.folder,
        "SELECT b.service_id, b.winter_average, s.edu, s.esu FROM billing_basis b JOIN sewer_services s "
        "USING (service_id, billing_year) WHERE billing_year = ? AND billing_frequency = 'monthly' AND derivation = 'computed' "
        "ORDER BY 1 LIMIT 1",
        SAMPLE_YEAR,
    )[0]
    sheet, lines = tmp_path / "past.csv", tmp_path / "lines.csv"
    sheet.write_text(
        "service_id,bill_start,bill_end,actual_volume,volume_unit\n"
        f"{service},2019-08-01,2019-09-01,3.5,ccf\n"
        f"{service},2020-06-15,2020-07-15,3.5,ccf\n"
        f"{service},2019-09-01,2019-10-01,much,ccf\n"
        "nobody,2019-08-01,2019-09-01,3.5,ccf\n",
        encoding="utf-8",
    )
    rated = annual_billing("rates", "rerate", SAMPLE_YEAR, sheet, "--to", lines, "--workspace", sample.folder)
    assert rated.code == 1, "three bills could not be rated"
    assert rated.err.splitlines() == [
        "past.csv, row 4: actual_volume cannot be read",
        f"{service}, bill from 2020-06-15: it does not end in the billing year 2019 (FY2019-20)",
        "nobody, bill from 2019-08-01: no such service",
    ]
    with lines.open(encoding="utf-8") as file:
        amounts = {row["charge_code"]: Decimal(row["amount"]) for row in csv.DictReader(file)}
    cent = Decimal("0.01")
    assert amounts == {
        "sewer_base": (edu * Decimal("30.03")).quantize(cent, ROUND_HALF_UP),
        "sewer_use": (average * Decimal("1.99")).quantize(cent, ROUND_HALF_UP),
        "swm": (esu * Decimal("9.25")).quantize(cent, ROUND_HALF_UP),
    }
