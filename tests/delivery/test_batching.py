import asyncio
import contextlib
import threading

import numpy as np
import pytest

from delivery.batching import Batcher
from delivery.history import History
from delivery.log import PredictionLog
from delivery.schema import LogError
from delivery.slot import Loaded, Slot, SlotError
from delivery.smoke import Smoke

SMOKE = Smoke(True, 20, 19)


class Model:
    """Says of an image what its first pixel is; `hold` makes it wait, with what it has been asked."""

    def __init__(self):
        self.batches, self.hold = [], threading.Event()
        self.hold.set()
        self.error = None

    def probabilities(self, pixels):
        self.batches.append(len(pixels))
        self.hold.wait()
        if self.error:
            raise self.error
        return np.eye(10, dtype=np.float32)[pixels[:, 0, 0]]


def image(digit):
    return bytes([digit]) + bytes(783)


@contextlib.asynccontextmanager
async def running(log, model=None, observe=lambda scored: None):
    slot = Slot()
    batcher = Batcher(slot, log, observe)
    try:
        if model:
            await slot.switch(Loaded("v0.1.0", None, model, SMOKE))
        yield batcher, slot
    finally:
        if model:
            model.hold.set()
        await batcher.close()


async def until(condition):
    while not condition():
        await asyncio.sleep(0.001)


def on_record(log):
    return History(log.engine).latest(10_000)


def test_each_gets_its_own_answers_and_all_share_batches(log):
    model, seen = Model(), []

    async def main():
        async with running(log, model, lambda scored: seen.append(len(scored.labels))) as (batcher, _):
            model.hold.clear()
            waiting = [batcher.submit(image(0), 1)]
            await until(lambda: model.batches)
            waiting += [batcher.submit(image(d) * 3, 3) for d in range(1, 10)]  # while the first one is being scored
            assert batcher.waiting == 9
            model.hold.set()
            answers = [await one.future for one in waiting]
            for one in waiting:
                batcher.done(one)
        return answers

    answers = asyncio.run(main())
    assert [answer.labels for answer in answers] == [[0], *([d] * 3 for d in range(1, 10))]
    assert [len(answer.probabilities) for answer in answers] == [1, *[3] * 9]
    assert {answer.version for answer in answers} == {"v0.1.0"}
    assert model.batches == seen == [1, 27]
    found = on_record(log)
    assert found.ids == [one for answer in answers for one in answer.ids]
    assert found.labels.tolist() == [label for answer in answers for label in answer.labels]


@pytest.mark.parametrize(("size", "batches"), [(60, [120, 120, 60]), (100, [100] * 5), (200, [200] * 5)])
def test_a_batch_holds_no_more_than_what_may_wait_together(log, size, batches):
    model = Model()

    async def main():
        async with running(log, model) as (batcher, _):
            waiting = [batcher.submit(image(1) * size, size) for _ in range(5)]
            for one in waiting:
                await one.future
                batcher.done(one)

    asyncio.run(main())
    assert model.batches == batches


def test_nothing_is_answered_before_it_is_on_record(log, monkeypatch):
    model, held = Model(), threading.Event()
    append = log.append

    def slow(scored):
        ids = append(scored)
        held.wait()
        return ids

    async def main():
        async with running(log, model) as (batcher, _):
            monkeypatch.setattr(log, "append", slow)
            waiting = batcher.submit(image(3), 1)
            await until(lambda: History(log.engine).count() == 1)
            assert not waiting.future.done()
            held.set()
            assert (await waiting.future).ids == on_record(log).ids
            batcher.done(waiting)

    asyncio.run(main())


def test_without_a_log_there_is_no_answer_and_all_goes_on_when_it_is_back(log, database):
    model = Model()

    async def main():
        async with running(log, model) as (batcher, slot):
            first = batcher.submit(image(1), 1)
            await first.future
            batcher.done(first)
            database.fill_up(log)
            refused = [batcher.submit(image(2) * 90, 90) for _ in range(3)]
            for one in refused:
                with pytest.raises(LogError, match="can't be written"):
                    await one.future
                batcher.done(one)
            database.make_room(log)
            last = batcher.submit(image(3), 1)
            await last.future
            batcher.done(last)
            await slot.switch(Loaded("v0.2.0", None, model, SMOKE))  # nothing was left under way

    asyncio.run(main())
    assert on_record(log).labels.tolist() == [1, 3]


