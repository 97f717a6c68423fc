"""The Dagster UI as staff and reviewers use it: a running web server, its GraphQL, and a real browser.

Belongs here: what a person can start and see there.
Does not belong here: figures (other tests hold those; here only that they are the same).
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from whole_runs import ROOT, SAMPLE_YEAR, SampleRun, annual_billing, bill_file_bytes, query, table_hashes

from validations.expectations import ExpectationLimits, statements

LATE = "dunmore"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@dataclass(frozen=True)
class Ui:
    """A running web server on a workspace."""

    url: str
    folder: Path

    def ask(self, question: str, **variables: Any) -> dict[str, Any]:
        """A GraphQL answer. AssertionError if it has errors."""
        answer = requests.post(
            f"{self.url}/graphql", json={"query": question, "variables": variables}, timeout=60
        ).json()
        assert "errors" not in answer, answer["errors"]
        return dict(answer["data"])


def serve(folder: Path, log: Path, *options: str) -> Iterator[Ui]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {k: v for k, v in os.environ.items() if k not in ("DAGSTER_HOME", "ANNUAL_BILLING_WORKSPACE")}
    with log.open("w", encoding="utf-8") as out:
        server = subprocess.Popen(
            [str(Path(sys.executable).with_name("annual-billing")), "ui", "-w", str(folder), "--port", str(port), *options],
            stdout=out, stderr=out, env=environment, cwd=ROOT,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            assert server.poll() is None, log.read_text(encoding="utf-8")
            try:
                if requests.get(f"{url}/server_info", timeout=5).ok:
                    break
            except requests.ConnectionError:
                time.sleep(0.5)
        yield Ui(url, folder)
    finally:
        server.terminate()
        server.wait(timeout=60)


@pytest.fixture(scope="module")
def ui(sample: SampleRun, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ui]:
    """The UI on a copy of the sample as ``make run`` left it."""
    base = tmp_path_factory.mktemp("ui")
    folder = Path(shutil.copytree(sample.folder, base / "sample"))
    yield from serve(folder, base / "server.log")


REPOSITORY = "query { repositoriesOrError { ... on RepositoryConnection { nodes { name location { name } } } } }"

LAUNCH = """
mutation ($name: String!, $location: String!, $year: String!, $job: String!) {
  launchPipelineExecution(executionParams: {
    selector: {repositoryName: $name, repositoryLocationName: $location, pipelineName: $job}
    runConfigData: {}
    executionMetadata: {tags: [{key: "dagster/partition", value: $year}]}
  }) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}
"""


def launch(ui: Ui, year: int, job: str = "annual_update") -> str:
    """Start a job for the year as the UI's button does, wait for its end, return its status."""
    node = ui.ask(REPOSITORY)["repositoriesOrError"]["nodes"][0]
    launched = ui.ask(LAUNCH, name=node["name"], location=node["location"]["name"], year=str(year), job=job)
    result = launched["launchPipelineExecution"]
    assert result["__typename"] == "LaunchRunSuccess", result
    run_id = result["run"]["runId"]
    for _ in range(600):
        state = ui.ask("query ($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }", id=run_id)
        status = str(state["runOrError"]["status"])
        if status in ("SUCCESS", "FAILURE", "CANCELED"):
            return status
        time.sleep(0.5)
    raise AssertionError("the run did not end in five minutes")


