"""The pace of one server: never above its limit, first come first served, down at pressure and slowly up again."""

import asyncio

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from trajgen.backends.pace import Pace


def test_it_begins_with_the_most_and_stays_there():
    pace = Pace(8)
    for _ in range(100):
        pace.answered()
    assert pace.limit == 8


def test_pressure_halves_once_for_all_calls_that_were_on_their_way():
    pace = Pace(9)
    for _ in range(5):
        pace.pressed(epoch=0)
    assert (pace.limit, pace.epoch) == (4, 1)
    pace.pressed(epoch=0)
    assert pace.limit == 4
    pace.pressed(epoch=1)
    assert pace.limit == 2


def test_it_never_falls_below_one():
    pace = Pace(3)
    for epoch in range(9):
        pace.pressed(epoch)
    assert pace.limit == 1


def test_it_rises_by_one_for_every_limit_answers():
    pace = Pace(8)
    pace.pressed(0)
    limits = []
    for _ in range(4 + 5 + 6 + 7 + 8):
        pace.answered()
        limits.append(pace.limit)
    assert limits == [4] * 3 + [5] * 5 + [6] * 6 + [7] * 7 + [8] * 9


def test_pressure_forgets_the_answers_before_it():
    pace = Pace(8)
    pace.pressed(0)
    for _ in range(3):
        pace.answered()
    pace.pressed(1)
    pace.answered()
    assert pace.limit == 2
    pace.answered()
    assert pace.limit == 3


class Callers(RuleBasedStateMachine):
    """Calls come, go, fail and are cancelled, at any time; a model in plain lists says what must hold."""

    @property
    def waiting(self):
        return [n for n in self.arrived if n not in self.admitted and n not in self.cancelled]

    def __init__(self):
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.pace = Pace(4)
        self.tasks, self.leave, self.on_leaving = {}, {}, {}
        self.arrived, self.admitted, self.cancelled, self.gone = [], [], set(), set()

    def teardown(self):
        for task in self.tasks.values():
            task.cancel()
        self.settle()
        assert self.pace.n_open == 0
        self.loop.close()

    def settle(self):
        for _ in range(5):
            self.loop.run_until_complete(asyncio.sleep(0))

    async def call(self, n):
        async with self.pace:
            assert self.pace.n_open <= self.pace.limit, "let in above the limit"
            self.admitted.append(n)
            try:
                await self.leave[n].wait()
            finally:
                self.gone.add(n)
        self.on_leaving.pop(n, lambda: None)()

    @property
    def inside(self):
        return [n for n in self.admitted if n not in self.gone]

    def come(self):
        n = len(self.arrived)
        self.arrived.append(n)
        self.leave[n] = asyncio.Event()
        self.tasks[n] = self.loop.create_task(self.call(n))

    @rule(several=st.integers(1, 3))
    def arrive(self, several):
        for _ in range(several):
            self.come()
        self.settle()

    @precondition(lambda self: self.inside)
    @rule(data=st.data(), how=st.sampled_from(["answered", "pressed", "pressed late", "failed", "cancelled"]))
    def finish(self, data, how):
        n = data.draw(st.sampled_from(self.inside))
        if how == "answered":
            self.pace.answered()
        elif how.startswith("pressed"):
            self.pace.pressed(self.pace.epoch - (how == "pressed late"))
        if how == "cancelled":
            self.tasks[n].cancel()
        else:
            self.leave[n].set()
        self.settle()

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def give_up(self, data):
        n = data.draw(st.sampled_from(self.waiting))
        self.cancelled.add(n)
        self.tasks[n].cancel()
        self.settle()

    @rule()
    def answer_within(self):
        self.pace.answered()
        self.settle()

    @precondition(lambda self: self.inside and self.waiting)
    @rule(data=st.data(), newcomer=st.booleans())
    def give_up_as_a_slot_is_given(self, data, newcomer):
        """Cancel a waiter between the moment when it gets a slot and the moment when it wakes."""
        leaver, waiter = data.draw(st.sampled_from(self.inside)), self.waiting[0]

        def too_late():
            self.cancelled.add(waiter)
            self.tasks[waiter].cancel()
            if newcomer:
                self.come()

        self.on_leaving[leaver] = too_late
        self.leave[leaver].set()
        self.settle()

    @invariant()
    def the_limit_is_between_one_and_the_most(self):
        assert 1 <= self.pace.limit <= self.pace.most

    @invariant()
    def no_slot_leaks(self):
        assert self.pace.n_open == len(self.inside)

    @invariant()
    def never_more_than_the_most(self):
        assert len(self.inside) <= self.pace.most

    @invariant()
    def first_come_first_served(self):
        assert self.admitted == sorted(self.admitted)
        assert not self.waiting or not self.admitted or self.waiting[0] > self.admitted[-1]

    @invariant()
    def nobody_waits_while_there_is_room(self):
        assert not self.waiting or self.pace.n_open >= self.pace.limit


TestCallers = Callers.TestCase
TestCallers.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)


def test_one_thousand_callers_all_get_their_turn_in_order():
    served, pace = [], Pace(7)

    async def caller(n):
        async with pace:
            served.append(n)
            await asyncio.sleep(0)
            if n % 50 == 0:
                pace.pressed(pace.epoch)
            else:
                pace.answered()

    async def main():
        await asyncio.wait_for(asyncio.gather(*map(caller, range(1_000))), 20)

    asyncio.run(main())
    assert served == list(range(1_000))
    assert pace.n_open == 0