def test_without_a_model_it_is_told_why(log):
    async def main():
        async with running(log) as (batcher, slot):
            slot.reason = "none was ever deployed"
            waiting = batcher.submit(image(1), 1)
            with pytest.raises(SlotError, match="none was ever deployed"):
                await waiting.future
            batcher.done(waiting)

    asyncio.run(main())


def test_a_model_that_fails_takes_nobody_else_along(log):
    model = Model()

    async def main():
        async with running(log, model) as (batcher, _):
            model.error = RuntimeError("out of memory")
            waiting = batcher.submit(image(1), 1)
            with pytest.raises(RuntimeError, match="out of memory"):
                await waiting.future
            batcher.done(waiting)
            model.error = None
            waiting = batcher.submit(image(2), 1)
            assert (await waiting.future).labels == [2]
            batcher.done(waiting)

    asyncio.run(main())
    assert on_record(log).labels.tolist() == [2]


def test_who_has_gone_is_not_scored_or_not_waited_for(log):
    model = Model()

    async def main():
        async with running(log, model) as (batcher, slot):
            model.hold.clear()
            under_way = batcher.submit(image(1), 1)
            await until(lambda: model.batches)
            gone = batcher.submit(image(2), 1)
            batcher.done(gone)
            batcher.done(under_way)
            model.hold.set()
            await slot.switch(Loaded("v0.2.0", None, model, SMOKE))
            last = batcher.submit(image(3), 1)
            assert (await last.future).version == "v0.2.0"
            batcher.done(last)

    asyncio.run(main())
    assert on_record(log).labels.tolist() == [1, 3]


def test_what_waits_is_answered_before_the_end(log):
    model = Model()

    async def main():
        async with running(log, model) as (batcher, _):
            model.hold.clear()
            waiting = [batcher.submit(image(1) * 100, 100) for _ in range(4)]
            await until(lambda: model.batches)
            threading.Timer(0.05, model.hold.set).start()
            await batcher.close()
            assert [one.future.done() for one in waiting] == [True] * 4
            for one in waiting:
                batcher.done(one)

    asyncio.run(main())
    assert len(on_record(log)) == 400


def test_after_a_switch_no_answer_comes_from_an_older_version(sqlite):
    """Many ask without a pause while versions change: 40 times, each as soon as the one before is done."""
    log = PredictionLog(sqlite.url, "production")
    wrong, answered = [], []

    async def main():
        async with running(log, Model()) as (batcher, slot):
            reported, stop = 0, False

            async def ask():
                while not stop:
                    known = reported
                    waiting = batcher.submit(image(1), 1)
                    answer = await waiting.future
                    await asyncio.sleep(0)  # on its way to the client
                    # What was reported before the question, and what is reported by the time of the answer.
                    if int(answer.version[3:-2]) < known:
                        wrong.append((answer.version, known))
                    answered.append(answer.version)
                    if int(answer.version[3:-2]) < reported:
                        wrong.append((answer.version, reported))
                    batcher.done(waiting)

            await slot.switch(Loaded("v0.0.0", None, Model(), SMOKE))
            asking = [asyncio.create_task(ask()) for _ in range(16)]
            for number in range(1, 41):
                await asyncio.sleep(0.002)
                await slot.switch(Loaded(f"v0.{number}.0", None, Model(), SMOKE))
                reported = number
            stop = True
            await asyncio.gather(*asking)

    asyncio.run(main())
    assert wrong == []
    assert len(set(answered)) > 20
    assert on_record(log).versions == sorted(on_record(log).versions, key=lambda name: int(name[3:-2]))
    assert sorted(answered) == sorted(on_record(log).versions)
    log.close()
