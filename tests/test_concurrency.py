"""app/concurrency.py: what ends by it, what does not, and that nothing of it is left behind."""

import asyncio

import pytest

from app.concurrency import Interruption, deadline

pytestmark = pytest.mark.anyio


class Late(Exception):
    pass


async def test_a_block_that_takes_too_long_ends_with_the_error() -> None:
    with pytest.raises(Late, match=r"^0\.01$"):
        async with deadline(0.01, Late):
            await asyncio.sleep(30)
    await asyncio.sleep(0)  # no cancellation is left


async def test_a_block_in_time_is_left_alone() -> None:
    async with deadline(0.02, Late):
        await asyncio.sleep(0)
    await asyncio.sleep(0.05)


async def test_an_error_of_the_block_comes_out_as_it_is() -> None:
    with pytest.raises(KeyError):
        async with deadline(30, Late):
            raise KeyError


async def test_a_cancellation_from_elsewhere_is_not_taken_for_it() -> None:
    async def work() -> None:
        async with deadline(30, Late):
            await asyncio.sleep(30)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_both_at_once_are_a_cancellation() -> None:
    async def work(reasons: list[Interruption]) -> None:
        interruption = Interruption()
        reasons.append(interruption)
        with pytest.raises(asyncio.CancelledError) as caught:
            await asyncio.sleep(30)
        assert not await interruption.ended(caught.value)
        raise caught.value

    reasons: list[Interruption] = []
    task = asyncio.create_task(work(reasons))
    await asyncio.sleep(0)
    task.cancel()
    reasons[0]()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_reason_that_comes_from_the_block_itself_is_not_lost() -> None:
    """As when a write finds the connection gone: the cancellation would arrive at whatever is awaited next."""

    async def work() -> bool:
        interruption = Interruption()
        interruption()
        return await interruption.ended(None)

    task = asyncio.create_task(work())
    assert await task
    assert task.cancelling() == 0


async def test_a_result_and_the_reason_at_once_are_the_reason() -> None:
    loop = asyncio.get_running_loop()

    async def work() -> None:
        async with deadline(30, Late):
            arrived = loop.create_future()
            interruption = Interruption()
            loop.call_soon(arrived.set_result, None)
            loop.call_soon(interruption)
            with pytest.raises(asyncio.CancelledError) as caught:
                await arrived
            assert await interruption.ended(caught.value)

    task = asyncio.create_task(work())
    await task
    assert task.cancelling() == 0
