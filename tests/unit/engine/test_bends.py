"""Bends in a recipe and as parameters."""

import dataclasses
import json
import math

import pytest

from studio.engine.bend import Bend
from studio.engine.bend_parameters import bend_address, with_bend
from studio.engine.model_facts import Layer
from studio.engine.parameters import parameter, parameters_of, reset, with_settings
from studio.engine.recipe import Recipe
from studio.errors import StudioError
from tests.unit.engine.test_parameters import FACTS

PLAIN = Recipe(model="tiny")
BENT = PLAIN.replace(bends=(Bend("b8.conv1", "rotate", 30), Bend("b16.conv0", "blur", 2.0, "random:30:5", muted=True)))
MODEL = dataclasses.replace(FACTS, layers=(Layer("b8.conv1", 8), Layer("b16.conv0", 16)))


def test_a_recipe_keeps_its_bends():
    assert Recipe.from_json(BENT.to_json()) == BENT
    assert Recipe.from_link(BENT.to_link()) == BENT
    assert json.loads(BENT.to_json())["bends"] == [
        {"layer": "b8.conv1", "operation": "rotate", "amount": 30.0, "channels": "all", "muted": False},
        {"layer": "b16.conv0", "operation": "blur", "amount": 2.0, "channels": "random:30:5", "muted": True},
    ]
    short = '{"model":"tiny","bends":[{"layer":"b8.conv1","operation":"rotate","amount":30}]}'
    assert Recipe.from_json(short).bends == (Bend("b8.conv1", "rotate", 30),)


def test_a_recipe_without_bends_does_not_speak_of_them():
    assert PLAIN.to_json() == '{"version":1,"model":"tiny"}'


@pytest.mark.parametrize(
    "change",
    [
        dict(layer=""),
        dict(layer=3),
        dict(layer="a\nb"),
        dict(operation="explode"),
        dict(operation=["rotate"]),
        dict(operation="__import__('os')"),
        dict(amount=math.nan),
        dict(amount=361),
        dict(amount="30"),
        dict(amount=None),
        dict(channels="some"),
        dict(channels=None),
        dict(muted=1),
    ],
)
def test_what_cannot_be_bent_is_told(change):
    with pytest.raises(StudioError) as e:
        Bend(**{**dict(layer="b8.conv1", operation="rotate", amount=30), **change})
    assert e.value.hint
    raw = {"layer": "b8.conv1", "operation": "rotate", "amount": 30, **change}
    with pytest.raises(StudioError):
        Recipe.from_dict({"model": "m", "bends": [raw]})


@pytest.mark.parametrize("text", ["3", '"b8"', "[3]", "[[]]", "[{}]", '[{"layer":"a","operation":"add","amount":1,"more":2}]', "[" * 90])
def test_bends_of_another_shape_are_told(text):
    with pytest.raises(StudioError):
        Recipe.from_json(f'{{"model":"m","bends":{text}}}')


def test_one_way_of_bending_stands_once():
    with pytest.raises(StudioError, match="twice"):
        PLAIN.replace(bends=(Bend("a", "add", 1), Bend("a", "add", 2)))
    assert len(PLAIN.replace(bends=(Bend("a", "add", 1), Bend("a", "add", 1, "0-3"), Bend("a", "blur", 1))).bends) == 3
    with pytest.raises(StudioError, match="at most 64"):
        PLAIN.replace(bends=tuple(Bend(f"layer{i}", "add", 1) for i in range(65)))


def test_what_is_muted_or_neutral_is_not_active():
    assert Bend("a", "rotate", 30).active
    assert Bend("a", "threshold", 0).active, "it has no neutral amount"
    assert not Bend("a", "rotate", 0).active
    assert not Bend("a", "multiply", 1).active
    assert not Bend("a", "rotate", 30, muted=True).active


@pytest.mark.parametrize(
    ("address", "bend"),
    [
        ("bend.b8.conv1.rotate", Bend("b8.conv1", "rotate", 45)),
        ("bend.b8.conv1.add@0-7", Bend("b8.conv1", "add", 4.5, "0-7")),
        ("bend.b16.conv0.erode@random:30:5", Bend("b16.conv0", "erode", 2, "random:30:5")),
        ("bend.b16.conv0.noise", Bend("b16.conv0", "noise", 0)),
        ("bend.b16.conv0.ablate@cluster:2:8", Bend("b16.conv0", "ablate", 1, "cluster:2:8")),
    ],
)
def test_a_parameter_writes_what_it_reads(address, bend):
    p = parameter(address, MODEL)
    assert p.address == address == bend_address(bend)
    assert p.get(PLAIN) == p.default
    moved = p.set(PLAIN, bend.amount)
    assert moved == PLAIN.replace(bends=(bend,))
    assert p.get(moved) == bend.amount
    assert p.get(p.set(moved, p.default)) == p.default
    assert p.available(MODEL)
    assert not p.available(FACTS)
    assert p.low <= p.default <= p.high
    assert p.label
    assert p.explanation.endswith(".")


def test_a_bend_keeps_its_place_and_its_mute_while_it_is_played():
    moved = with_bend(BENT, BENT.bends[1].key, 3)
    assert moved.bends == (BENT.bends[0], dataclasses.replace(BENT.bends[1], amount=3.0))
    through_zero = with_bend(BENT, BENT.bends[0].key, 0)
    assert len(through_zero.bends) == 2, "a slider that passes its neutral amount does not take the bend away"
    assert with_bend(through_zero, BENT.bends[0].key, 30) == BENT
    assert with_bend(PLAIN, ("a", "rotate", "all"), 0) == PLAIN


def test_parameters_of_a_recipe_include_its_bends():
    there = [p.address for p in parameters_of(MODEL, BENT)]
    assert there[-2:] == ["bend.b8.conv1.rotate", "bend.b16.conv0.blur@random:30:5"]
    assert not [a for a in there[:-2] if a.startswith("bend.")]
    assert reset(BENT) == PLAIN


def test_settings_as_people_type_them():
    assert with_settings(PLAIN, ["bend.b8.conv1.rotate=30"], MODEL).bends == BENT.bends[:1]
    for bad, message in (
        ("bend.b8.conv1.rotate=far", "'far'"),
        ("bend.b8.conv1.rotate=400", "400"),
        ("bend.b8.conv1.explode=1", "no parameter"),
        ("bend.rotate=1", "no parameter"),
        ("bend.b8.conv1.rotate@some=1", "'some'"),
        ("bend.b8.conv1.rotate@=1", "channels of a bend"),
        ("bend.b32.conv1.rotate=1", "no parameter"),
    ):
        with pytest.raises(StudioError, match=message):
            with_settings(PLAIN, [bad], MODEL)
