"""Rows of several readings run as one batch, and each gets its own back."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from inference.errors import ReadingFailed
from inference.execution.batching import Batcher, Outputs, Tensor


def doubled(sizes: list[int]):
    def run(tensor: Tensor) -> Outputs:
        sizes.append(len(tensor))
        if np.isnan(tensor).any():
            raise ReadingFailed("not finite")
        return {"double": tensor * 2}

    return run


def put(batcher: Batcher, tensors: list[np.ndarray]) -> list[np.ndarray]:
    barrier = threading.Barrier(len(tensors))

    def one(tensor: np.ndarray) -> np.ndarray:
        barrier.wait(10)
        return batcher(tensor)["double"]

    with ThreadPoolExecutor(len(tensors)) as pool:
        return list(pool.map(one, tensors))


def test_each_gets_its_own_rows() -> None:
    sizes: list[int] = []
    tensors = [np.full((rows, 3), rows, np.float32) for rows in (1, 2, 3, 4)]
    answers = put(Batcher(doubled(sizes), lambda: 4, wait=5), tensors)
    for tensor, answer in zip(tensors, answers, strict=True):
        np.testing.assert_array_equal(answer, tensor * 2)
    assert sizes == [10]


def test_other_shapes_are_other_batches() -> None:
    sizes: list[int] = []
    tensors = [np.ones((1, columns), np.float32) for columns in (2, 2, 3, 3)]
    answers = put(Batcher(doubled(sizes), lambda: 4, wait=0.5), tensors)
    assert [one.shape for one in answers] == [one.shape for one in tensors]


def test_a_batch_is_not_larger_than_it_may_be() -> None:
    sizes: list[int] = []
    put(Batcher(doubled(sizes), lambda: 6, most=4, wait=0.2), [np.ones((2, 2), np.float32)] * 6)
    assert max(sizes) <= 4 and sum(sizes) == 12


def test_nobody_waits_who_is_the_only_one() -> None:
    sizes: list[int] = []
    batcher = Batcher(doubled(sizes), lambda: 1, wait=1e6)
    assert batcher(np.ones((1, 2), np.float32))["double"].sum() == 4


def test_who_fails_fails_alone() -> None:
    batcher = Batcher(doubled([]), lambda: 2, wait=5)
    good, bad = np.ones((1, 2), np.float32), np.full((1, 2), np.nan, np.float32)
    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(batcher, one) for one in (good, bad)]
        assert answers[0].result(20)["double"].sum() == 4
        with pytest.raises(ReadingFailed):
            answers[1].result(20)
