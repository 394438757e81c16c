"""Whether a network that was written as ONNX answers as it does in torch."""

from collections.abc import Callable, Mapping

import numpy as np
import torch

from archive.errors import BadRequest
from inference.training.running import Tensor, runner

TOLERANCE = 1e-5
"""Of an answer, or of its size where that is larger than 1."""


def check_parity(
    content: bytes, given: Tensor, answer: Callable[[torch.Tensor], Mapping[str, torch.Tensor]]
) -> None:
    """Raises BadRequest where onnxruntime, on one processor thread, answers otherwise than torch."""
    told = runner(content)(given)
    with torch.no_grad():
        wanted = {name: one.numpy() for name, one in answer(torch.from_numpy(given)).items()}
    if told.keys() != wanted.keys():
        raise BadRequest("the exported network has other outputs")
    for name, one in wanted.items():
        if not np.allclose(told[name], one, rtol=TOLERANCE, atol=TOLERANCE):
            raise BadRequest(f"the exported network's {name} are not those of torch")
