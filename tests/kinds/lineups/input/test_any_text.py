"""Whatever is sent as a file is read, or refused as bad input: nothing else ever comes of it."""

import contextlib

from hypothesis import example, given, settings
from hypothesis import strategies as st

from meshd.errors import BadInput
from meshd.kinds.lineups import kind, sample_slate

CELLS = st.sampled_from(
    ["", "D", "Name", "ID", "Id", "Salary", "Position", "FPPG", "Nickname", "7000", "-1", "nan", "1e9", "$5,000", "O",
     '"', "<td>", "Ada", "\u0663", "\uff11", "\0", "=1", "🏁", "Injury Indicator", "AvgPointsPerGame", "Entry ID",
     "Contest ID", "(LOCKED)", "Avery Fairbanks (LOCKED)", "90410001"]
)  # fmt: skip
TABLES = st.lists(st.lists(CELLS, max_size=9).map(",".join), max_size=8).map("\n".join)
HEADS = st.sampled_from(["Position,Name,ID,Salary\n", "Entry ID,Contest Name,Contest ID,Entry Fee,D,D,D,D,D,D\n"])
TEXTS = st.one_of(TABLES, st.text(max_size=200), st.builds(str.__add__, HEADS, TABLES))


@given(TEXTS)
@settings(max_examples=300)
@example("<table><tr>" + "<td>" * 50)
@example("\ufeff")
@example(",,,,\n,,,")
def test_any_text_as_a_slate(text: str) -> None:
    with contextlib.suppress(BadInput):
        kind.validate({"slate_csv": text})


@given(TEXTS)
@settings(max_examples=200)
def test_any_text_beside_a_slate(text: str) -> None:
    for field in ("projections_csv", "grid", "entries_csv"):
        with contextlib.suppress(BadInput):
            kind.validate({"slate_csv": sample_slate(), field: text})
    for field in ("exclude_lineups", "existing_lineups"):
        with contextlib.suppress(BadInput):
            kind.validate({"slate_csv": sample_slate(), "constraints": {field: text}})


KEYS = st.sampled_from(["id", "ids", "name", "kind", "q"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner),
    max_leaves=6,
)
FIELDS = st.sampled_from(
    ["drivers", "constraints", "objective", "model", "grid", "seed", "scenarios", "holdout", "randomness", "notices",
     "num_lineups", "site", "sport", "form", "slate", "race_id", "lineup_count", "projections_csv", "iterations",
     "entries", "entries_csv", "swap", "started"]
)  # fmt: skip
RULES = st.sampled_from(
    ["salary_cap", "salary_min", "max_overlap", "groups", "locked", "exposure", "existing_lineups", "min_stack",
     "max_stack", "exclude_drivers", "max_from_team", "global_exposure_max", "roster_size"]
)  # fmt: skip


@given(st.dictionaries(FIELDS, JSON, max_size=3), st.dictionaries(RULES, JSON, max_size=3))
@settings(max_examples=400)
def test_any_json_as_a_spec(fields: dict[str, object], rules: dict[str, object]) -> None:
    for spec in ({"slate_csv": sample_slate(), "constraints": rules, **fields}, {**fields, "constraints": rules}):
        with contextlib.suppress(BadInput):
            kind.validate(spec)