def test_a_year_launched_from_the_ui_carries_a_late_district_forward_and_is_with_it_the_year_of_the_command_line(
    sample: SampleRun, ui: Ui, tmp_path: Path
) -> None:
    """The late delivery changes only its own services: all others are before it as they are after it."""
    delivery = ui.folder / "deliveries" / str(SAMPLE_YEAR) / LATE
    shutil.move(delivery, tmp_path / "aside")
    for made in ("archive", "store", "bill_files", "billing.duckdb"):
        path = ui.folder / "work" / made
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    assert launch(ui, SAMPLE_YEAR) == "SUCCESS", "an undelivered district does not stop the year"

    basis = "SELECT service_id, derivation, winter_average, prior_average, is_provisional FROM billing_basis"
    complete = {r[0]: r[1:] for r in query(sample.folder, basis)}
    provisional = {r[0]: r[1:] for r in query(ui.folder, basis)}
    measured_there = {
        s
        for (s,) in query(
            sample.folder,
            "SELECT DISTINCT service_id FROM meter_links WHERE billing_year = ? AND district_id = ? "
            "AND link_start < '2019-05-01' AND coalesce(link_end, '9999-01-01') > '2018-11-01'",
            SAMPLE_YEAR,
            LATE,
        )
    }
    assert len(measured_there) > 200
    assert complete.keys() == provisional.keys()
    for service in complete.keys() - measured_there:
        assert provisional[service] == complete[service]
    for service in measured_there:
        derivation, average, prior, is_provisional = provisional[service]
        if complete[service][0] == "excluded":
            assert derivation == "excluded"
        elif prior is None:
            assert (derivation, average, is_provisional) == ("held", None, True), "no history is not known yet"
        else:
            assert (derivation, average, is_provisional) == ("carried_forward", prior, True)

    status = annual_billing("status", SAMPLE_YEAR, "--workspace", ui.folder)
    assert status.code == 0
    assert f"{LATE}       not received" in status.out
    assert "before release: delivery.not_received" in status.out
    assert re.search(rf"- deliveries\.received/{LATE}: .*\n    Next: Ask the district for its file", status.out)

    shutil.move(tmp_path / "aside", delivery)
    late = annual_billing("run", SAMPLE_YEAR, "--workspace", ui.folder)
    assert late.code == 0, late.err
    assert late.out == sample.ran.out
    assert bill_file_bytes(ui.folder) == bill_file_bytes(sample.folder)
    assert table_hashes(ui.folder) == table_hashes(sample.folder)


def test_the_ui_shows_the_run_that_the_command_line_made_and_each_districts_health(ui: Ui) -> None:
    runs = ui.ask("query { runsOrError { ... on Runs { results { status jobName tags { key value } } } } }")
    first = runs["runsOrError"]["results"][-1]
    assert (first["status"], first["jobName"]) == ("SUCCESS", "annual_update")
    assert {"key": "dagster/partition", "value": str(SAMPLE_YEAR)} in first["tags"]
    checks = ui.ask(
        """query { assetNodes { assetKey { path } assetChecksOrError { ... on AssetChecks { checks {
             name executionForLatestMaterialization { status evaluation { success severity metadataEntries { label } } } } } } } }"""
    )
    seen = 0
    of_another_job = {one.name for one in statements(ExpectationLimits())}
    for node in checks["assetNodes"]:
        for check in node["assetChecksOrError"].get("checks", []):
            if check["name"] in of_another_job:
                continue
            execution = check["executionForLatestMaterialization"]
            assert execution is not None, (node["assetKey"], check["name"])
            seen += 1
            evaluation = execution["evaluation"]
            if not evaluation["success"]:
                labels = {entry["label"] for entry in evaluation["metadataEntries"]}
                assert {"rows that fail", "what to do", "first 50", "holds up release"} <= labels
    assert seen > 50


def test_what_is_said_of_the_population_is_a_job_of_its_own_whose_verdicts_stand_as_checks(ui: Ui) -> None:
    assert launch(ui, SAMPLE_YEAR, "population") == "SUCCESS"
    checks = ui.ask(
        """query { assetNodes(assetKeys: [{path: ["billing_basis"]}]) { assetChecksOrError { ... on AssetChecks { checks {
             name executionForLatestMaterialization { evaluation { success } } } } } } }"""
    )["assetNodes"][0]["assetChecksOrError"]["checks"]
    said = {c["name"]: c["executionForLatestMaterialization"] for c in checks}
    assert all(said[one.name]["evaluation"]["success"] for one in statements(ExpectationLimits()))


@pytest.fixture(scope="module")
def page(ui: Ui) -> Iterator[Any]:
    if CHROMIUM is None:
        if os.environ.get("ANNUAL_BILLING_REQUIRE_BROWSER"):
            pytest.fail("Chromium is required here and is not installed")
        pytest.skip("NOT TESTED: no Chromium on this machine; install it to test what people see in the UI")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
                  "--disable-sync", "--no-first-run"],
        )  # fmt: skip
        yield browser.new_page(viewport={"width": 1900, "height": 1100})
        browser.close()


def shown(page: Any, text: str) -> Any:
    """The place where the text stands, once the page shows it."""
    place = page.get_by_text(text).first
    place.wait_for(timeout=90_000)
    return place


def test_the_graph_reads_from_left_to_right_as_the_data_flows(ui: Ui, page: Any) -> None:
    page.goto(f"{ui.url}/asset-groups")
    flow = ["deliveries", "consumption", "services", "billing_basis", "bills", "release"]
    places = [page.locator("svg").get_by_text(name, exact=True).first for name in flow]
    for place in places:
        place.wait_for(timeout=90_000)
    at = [place.bounding_box()["x"] for place in places]
    assert at == sorted(at), dict(zip(flow, at, strict=True))


