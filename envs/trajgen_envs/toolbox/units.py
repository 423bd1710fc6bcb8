"""Unit conversion with exact factors. Each unit is `value * factor + offset` of its dimension's base unit."""

from __future__ import annotations

import functools
from fractions import Fraction

from msgspec import Struct

from trajgen.errors import nearest
from trajgen.toolenv import Impossible


class Unit(Struct, frozen=True):
    """One unit.

    Attributes:
        name: In the plural, as results write it.
        also: Singular and symbols.
        factor: How many base units one of it is, exactly.
        offset: Base units at its zero; only for temperatures.
    """

    name: str
    also: tuple[str, ...]
    dimension: str
    factor: Fraction
    offset: Fraction = Fraction(0)


def _unit(name: str, also: str, dimension: str, factor: str, offset: str = "0") -> Unit:
    return Unit(name, tuple(also.split("|")), dimension, Fraction(factor), Fraction(offset))


UNITS: tuple[Unit, ...] = (
    _unit("metres", "metre|meter|meters|m", "length", "1"),
    _unit("kilometres", "kilometre|kilometer|kilometers|km", "length", "1000"),
    _unit("centimetres", "centimetre|centimeter|centimeters|cm", "length", "0.01"),
    _unit("millimetres", "millimetre|millimeter|millimeters|mm", "length", "0.001"),
    _unit("inches", "inch|in", "length", "0.0254"),
    _unit("feet", "foot|ft", "length", "0.3048"),
    _unit("yards", "yard|yd", "length", "0.9144"),
    _unit("miles", "mile|mi", "length", "1609.344"),
    _unit("nautical miles", "nautical mile|nmi", "length", "1852"),
    _unit("square metres", "square metre|square meter|square meters|m2|m^2|m²", "area", "1"),
    _unit("square kilometres", "square kilometre|square kilometer|square kilometers|km2|km^2|km²", "area", "1000000"),
    _unit("hectares", "hectare|ha", "area", "10000"),
    _unit("acres", "acre|ac", "area", "4046.8564224"),
    _unit("square miles", "square mile|mi2|mi^2|mi²", "area", "2589988.110336"),
    _unit("square feet", "square foot|ft2|ft^2|ft²", "area", "0.09290304"),
    _unit("grams", "gram|g", "mass", "1"),
    _unit("kilograms", "kilogram|kg|kilos|kilo", "mass", "1000"),
    _unit("milligrams", "milligram|mg", "mass", "0.001"),
    _unit("tonnes", "tonne|t|metric tons|metric ton", "mass", "1000000"),
    _unit("pounds", "pound|lb|lbs", "mass", "453.59237"),
    _unit("ounces", "ounce|oz", "mass", "28.349523125"),
    _unit("seconds", "second|s|sec", "time", "1"),
    _unit("minutes", "minute|min", "time", "60"),
    _unit("hours", "hour|h|hr", "time", "3600"),
    _unit("days", "day|d", "time", "86400"),
    _unit("weeks", "week|wk", "time", "604800"),
    _unit("litres", "litre|liter|liters|l", "volume", "1"),
    _unit("millilitres", "millilitre|milliliter|milliliters|ml", "volume", "0.001"),
    _unit("cubic metres", "cubic metre|cubic meter|cubic meters|m3|m^3|m³", "volume", "1000"),
    _unit("gallons", "gallon|gal|us gallons|us gallon", "volume", "3.785411784"),
    _unit("pints", "pint|pt|us pints|us pint", "volume", "0.473176473"),
    _unit("joules", "joule|j", "energy", "1"),
    _unit("kilojoules", "kilojoule|kj", "energy", "1000"),
    _unit("calories", "calorie|cal", "energy", "4.184"),
    _unit("kilowatt hours", "kilowatt hour|kwh|kilowatt-hours", "energy", "3600000"),
    _unit("kelvins", "kelvin|k", "temperature", "1"),
    _unit("degrees Celsius", "degree celsius|celsius|°c|c", "temperature", "1", "273.15"),
    _unit("degrees Fahrenheit", "degree fahrenheit|fahrenheit|°f|f", "temperature", "5/9", "45967/180"),
)


@functools.cache
def _names() -> dict[str, Unit]:
    return {name.casefold(): unit for unit in UNITS for name in (unit.name, *unit.also)}


def unit_named(name: str) -> Unit | None:
    """Return the unit of that name, singular, plural or symbol, in any case; None where nobody knows it."""
    return _names().get(" ".join(name.casefold().split()))


def convert(value: Fraction, source: str, target: str) -> tuple[Fraction, Unit]:
    """Convert exactly.

    Raises: Impossible: a unit is unknown (offers the nearest), or the two measure different things.
    """
    found = _known(source, "from_unit")
    wanted = _known(target, "to_unit")
    if found.dimension != wanted.dimension:
        raise Impossible(
            f"to_unit: {found.name} measure {found.dimension} and {wanted.name} measure {wanted.dimension}; expected one of "
            + ", ".join(u.name for u in UNITS if u.dimension == found.dimension)
        )
    return (value * found.factor + found.offset - wanted.offset) / wanted.factor, wanted


def _known(name: str, where: str) -> Unit:
    unit = unit_named(name)
    if unit is None:
        hint = nearest(name.casefold(), _names()) or "; known: " + ", ".join(u.name for u in UNITS)
        raise Impossible(f"{where}: no unit {name[:40]!r}{hint}")
    return unit
