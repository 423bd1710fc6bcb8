"""The corpus is large, typed and findable; any text is a query; threads share it."""

from __future__ import annotations

import importlib.resources
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from trajgen_envs.toolbox import facts
from trajgen_envs.toolbox.phrases import RELATIONS, read_sentence


def test_there_are_at_least_two_thousand_facts_in_less_than_a_megabyte():
    assert len(facts.facts()) >= 2_000
    table = importlib.resources.files("trajgen_envs.toolbox").joinpath("data/facts.tsv")
    assert len(table.read_bytes()) < 1_000_000


def test_every_sentence_reads_back_as_its_fact():
    for fact in facts.facts():
        assert read_sentence(fact.relation, fact.sentence) == (fact.display(), fact.value)


def test_no_two_facts_contradict_each_other():
    keys = [(f.relation, f.display()) for f in facts.facts()]
    assert len(keys) == len(set(keys))


def test_every_fact_is_found_by_its_kind_and_subject():
    missed = [
        f.sentence
        for f in facts.facts()
        if f.sentence not in facts.search(f"{RELATIONS[f.relation].keywords} {f.display()}")
    ]
    assert missed == []


def test_a_code_a_number_or_a_symbol_leads_back_to_its_subject():
    for relation in ("numeric", "atomic_number", "symbol"):
        for value, fact in facts.with_value(relation).items():
            if facts.is_telling(value):
                assert fact.sentence in facts.search(f"{RELATIONS[relation].keywords} {value}")


@given(st.text(max_size=80))
def test_any_text_is_a_query(query):
    found = facts.search(query)
    assert len(found) <= facts.N_RESULTS
    assert found == facts.search(query)


def test_operators_of_the_search_engine_are_words():
    for query in ('"', "*", "NEAR(a b)", "capital OR", "sentence:peru", "-peru", "(", "\x00", "^capital"):
        facts.search(query)
    assert facts.search("capital AND NOT Peru")  # no syntax error, some sentences


def test_a_natural_question_finds_what_it_asks():
    assert facts.search("What is the capital of Peru?") == ("The capital of Peru is Lima.",)


def test_accents_and_case_do_not_matter():
    assert facts.search("population BOGOTA") == facts.search("population Bogot\u00e1")


def test_cities_that_share_a_name_carry_their_country():
    names = [c.name for c in facts.plain_cities()]
    assert len(names) == len(set(names))
    assert facts.twin_cities()
    for city in facts.twin_cities():
        assert city.display() in facts.about("population")
        others = [c for c in facts.twin_cities() if facts.words(c.name) == facts.words(city.name)]
        assert len(others) > 1


def test_threads_share_the_index():
    queries = [f"population {c.display()}" for c in facts.cities()[:200]]
    alone = [facts.search(q) for q in queries]
    facts._search.cache_clear()
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(facts.search, queries)) == alone
