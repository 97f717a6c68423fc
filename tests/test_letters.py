"""Letters: what is in them, in whose hands a name and an address end up, and when there is no letter.

Belongs here: promises about ``letter`` and its templates. Does not belong here: how an average comes about.
"""

from __future__ import annotations

import csv
import datetime as dt
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from docx import Document
from pypdf import PdfReader
from whole_runs import SAMPLE_YEAR, SampleRun, annual_billing, query

from pipelines.letters import words
from pipelines.letters.bulk import Done, write_letters
from pipelines.letters.figures import NoLetter, letter_about, open_book, services_meant
from pipelines.letters.kinds import Kind
from rate_tables.config_file import ConfigError
from validations import tables
from validations.workspace import Workspace

DATED = dt.date(2019, 6, 20)
NAME = "Zzyzx O'Quillan & Söhne <b>{{ 7*7 }}</b>"
STREET = "4711 Qwertz Hollow {% if %}"
BECAUSE = "the leak was behind the house & ran into the ground < 3 days; we need the plumber's bill."


@pytest.fixture(scope="module")
def folder(sample: SampleRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample after its run, with one of its adjustments refused."""
    made = tmp_path_factory.mktemp("letters") / "sample"
    shutil.copytree(sample.folder, made)
    with duckdb.connect(str(made / "work" / "billing.duckdb")) as con:
        con.execute(
            "INSERT INTO refused_adjustments SELECT billing_year, adjustment_id, service_id, 'the policy allows one leak in 2 years' "
            "FROM adjustments WHERE billing_year = ? ORDER BY adjustment_id DESC LIMIT 1",
            [SAMPLE_YEAR],
        )
    return made


@pytest.fixture
def contacts(folder: Path, tmp_path: Path) -> Path:
    """A contact for every account, all of a name and an address that stand nowhere else."""
    return sheet(tmp_path / "contacts.csv", [(a,) for (a,) in accounts(folder)])


def accounts(folder: Path) -> list[tuple[str]]:
    return query(
        folder, "SELECT DISTINCT account_id FROM sewer_services WHERE billing_year = ? ORDER BY 1", SAMPLE_YEAR
    )  # type: ignore[return-value]


def sheet(path: Path, rows: list[tuple[str, ...]]) -> Path:
    """A contact sheet: account, and name and street where they are not the usual ones."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["account_id", "name", "address_line_1", "city", "state", "postal_code"])
        writer.writerows([*row, *(NAME, STREET)[len(row) - 1 :], "Fernbrook", "OR", "97000"] for row in rows)
    return path


def one(folder: Path, sql: str, *given: object) -> str:
    """The first service of a query of the year."""
    return str(query(folder, sql, SAMPLE_YEAR, *given)[0][0])


def service_for(folder: Path, kind: Kind) -> str:
    """A service that there is a letter of the kind to."""
    return {
        Kind.new_average: lambda: one(
            folder, "SELECT max(service_id) FROM billing_basis WHERE billing_year = ? AND derivation = 'computed'"
        ),
        Kind.adjustment_granted: lambda: one(folder, "SELECT min(service_id) FROM adjustments WHERE billing_year = ?"),
        Kind.adjustment_refused: lambda: one(
            folder, "SELECT service_id FROM refused_adjustments WHERE billing_year = ?"
        ),
        Kind.request_for_information: lambda: one(
            folder,
            "SELECT min(service_id) FROM findings WHERE billing_year = ? AND rule_id = 'use.zero_run' AND severity = 'review'",
        ),
    }[kind]()


def write(folder: Path, kind: Kind, wanted: list[str], sheet: Path, to: Path) -> Done:
    return write_letters(Workspace(folder), kind, SAMPLE_YEAR, sheet, dict.fromkeys(wanted, BECAUSE), to, DATED, None)


def said_about(folder: Path, kind: Kind, service_id: str) -> dict[str, Any]:
    with open_book(Workspace(folder), SAMPLE_YEAR) as book:
        (service,), _ = services_meant(book, [service_id])
        return letter_about(book, kind, service, dated=DATED, because=BECAUSE)


def leaves(value: Any) -> Iterator[str]:
    """Every text in what a template can name."""
    if isinstance(value, dict):
        for part in value.values():
            yield from leaves(part)
    elif isinstance(value, list):
        for part in value:
            yield from leaves(part)
    elif value:
        yield value


def squeezed(text: str) -> str:
    """Text without spaces and line ends, which a page breaks as it likes."""
    return re.sub(r"\s+", "", text)


def words_of(path: Path) -> str:
    document = Document(str(path))
    cells = [cell.text for table in document.tables for row in table.rows for cell in row.cells]
    footers = [p.text for section in document.sections for p in section.footer.paragraphs]
    return "\n".join([*(p.text for p in document.paragraphs), *cells, *footers])


def pdfs(letters: list[Path], folder: Path) -> dict[str, PdfReader]:
    """Letters as LibreOffice prints them."""
    program = shutil.which("soffice") or shutil.which("libreoffice")
    if program is None:
        if os.environ.get("ANNUAL_BILLING_REQUIRE_OFFICE") == "1":
            pytest.fail("LibreOffice is required here (soffice is not on the path)")
        pytest.skip("LibreOffice is not installed")
    folder.mkdir()
    profile = f"-env:UserInstallation={(folder / 'profile').as_uri()}"
    subprocess.run(
        [program, profile, "--headless", "--convert-to", "pdf", "--outdir", str(folder), *map(str, letters)],
        check=True, capture_output=True, timeout=180,
    )  # fmt: skip
    if not list(folder.glob("*.pdf")):
        pytest.skip("LibreOffice is installed without Writer")
    return {path.stem: PdfReader(folder / f"{path.stem}.pdf") for path in letters}


def test_every_letter_prints_on_one_page_with_all_it_says_and_whom_to_call(
    folder: Path, contacts: Path, tmp_path: Path
) -> None:
    chosen = {kind: service_for(folder, kind) for kind in Kind}
    for kind, service in chosen.items():
        assert write(folder, kind, [service], contacts, tmp_path / "to").not_written == []
    printed = pdfs(sorted((tmp_path / "to").iterdir()), tmp_path / "pdf")
    for kind, service in chosen.items():
        pdf = printed[f"{kind}_{SAMPLE_YEAR}_{service}"]
        text = squeezed("".join(page.extract_text() for page in pdf.pages))
        said = said_about(folder, kind, service)
        left_to_the_office = {
            said.get("winter"),
            said.get({"adjustment_granted": "how_found", "adjustment_refused": "how_applied"}.get(kind, "")),
        }
        assert [
            part
            for part in [*leaves(said), NAME, STREET]
            if squeezed(part) not in text and part not in left_to_the_office
        ] == []
        assert squeezed("(503) 555-0142") in text
        assert len(pdf.pages) == 1, kind


def test_a_new_average_is_told_with_the_figures_of_the_basis_and_the_bill(folder: Path) -> None:
    service = service_for(folder, Kind.new_average)
    said = said_about(folder, Kind.new_average, service)
    (average, prior, effective), = query(
        folder, "SELECT winter_average, prior_average, effective_date FROM billing_basis WHERE billing_year = ? AND service_id = ?", SAMPLE_YEAR, service
    )  # fmt: skip
    assert Decimal(said["average"]) == average
    assert f"{prior.normalize():f} CCF a month" in said["change"]
    assert said["effective"] == f"July 1, {SAMPLE_YEAR}"
    assert effective == dt.date(SAMPLE_YEAR, 7, 1)
    (amount,), = query(folder, "SELECT amount FROM bills WHERE billing_year = ? AND service_id = ?", SAMPLE_YEAR, service)  # fmt: skip
    assert said["bill"]["total"] == f"${amount:,.2f}"
    assert sum(Decimal(line["amount"].strip("$")) for line in said["bill"]["lines"]) == amount
    (volume,), = query(folder, "SELECT sum(counted_volume) FROM counted_use WHERE billing_year = ? AND service_id = ?", SAMPLE_YEAR, service)  # fmt: skip
    assert sum(Decimal(row["volume"].split()[0].replace(",", "")) for row in said["use"]) == volume


def test_a_name_and_an_address_are_in_the_letter_and_nowhere_else(folder: Path, tmp_path: Path) -> None:
    own = Path(shutil.copytree(folder, tmp_path / "own"))
    service, = query(own, "SELECT service_id, account_id FROM sewer_services WHERE billing_year = ? ORDER BY 1 LIMIT 1", SAMPLE_YEAR)  # fmt: skip
    bad = query(
        own,
        "SELECT service_id, account_id FROM sewer_services WHERE billing_year = ? ORDER BY 1 DESC LIMIT 1",
        SAMPLE_YEAR,
    )[0]
    given = sheet(tmp_path / "contacts.csv", [(service[1],), (bad[1],), (bad[1], f"{NAME} twice")])
    ran = [
        annual_billing(
            "letter",
            "new_average",
            SAMPLE_YEAR,
            "--contacts",
            given,
            "--service",
            service[0],
            "--service",
            bad[0],
            "--to",
            tmp_path / "to",
            "-w",
            own,
        )
    ]
    (own / "letters").mkdir()
    for text in ("{{ name.nothing }}", "{{ name | int(1) // 0 }}", "{{ name"):
        document = Document()
        document.add_paragraph(text)
        document.save(str(own / "letters" / "new_average.docx"))
        ran.append(
            annual_billing(
                "letter",
                "new_average",
                SAMPLE_YEAR,
                "--contacts",
                given,
                "--service",
                service[0],
                "--to",
                tmp_path / "to2",
                "-w",
                own,
            )
        )
    assert [one.code for one in ran] == [1, 2, 2, 2]
    assert "wrote 1 letter" in ran[0].out
    assert f"{bad[0]}: account {bad[1]}: line 4 of the contact sheet" in ran[0].err
    letter, = (tmp_path / "to").iterdir()  # fmt: skip
    assert NAME in words_of(letter)
    told = "".join(one.out + one.err for one in ran)
    files = [path for path in own.rglob("*") if path.is_file()]
    for secret in ("Zzyzx", "Qwertz"):
        assert secret not in told
        assert [path for path in files if secret.encode() in path.read_bytes()] == []
    assert not (tmp_path / "to2").exists() or not list((tmp_path / "to2").iterdir())


def test_a_template_of_the_office_takes_the_place_of_ours_and_runs_in_a_sandbox(
    folder: Path, contacts: Path, tmp_path: Path
) -> None:
    own = Path(shutil.copytree(folder, tmp_path / "own"))
    service = service_for(own, Kind.new_average)
    copied = annual_billing("letter-template", "new_average", "-w", own)
    assert copied.code == 0
    assert annual_billing("letter-template", "new_average", "-w", own).code == 2
    template = own / "letters" / "new_average.docx"
    document = Document(str(template))
    document.add_paragraph("In our own words, {{ name }}.")
    document.save(str(template))
    assert write(own, Kind.new_average, [service], contacts, tmp_path / "to").written == 1
    assert f"In our own words, {NAME}." in words_of(next((tmp_path / "to").iterdir()))
    for text, told in (
        (
            "{{ avrage }}",
            "'avrage' is undefined; what a template of this kind can name: about_unit, account, address, average",
        ),
        ("{{ name.__class__.__mro__[1].__subclasses__() }}", "access to attribute '__class__' of"),
        ("{% for n in range(10**9) %}{{ n }}{% endfor %}", "cannot be filled in"),
        ("{% endfor %}", "Encountered unknown tag 'endfor'"),
    ):
        document = Document()
        document.add_paragraph(text)
        document.save(str(template))
        with pytest.raises(ConfigError) as refused:
            write(own, Kind.new_average, [service], contacts, tmp_path / "refused")
        assert str(refused.value).startswith("letters/new_average.docx: ")
        assert told in str(refused.value)
        assert NAME not in str(refused.value)
        assert "Qwertz" not in str(refused.value)
    template.write_text("no document")
    with pytest.raises(ConfigError, match=re.escape("letters/new_average.docx: the template is no Word document")):
        write(own, Kind.new_average, [service], contacts, tmp_path / "refused")


def test_who_gets_no_letter_is_named_with_the_reason_and_the_others_get_theirs(folder: Path, tmp_path: Path) -> None:
    held = one(folder, "SELECT min(service_id) FROM billing_basis WHERE billing_year = ? AND derivation = 'held'")
    ready = query(
        folder,
        "SELECT service_id, account_id FROM billing_basis WHERE billing_year = ? AND derivation = 'computed' ORDER BY 1 LIMIT 3",
        SAMPLE_YEAR,
    )
    known = [account for _, account in ready[:2]]
    of_held = one(folder, "SELECT account_id FROM billing_basis WHERE billing_year = ? AND service_id = ?", held)
    given = sheet(tmp_path / "contacts.csv", [(account,) for account in [*known, known[0], of_held]])
    wanted = [*(service for service, _ in ready), held, "no such id"]
    done = write(folder, Kind.new_average, wanted, given, tmp_path / "to")
    assert done.written == 2
    assert done.are_drafts
    assert [sentence.split(":")[0] for sentence in done.not_written] == ["'no such id'", ready[2][0], held]
    assert "the contact sheet does not have the account" in done.not_written[1]
    letters = {path: path.read_bytes() for path in (tmp_path / "to").iterdir()}
    assert all("DRAFT" in words_of(path) for path in letters)
    again = write(folder, Kind.new_average, [ready[0][0]], given, tmp_path / "to")
    assert again.written == 0
    assert "not overwritten" in again.not_written[0]
    assert {path: path.read_bytes() for path in (tmp_path / "to").iterdir()} == letters


def test_a_letter_states_the_average_that_was_released_or_there_is_none(
    folder: Path, contacts: Path, tmp_path: Path
) -> None:
    own = Path(shutil.copytree(folder, tmp_path / "own"))
    same, other = (
        service
        for (service,) in query(
            own,
            "SELECT service_id FROM billing_basis WHERE billing_year = ? AND derivation = 'computed' ORDER BY 1 LIMIT 2",
            SAMPLE_YEAR,
        )
    )
    released = own / "work" / "bill_files" / str(SAMPLE_YEAR) / "v1"
    released.mkdir(parents=True)
    agencies = query(own, "SELECT DISTINCT billing_agency FROM sewer_services WHERE billing_year = ?", SAMPLE_YEAR)
    with duckdb.connect(str(own / "work" / "billing.duckdb"), read_only=True) as con:
        for (agency,) in agencies:
            con.execute(
                f"COPY (SELECT b.service_id, winter_average + CASE WHEN b.service_id = '{other}' THEN 1 ELSE 0 END AS new_winter_average FROM billing_basis b "
                f"JOIN sewer_services s USING (billing_year, service_id) WHERE billing_year = {SAMPLE_YEAR} AND winter_average IS NOT NULL "
                f"AND billing_agency = '{agency}') TO '{released / f'{agency}.parquet'}'"
            )
    (released / "release.json").write_text(json.dumps({"digest": "abcdef0123456789" * 4}), encoding="utf-8")
    done = write(own, Kind.new_average, [same, other], contacts, tmp_path / "to")
    assert done.written == 1
    assert not done.are_drafts
    assert done.not_written[0].startswith(f"{other}: release 1 posted")
    assert "release the correction before writing" in done.not_written[0]
    text = words_of(next((tmp_path / "to").iterdir()))
    assert "DRAFT" not in text
    assert "Figures of release 1, abcdef012345" in text


def test_nobody_is_asked_to_explain_a_figure_that_the_district_has_to_answer_for(folder: Path) -> None:
    doubted = query(
        folder,
        """
        SELECT DISTINCT u.service_id FROM findings u JOIN findings d USING (billing_year, service_id)
        WHERE billing_year = ? AND u.rule_id = 'use.high' AND u.severity = 'review' AND d.rule_id = 'read.estimate_then_correction'
          AND d.severity = 'must_decide' AND u.period_start < d.period_end AND d.period_start < u.period_end
          AND NOT EXISTS (SELECT 1 FROM findings o WHERE o.billing_year = u.billing_year AND o.service_id = u.service_id AND o.severity <> 'info'
                          AND o.finding_id NOT IN (u.finding_id, d.finding_id))
        """,
        SAMPLE_YEAR,
    )
    assert doubted
    for (service,) in doubted:
        with pytest.raises(NoLetter, match="not for the customer to answer"):
            said_about(folder, Kind.request_for_information, service)


def test_every_finding_that_can_be_asked_about_is_asked_in_whole_sentences(folder: Path) -> None:
    services = query(
        folder,
        "SELECT DISTINCT service_id FROM findings WHERE billing_year = ? AND severity <> 'info' AND service_id <> '' AND rule_id LIKE 'use.%'",
        SAMPLE_YEAR,
    )
    asked = 0
    for (service,) in services:
        try:
            said = said_about(folder, Kind.request_for_information, service)
        except NoLetter:
            continue
        asked += 1
        for text in (*said["found"], *said["questions"]):
            assert re.fullmatch(r"[A-Z0-9][^{}]*[.?]", text), text
            assert not re.search(r"None|\d{4}-\d{2}-\d{2}", text), text
    assert asked > 20


def test_an_adjustment_is_refused_in_words_that_somebody_has_found_for_the_customer(
    folder: Path, contacts: Path, tmp_path: Path
) -> None:
    service = service_for(folder, Kind.adjustment_refused)
    done = write_letters(
        Workspace(folder), Kind.adjustment_refused, SAMPLE_YEAR, contacts, {service: ""}, tmp_path / "to", DATED, None
    )
    assert done.written == 0
    assert "recorded is: " in done.not_written[0]
    assert "the policy allows one leak" in done.not_written[0]
    listed = tmp_path / "list.csv"
    listed.write_text(f'service_id,because\n{service},"{BECAUSE}"\n', encoding="utf-8")
    ran = annual_billing(
        "letter",
        "adjustment_refused",
        SAMPLE_YEAR,
        "--contacts",
        contacts,
        "--list",
        listed,
        "--to",
        tmp_path / "to",
        "-w",
        folder,
    )
    assert ran.code == 0, ran.err
    text = words_of(next((tmp_path / "to").iterdir()))
    assert f"The reason: {BECAUSE}" in text
    assert "the policy allows" not in text
    with pytest.raises(NoLetter, match="no adjustment of the year stands"):
        said_about(folder, Kind.adjustment_granted, service)


def test_no_letter_without_an_office_to_call(folder: Path, contacts: Path, tmp_path: Path) -> None:
    own = Path(shutil.copytree(folder, tmp_path / "own"))
    text = (own / "workspace.yaml").read_text(encoding="utf-8")
    (own / "workspace.yaml").write_text(re.sub(r"(?ms)^office:.*?(?=^\S)", "", text), encoding="utf-8")
    with pytest.raises(ConfigError, match="key office: is required for letters"):
        write(own, Kind.new_average, ["any"], contacts, tmp_path / "to")


def test_letters_have_words_for_whatever_a_table_can_hold() -> None:
    assert set(tables.DERIVATIONS) - words.SAID == {"held", "excluded"}
    assert set(words.KINDS) == set(tables.ADJUSTMENT_KINDS)
    assert set(words.UNITS) == set(tables.UNITS)
    assert set(words.FREQUENCIES) == set(tables.FREQUENCIES)
    basis = {"applied_in_months": "", "other_months_billed_from": "", "yields_to_lower_actual_after_months": None}
    for applied_as in tables.APPLIED_AS:
        assert words.how_applied({**basis, "applied_as": applied_as}).endswith(".")
