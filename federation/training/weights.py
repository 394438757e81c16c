"""Weights as they travel: one vector of float32 in the order of the task; their hash, and how far two are apart."""

import hashlib

import numpy as np
import numpy.typing as npt

from archive.errors import BadRequest
from federation.training.task import Weights

Vector = npt.NDArray[np.float32]


def weights_hash(weights: Weights) -> str:
    """SHA-256 over names, shapes and numbers in their order: equal for equal weights, on any machine."""
    total = hashlib.sha256()
    for name, array in weights.items():
        total.update(f"{name}\0{','.join(map(str, array.shape))}\0".encode())
        total.update(np.ascontiguousarray(array, "<f4").tobytes())
    return total.hexdigest()


def flatten(weights: Weights) -> Vector:
    """All numbers as one vector, array after array in their order, each row by row."""
    parts = [np.ravel(array).astype("<f4", copy=False) for array in weights.values()]
    return np.concatenate(parts) if parts else np.zeros(0, "<f4")


def unflatten(vector: Vector, like: Weights) -> Weights:
    """Weights of the names and shapes of `like`. Raises BadRequest where the vector is not of their kind and size."""
    sizes = [array.size for array in like.values()]
    if vector.dtype != np.float32 or vector.shape != (sum(sizes),):
        raise BadRequest("the weights are not of the kind and size of the task's")
    parts = np.split(vector, np.cumsum(sizes)[:-1]) if sizes else []
    return {name: part.reshape(array.shape) for (name, array), part in zip(like.items(), parts, strict=True)}


def distance(one: Vector, other: Vector) -> float:
    """The Euclidean norm of the difference; not finite where one of both is not."""
    with np.errstate(invalid="ignore", over="ignore"):
        return float(np.linalg.norm(one.astype(np.float64) - other.astype(np.float64)))
