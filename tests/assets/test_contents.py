"""Contents: one hash of everything that a release rests on, the same for the same things and for no others.

Belongs here: the hash of rows, the hash of all. Does not belong here: approving it (``test_approval``).
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from contract_rows import row
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.contents import Content, digest_of
from assets.engine import connected
from assets.hashed_rows import HashedSlice, hash_of_rows, hash_of_slices, hashed_slices, keep_slices, known_slices
from assets.store import Store
from validations.contract import Contract, column

TABLE = Contract(
    "amounts",
    "service",
    ("service_id",),
    {
        "service_id": column("string", "Service"),
        "note": column("string", "Anything", nullable=True),
        "amount_cents": column("int64", "Amount", "cents", nullable=True),
        "since": column("date", "Since when", nullable=True),
        "is_held": column("boolean", "Held", nullable=True),
    },
)

TEXTS = st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6))
ROWS = st.lists(
    st.fixed_dictionaries({
        "service_id": st.text("S0123é", min_size=1, max_size=4), "note": TEXTS,
        "amount_cents": st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
        "since": st.one_of(st.none(), st.dates()), "is_held": st.one_of(st.none(), st.booleans()),
    }),
    min_size=1, max_size=6, unique_by=lambda r: r["service_id"],
)  # fmt: skip


def hashed(con: Any, folder: Path, rows: list[dict[str, Any]]) -> tuple[str, int]:
    return hash_of_rows(Store(folder, con), TABLE.of_rows(rows), TABLE.key)


def by_hand(rows: list[dict[str, Any]]) -> str:
    """The same hash without an engine."""
    lines = [
        "".join("-" if r[name] is None else f"{len(str(r[name]))}:{r[name]}" for name in TABLE.columns)
        for r in sorted(rows, key=lambda r: str(r["service_id"]))
    ]
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()


@given(ROWS, ROWS, st.randoms())
@settings(max_examples=60, deadline=None)
def test_the_hash_of_rows_is_the_same_in_any_order_and_another_for_any_other_rows(
    con: Any, rows: list[dict[str, Any]], others: list[dict[str, Any]], chance: random.Random
) -> None:
    shuffled = chance.sample(rows, len(rows))
    digest, count = hashed(con, Path(), rows)
    assert hashed(con, Path(), shuffled) == (digest, count)
    assert count == len(rows)

    def as_set(some: list[dict[str, Any]]) -> set[tuple[Any, ...]]:
        return {tuple(r.items()) for r in some}

    assert (hashed(con, Path(), others)[0] == digest) == (as_set(others) == as_set(rows))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"note": "ab", "service_id": "S"}, {"note": "b", "service_id": "Sa"}),
        ({"note": None}, {"note": ""}),
        ({"note": None}, {"note": "-"}),
        ({"note": "1:2-"}, {"note": "1:2"}),
        ({"amount_cents": 1}, {"amount_cents": -1}),
    ],
)
def test_values_that_look_alike_as_text_are_told_apart(
    con: Any, tmp_path: Path, one: dict[str, Any], other: dict[str, Any]
) -> None:
    usual = row(TABLE, service_id="S", note="x", amount_cents=2**53 + 1)
    assert hashed(con, tmp_path, [{**usual, **one}]) != hashed(con, tmp_path, [{**usual, **other}])


def of_table(store: Store, slices: Iterable[str], known: dict[str, HashedSlice]) -> dict[str, HashedSlice]:
    return hashed_slices(store, 2019, {TABLE: lambda table: table}, {TABLE: slices}, known)[TABLE]


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_promise_3_threads_and_the_order_of_rows_and_slices_make_no_difference(tmp_path: Path, threads: int) -> None:
    rows = [row(TABLE, service_id=f"S{n:06d}", note=f"n{n % 7}", amount_cents=n * 37) for n in range(130_000)]
    con = connected(threads=threads)
    store = Store(tmp_path, con)
    slices = {name: rows[part::3] for part, name in enumerate(("a", "o'hara", "c"))}
    for name, part in slices.items():
        store.write(TABLE, 2019, name, TABLE.of_rows(part[:: 1 - threads % 2 * 2]), "v")
    store.write(TABLE, 2019, "without", TABLE.empty(), "v")
    found = of_table(store, ["without", *reversed(slices), "not there"], {})
    con.disconnect()
    assert {name: (found[name].rows_hash, found[name].rows) for name in slices} == {
        name: (by_hand(part), len(part)) for name, part in slices.items()
    }
    text = ",".join(f'["{name}","{by_hand(slices[name])}",{len(slices[name])}]' for name in sorted(slices))
    assert hash_of_slices(found) == (hashlib.sha256(f'{{"slices":[{text}]}}'.encode()).hexdigest(), len(rows))


def test_what_a_slice_came_to_is_taken_over_only_for_the_same_bytes_and_code(
    con: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, kept = Store(tmp_path, con), tmp_path / "kept.json"

    def written(amount: int) -> None:
        store.write(TABLE, 2019, "a", TABLE.of_rows([row(TABLE, service_id="S1", amount_cents=amount)]), "v")

    written(1)
    keep_slices(kept, {TABLE: of_table(store, ["a"], {})})
    known = known_slices(kept)
    planted = {name: replace(one, rows_hash="planted") for name, one in known.items()}
    assert of_table(store, ["a"], planted)["a"].rows_hash == "planted"
    written(2)
    assert of_table(store, ["a"], planted)["a"].rows_hash not in ("planted", known["amounts/a"].rows_hash)
    whole = kept.read_text(encoding="utf-8")
    kept.write_text(whole.replace(known["amounts/a"].rows_hash, "planted"), encoding="utf-8")
    assert known_slices(kept) == {}
    kept.write_text(whole, encoding="utf-8")
    assert known_slices(kept) == known
    monkeypatch.setattr("assets.hashed_rows.code_version", lambda: "other")
    assert known_slices(kept) == {}


def test_the_digest_is_of_all_contents_in_any_order() -> None:
    contents = [Content("delivery", "tiny/a.csv", "1" * 64), Content("table", "bills", "2" * 64, 5)]
    digest = digest_of(contents)
    assert digest_of(contents[::-1]) == digest
    for other in (
        [contents[0]],
        [contents[0], Content("table", "bills", "2" * 64, 6)],
        [contents[0], Content("table", "bills", "3" * 64, 5)],
        [Content("extract", "tiny/a.csv", "1" * 64), contents[1]],
    ):
        assert digest_of(other) != digest