def test_a_red_check_explains_itself_on_its_page(ui: Ui, page: Any) -> None:
    page.goto(f"{ui.url}/assets/billing_basis?view=checks&checkDetail=no_average_waits_for_a_person")
    for text in (
        "Every service in force has a winter average, computed or by a rule.",
        "5 rows. Set an average for each of these services in the CIS",
        "what to do",
        "holds up release",
    ):
        assert shown(page, text).is_visible()


def test_a_reviewer_finds_the_worst_account_of_a_district_why_and_what_to_do_in_four_clicks(
    ui: Ui, page: Any, tmp_path: Path
) -> None:
    rows = query(
        ui.folder,
        "SELECT f.district_id, w.service_id, f.message, f.remedy, w.at_stake_a_year FROM worklist w JOIN findings f USING (billing_year, finding_id) "
        "WHERE w.service_id <> '' AND w.at_stake_a_year IS NOT NULL ORDER BY w.at_stake_a_year DESC, w.place",
    )
    page.goto(ui.url)
    shown(page, "Catalog").click()
    shown(page, "adjusted_consumption")
    link = page.locator('a[href$="/assets/worklist"]')
    page.mouse.move(900, 700)
    while not link.count():
        # Scrolling is no click: the list is longer than a screen.
        page.mouse.wheel(0, 500)
        page.wait_for_timeout(200)
    link.first.click()
    page.get_by_role("tab", name="Events").or_(page.get_by_text("Events", exact=True)).first.click()
    row = page.locator("tr", has_text="worst of each district, and what to do").first
    row.get_by_text("Show Markdown").click()
    listed = page.locator(".bp5-dialog, .bp4-dialog, [role=dialog]").first
    listed.get_by_text("what to do").first.wait_for(timeout=90_000)
    page.screenshot(path=tmp_path / "worst.png")
    text = re.sub(r"\s+", " ", listed.inner_text())
    for district in {row[0] for row in rows}:
        _, service, message, remedy, amount = next(row for row in rows if row[0] == district)
        for said in (service, message, remedy, f"{amount:,.2f}"):
            assert re.sub(r"\s+", " ", str(said)) in text


def test_pictures_and_the_origin_of_each_column_are_shown_beside_a_table(ui: Ui, page: Any, tmp_path: Path) -> None:
    page.goto(f"{ui.url}/assets/billing_basis?view=events")
    entry = page.locator("tr", has_text="pictures").first
    entry.get_by_text("Show Markdown").click()
    drawn = page.locator('img[src^="data:image/svg+xml"]')
    drawn.first.wait_for(timeout=90_000)
    sizes = drawn.evaluate_all("all => all.map(one => [one.complete, one.naturalWidth, one.naturalHeight])")
    assert len(sizes) == 2
    assert all(done and width > 300 and height > 100 for done, width, height in sizes)
    page.keyboard.press("Escape")
    lineage = ui.ask(
        """query { assetNodes(assetKeys: [{path: ["counted_use"]}]) { assetMaterializations(limit: 1) { metadataEntries {
             label ... on TableColumnLineageMetadataEntry { lineage { columnName columnDeps { assetKey { path } columnName } } } } } } }"""
    )
    entries = lineage["assetNodes"][0]["assetMaterializations"][0]["metadataEntries"]
    columns = {
        c["columnName"]: c["columnDeps"]
        for e in entries
        if e["label"] == "dagster/column_lineage"
        for c in e["lineage"]
    }
    assert {tuple(d["assetKey"]["path"]) for d in columns["is_estimated"]} == {
        ("consumption", name) for (name,) in query(ui.folder, "SELECT DISTINCT district_id FROM deliveries WHERE district_id <> ''")
    }  # fmt: skip
    assert {d["columnName"] for d in columns["is_estimated"]} == {"read_type"}


def test_a_reviewers_ui_lets_nothing_be_started(sample: SampleRun, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(sample.folder, tmp_path / "sample", symlinks=True))
    for ui in serve(folder, tmp_path / "server.log", "--read-only"):
        node = ui.ask(REPOSITORY)["repositoriesOrError"]["nodes"][0]
        answer = ui.ask(
            LAUNCH, name=node["name"], location=node["location"]["name"], year=str(SAMPLE_YEAR), job="annual_update"
        )
        assert answer["launchPipelineExecution"]["__typename"] == "UnauthorizedError"
