"""What the documents say is so: of ``docs/districts.md`` every key, every example, the worked case, every reason; every line of
the reconciliation page; every link.

Belongs here: promises about the documents. Does not belong here: what the commands compute (``test_district_commands``).
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
import yaml
from drafts import answered, differing, table
from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from whole_runs import PROGRAM, ROOT, SAMPLE_YEAR, SampleRun

from assets.next_steps import NEXT_STEPS
from assets.stage import CONTRACTS
from pipelines.cli import app
from pipelines.district_entry.guess import guess
from pipelines.release.reconciliation_page import page_of
from pipelines.session import read_session
from rate_tables.config_file import load_config
from validations import district, layout, source
from validations.district import District
from validations.expectations import ExpectationLimits
from validations.reasons import REASONS
from validations.tables import DELIVERY_STATUSES
from validations.workspace import Workspace

DOCUMENT = (ROOT / "docs" / "districts.md").read_text(encoding="utf-8")
SECTIONS: dict[str, list[type[BaseModel]]] = {
    "The whole entry": [District],
    "layout: delimited": [layout.Delimited],
    "layout: fixed_width": [layout.FixedWidth],
    "layout: workbook": [layout.Workbook],
    "columns": [layout.Columns],
    "measure": [district.Usage, district.RegisterReadings, district.ReadingPairs],
    "month_columns": [district.MonthColumns],
    "bill_month": [district.BillMonth],
    "volume": [district.Volume],
    "account_numbers": [district.AccountNumbers],
    "check_digit": [district.CheckDigit],
    "cross_reference": [district.CrossReference],
    "trailer": [layout.TrailerRecord],
    "source: folder": [source.Folder],
    "source: sftp": [source.Sftp],
    "source: https": [source.Https, source.Download],
    "source: s3": [source.S3],
}


def models_below(model: type[BaseModel], found: set[type[BaseModel]]) -> set[type[BaseModel]]:
    """The model and every model that a value of it can hold."""
    found.add(model)
    for field in model.model_fields.values():
        for part in parts_of(field.annotation):
            if isinstance(part, type) and issubclass(part, BaseModel) and part not in found:
                models_below(part, found)
    return found


def parts_of(annotation: Any) -> Iterator[Any]:
    """A type and what it is made of."""
    yield annotation
    for part in get_args(annotation):
        yield from parts_of(part)


def section(heading: str) -> str:
    """Text below a heading, up to the next one."""
    found = re.search(rf"^#+ {re.escape(heading)}$\n(.*?)(?=^#+ |\Z)", DOCUMENT, re.M | re.S)
    assert found, f"no section {heading!r}"
    return found.group(1)


def rows(text: str) -> dict[str, list[str]]:
    """First cell of each row of the tables in a text, without its marks -> the other cells."""
    lines = [re.split(r" \| ", line.strip("| \n")) for line in text.splitlines() if line.startswith("| `")]
    return {cells[0].strip("`"): [c.strip() for c in cells[1:]] for cells in lines}


def yaml_blocks() -> list[tuple[int, dict[str, Any]]]:
    """Line and content of every YAML example, without drafts."""
    found = []
    for block in re.finditer(r"(<!-- output: [^\n]*-->\n)?```yaml\n(.*?)```", DOCUMENT, re.S):
        if not block.group(1):
            found.append((DOCUMENT[: block.start()].count("\n") + 1, yaml.safe_load(block.group(2))))
    return found


def keys_in(content: Any) -> set[str]:
    if isinstance(content, dict):
        return set(map(str, content)) | {k for value in content.values() for k in keys_in(value)}
    return {k for part in content for k in keys_in(part)} if isinstance(content, list) else set()


def test_every_key_of_an_entry_is_described_and_no_other() -> None:
    shapes = {layout.AtPosition, layout.AtCharacters}
    assert {m for models in SECTIONS.values() for m in models} == models_below(District, set()) - shapes
    for heading, models in SECTIONS.items():
        described = rows(section(heading))
        assert set(described) == {name for model in models for name in model.model_fields}, heading


@pytest.mark.parametrize("heading", SECTIONS)
def test_the_default_and_every_word_that_is_allowed_stand_beside_a_key(heading: str) -> None:
    described = rows(section(heading))
    for model in SECTIONS[heading]:
        for name, field in model.model_fields.items():
            meaning, default = described[name]
            words = [w for part in parts_of(field.annotation) if get_origin(part) is Literal for w in get_args(part)]
            if "layout" not in name:
                missing = [w for w in words if w and f"`{w}`" not in f"{meaning} {default}" and f"{w}:" not in meaning]
                assert [w for w in missing if w != " "] == [], f"{heading}: {name}"
            if field.default is PydanticUndefined and field.default_factory is None:
                assert default == "required" or (heading, name) == ("measure", "gives"), f"{heading}: {name}"
            elif isinstance(field.default, bool | int | str):
                assert default.strip("`").replace('""', "") == str(field.default).replace("True", "true").replace(
                    "False", "false"
                ), f"{heading}: {name}"
            else:
                assert default != "required", f"{heading}: {name}"


def test_every_example_loads_and_every_key_is_in_one(tmp_path: Path) -> None:
    blocks = yaml_blocks()
    base = next(content for _, content in blocks if set(content) >= {"district", "volume"} and len(content) == 7)
    seen: set[str] = set()
    for line, content in blocks:
        path = tmp_path / f"line_{line}.yaml"
        path.write_text(yaml.safe_dump({**base, **content}, allow_unicode=True), encoding="utf-8")
        load_config(District, path)
        seen |= keys_in(content)
    assert {name for models in SECTIONS.values() for m in models for name in m.model_fields} - seen == set()


def test_the_worked_case_leads_from_an_unknown_file_to_a_passing_check(tmp_path: Path) -> None:
    files = re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", DOCUMENT, re.S)
    for name, text in files:
        (tmp_path / name).write_text(text, encoding="utf-8")
    delivered, written = (tmp_path / name for name, _ in files)
    shown = re.findall(r"<!-- output: annual-billing ([^\n]*) -->\n```\w+\n(.*?)```", DOCUMENT, re.S)
    assert [command.split()[:2] for command, _ in shown] == [["district", "guess"], ["district", "check"]]
    environment = {k: v for k, v in os.environ.items() if k != "ANNUAL_BILLING_WORKSPACE"}
    for command, output in shown:
        done = subprocess.run(
            [str(PROGRAM), *shlex.split(command)], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert (done.returncode, done.stdout) == (0, output), done.stderr
    right = load_config(District, written).model_dump(mode="json")
    draft = guess(delivered)
    made = District.model_validate(answered(draft.text, draft.unanswered, right)).model_dump(mode="json")
    assert differing(made, right) == []
    assert draft.unanswered == ["write_to", "read_types.S", 'read_types.""']


def test_every_reason_is_explained_in_the_words_that_a_district_reads() -> None:
    described = rows(section("What becomes of a row that cannot be used"))
    assert {code: cells[:2] for code, cells in described.items()} == {
        code: [kind.replace("_", " "), sentence] for code, (kind, sentence) in REASONS.items()
    }
    assert all(cells[2] for cells in described.values())


def test_every_status_of_a_file_is_explained() -> None:
    assert set(rows(section("What became of each file"))) == set(DELIVERY_STATUSES)


def test_the_table_of_drafts_is_what_guess_makes_of_the_sample(sample: SampleRun) -> None:
    shown = section("What `guess` made of the sample's districts")
    assert [line for line in shown.splitlines() if line.startswith("| ")][1:] == table(
        Workspace(sample.folder)
    ).splitlines()


def test_links_of_the_document_lead_somewhere() -> None:
    anchors = {
        re.sub(r"[^a-z0-9_ -]", "", h.lower()).replace(" ", "-") for h in re.findall(r"^#+ (.*)$", DOCUMENT, re.M)
    }
    assert set(re.findall(r"\]\(#([^)]*)\)", DOCUMENT)) - anchors == set()


@pytest.mark.parametrize("name", ["README.md", *(f"docs/{p.name}" for p in sorted((ROOT / "docs").glob("*.md")))])
def test_files_that_a_document_links_to_are_there(name: str) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", (ROOT / name).read_text(encoding="utf-8"))
    assert [link for link in links if not ((ROOT / name).parent / link).exists()] == []


def test_every_part_and_line_of_the_reconciliation_page_is_explained(sample: SampleRun) -> None:
    text = (ROOT / "docs" / "reconciliation.md").read_text(encoding="utf-8")
    described = {
        re.split(r" \| ", line.strip("| "))[0].strip("*") for line in text.splitlines() if line.startswith("| ")
    }
    with read_session(Workspace(sample.folder)) as session:
        page = page_of(session, SAMPLE_YEAR)
    assert {fact.title for fact in page.facts} <= described
    assert [section.title for section in page.sections if section.title not in text] == [
        "Rows, from the deliveries to the averages",
        "Volume, from the deliveries to the averages",
    ], "which have a heading together"
    shown = {row[0] for section in page.sections[:3] for grid in section.grids for row in grid.rows} - {"unit"}
    assert shown - described == set()


def test_limits_of_expectations_are_described_with_their_defaults() -> None:
    text = (ROOT / "docs" / "reports.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n(.*?)```", text, re.S)
    described = yaml.safe_load(block)["expectations"]
    assert described.keys() == ExpectationLimits.model_fields.keys()
    assert ExpectationLimits.model_validate({k: str(v) for k, v in described.items()}) == ExpectationLimits()


def test_every_command_stands_in_the_readme_and_what_the_ui_tells_to_call_is_a_command() -> None:
    names = {c.name or c.callback.__name__.replace("_", "-") for c in app.registered_commands if c.callback}
    groups = {g.name for g in app.registered_groups if g.name}
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert {name for name in names | groups if f"    annual-billing {name} " not in text} == set()
    called = re.findall(r"annual-billing ([a-z-]+)", " ".join(NEXT_STEPS.values()))
    assert set(called) <= names | groups
    assert NEXT_STEPS.keys() <= CONTRACTS.keys()
