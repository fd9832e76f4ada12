"""Plain data of JSON and TOML against dataclasses: what fits, and what is said of the first value that doesn't."""

import datetime
from dataclasses import dataclass, field
from typing import Any

import pytest

from studio.common.schema import SchemaError, from_plain, known_fields


@dataclass(frozen=True)
class Inner:
    x: float = 0.0
    pair: tuple[int, int] | None = None


@dataclass(frozen=True)
class Outer:
    name: str
    count: int = 1
    flag: bool = False
    inner: Inner = Inner()
    many: tuple[Inner, ...] = ()
    rest: dict[str, Any] = field(default_factory=dict)


def test_tables_and_lists_become_dataclasses_and_tuples():
    raw = {"name": "a", "inner": {"x": 2}, "many": [{"pair": [1, 2]}, {}], "rest": {"a": [1]}}
    made = from_plain(Outer, raw)
    assert made == Outer("a", inner=Inner(2.0), many=(Inner(pair=(1, 2)), Inner()), rest={"a": [1]})
    assert type(made.inner.x) is float


@pytest.mark.parametrize(
    ("raw", "name", "problem"),
    [
        ({"name": "a", "oops": 1}, "oops", "unknown"),
        ({"name": "a", "inner": {"y": 1}}, "inner.y", "unknown"),
        ({}, "name", "missing"),
        ({"name": "a", "inner": 3}, "inner", "table"),
        (3, "", "table"),
        ({"name": "a", "many": {}}, "many", "list"),
        ({"name": "a", "many": [{}, {"x": "1"}]}, "many.1.x", "value"),
        ({"name": "a", "count": True}, "count", "value"),
        ({"name": "a", "count": "1"}, "count", "value"),
        ({"name": "a", "count": 1.5}, "count", "value"),
        ({"name": "a", "flag": 1}, "flag", "value"),
        ({"name": 1}, "name", "value"),
        ({"name": "a", "inner": {"x": float("nan")}}, "inner.x", "finite"),
        ({"name": "a", "count": 10**5000}, "", "value"),
        ({"name": datetime.date(2020, 1, 1)}, "", "value"),
    ],
)
def test_the_first_value_that_does_not_fit_is_named(raw, name, problem):
    with pytest.raises(SchemaError) as e:
        from_plain(Outer, raw)
    assert (e.value.name, e.value.problem) == (name, problem)


def test_nesting_without_end_is_an_error_like_the_others():
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(SchemaError):
        from_plain(Outer, {"name": "a", "rest": {"a": deep}})


def test_known_fields_are_those_of_the_table_the_setting_is_in():
    assert known_fields(Outer, ("oops",))[:2] == ["name", "count"]
    assert known_fields(Outer, ("inner", "y")) == ["x", "pair"]
