"""Which replica: the same for the same task, another when it fails, and the first again when it is back."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trajgen.backends.replicas import FIRST_PAUSE_S, LONGEST_PAUSE_S, Replicas
from trajgen.chat import Message

URLS = [f"http://host{i}/v1" for i in range(4)]


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def chat(task, *more):
    return [Message("system", "Act."), Message("user", f"Task {task}."), *(Message("assistant", m) for m in more)]


def hosts(replicas, messages):
    return [r.url.host for r in replicas.order(messages)]


def test_the_first_two_messages_alone_decide():
    replicas = Replicas(URLS, 4)
    assert hosts(replicas, chat(1)) == hosts(replicas, chat(1, "a", "b"))
    assert len({tuple(hosts(replicas, chat(n))) for n in range(50)}) > 10


def test_tasks_spread_evenly():
    replicas = Replicas(URLS, 4)
    counts = Counter(hosts(replicas, chat(n))[0] for n in range(2_000))
    assert min(counts.values()) > 400


@given(tasks=st.lists(st.text(), min_size=1, max_size=20), gone=st.sampled_from(URLS))
def test_a_replica_less_moves_only_its_own_tasks_and_the_lists_order_is_nothing(tasks, gone):
    all_four, three = Replicas(URLS, 4), Replicas([u for u in reversed(URLS) if u != gone], 4)
    for task in tasks:
        before = hosts(all_four, chat(task))
        assert hosts(three, chat(task)) == [h for h in before if f"http://{h}/v1" != gone]


def test_a_half_of_a_surrogate_pair_in_a_task_is_no_error():
    assert len(Replicas(URLS, 4).order([Message("user", "\ud800")])) == 4


@pytest.fixture
def three():
    clock = Clock()
    replicas = Replicas(URLS[:3], 4, clock)
    return clock, replicas, replicas.order(chat(1))


def test_one_that_failed_is_avoided_and_then_probed_by_one_call(three):
    clock, replicas, order = three
    assert replicas.choose(order) is order[0]
    replicas.failed(order[0], clock.now)
    assert replicas.choose(order) is order[1]
    clock.now += FIRST_PAUSE_S
    assert replicas.choose(order) is order[0]
    assert replicas.choose(order) is order[1]  # while the probe is on its way
    replicas.worked(order[0])
    assert replicas.choose(order) is order[0]


def test_a_probe_that_never_comes_back_is_followed_by_another(three):
    clock, replicas, order = three
    replicas.failed(order[0], clock.now)
    clock.now += FIRST_PAUSE_S
    assert replicas.choose(order) is order[0]
    clock.now += FIRST_PAUSE_S
    assert replicas.choose(order) is order[0]


def test_pauses_double_up_to_a_bound(three):
    clock, replicas, order = three
    pauses = []
    for _ in range(2_000):
        replicas.failed(order[0], clock.now)
        pauses.append(order[0].avoided_until_s - clock.now)
        clock.now += 1_000
    assert pauses[:4] == [1, 2, 4, 8]
    assert set(pauses[6:]) == {LONGEST_PAUSE_S}


def test_calls_that_were_on_their_way_at_the_failure_count_once(three):
    clock, replicas, order = three
    began = clock.now
    for _ in range(50):
        clock.now += 0.01
        replicas.failed(order[0], began)
    assert order[0].n_failures == 1


def test_a_call_goes_on_to_those_it_has_not_tried_and_where_all_are_avoided_asks_all_the_same(three):
    clock, replicas, order = three
    tried = []
    for _ in range(6):
        tried.append(replicas.choose(order, tried))
        replicas.failed(tried[-1], clock.now)
    assert tried == [*order, *order]


def test_one_alone_is_never_avoided():
    replicas = Replicas(URLS[:1], 4)
    (only,) = replicas.order(chat(1))
    replicas.failed(only, replicas.now())
    assert replicas.choose((only,)) is only
