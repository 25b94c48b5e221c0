"""Where work runs: devices by name, and how many workers a CPU gets."""

import os
import threading

import pytest
import torch

from ml.device import cores, for_each, pick_device

CPU = torch.device("cpu")


@pytest.fixture
def threads():
    """A way to set torch's threads, undone afterwards."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_workers_are_bounded_by_torch_and_by_the_machine(threads):
    threads(1)
    assert cores() == 1
    threads(1000)
    assert cores() == len(os.sched_getaffinity(0))


def test_every_item_is_worked_on_and_torch_keeps_its_threads(threads):
    threads(2)
    done, seen = [], set()

    def work(item):
        done.append(item)
        seen.add(torch.get_num_threads() if threading.current_thread() is not threading.main_thread() else 1)

    for_each(work, range(20), CPU)
    assert sorted(done) == list(range(20))
    assert seen == {1}  # each worker is single-threaded
    assert torch.get_num_threads() == 2
    fresh = []
    thread = threading.Thread(target=lambda: fresh.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert fresh == [2]  # and so are threads that start later


@pytest.mark.parametrize("count", [1, 2])
def test_what_a_worker_raises_is_passed_on(threads, count):
    threads(count)

    def work(item):
        raise ValueError(f"item {item}")

    with pytest.raises(ValueError, match="item 3"):
        for_each(work, [3], CPU)


def test_an_unknown_device_is_named():
    with pytest.raises(ValueError, match="gpu0"):
        pick_device("gpu0")
