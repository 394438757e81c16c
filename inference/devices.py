"""What networks run on: onnxruntime's execution providers, chosen by a setting and by what there is."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

import onnxruntime

from archive.errors import ConfigurationError

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"

Provider = tuple[str, dict[str, Any]]


class Kind(StrEnum):
    """The values of the setting `inference_device`."""

    AUTO = "auto"  # the GPU where there is one
    CPU = "cpu"
    CUDA = "cuda"
    TENSORRT = "tensorrt"


class Device(NamedTuple):
    """What a process's networks run on; `number` is that of the GPU, `cache` where TensorRT keeps what it built."""

    kind: Kind = Kind.AUTO
    number: int = 0
    cache: Path | None = None


_WANTED: Mapping[Kind, Sequence[str]] = {
    Kind.AUTO: (CUDA, CPU),  # TensorRT builds for minutes, for each shape: a site asks for it
    Kind.CPU: (CPU,),
    Kind.CUDA: (CUDA, CPU),
    Kind.TENSORRT: (TENSORRT, CUDA, CPU),
}


def providers(device: Device, available: Sequence[str] | None = None) -> list[Provider]:
    """The execution providers to try, the preferred first.

    Raises ConfigurationError where the setting names one that this installation lacks.
    """
    found = onnxruntime.get_available_providers() if available is None else available
    wanted = _WANTED[device.kind]
    if device.kind is not Kind.AUTO and wanted[0] not in found:
        raise ConfigurationError(
            f"inference_device is {device.kind}, and onnxruntime here has no {wanted[0]}"
        )
    return [(name, _options(name, device)) for name in wanted if name in found]


def check(device: Device, used: Sequence[str]) -> None:
    """Raise ConfigurationError where the device that was asked for by name is not the one that is used.

    onnxruntime goes on without a provider whose libraries it can't load.
    """
    wanted = _WANTED[device.kind][0]
    if device.kind is not Kind.AUTO and wanted not in used:
        raise ConfigurationError(f"inference_device is {device.kind}, and {wanted} can't be used here")


def _options(name: str, device: Device) -> dict[str, Any]:
    if name == CUDA:
        return {
            "device_id": device.number,
            "arena_extend_strategy": "kSameAsRequested",
            "cudnn_conv_algo_search": "HEURISTIC",  # crops differ in size: a search for each costs more than it saves
        }
    if name == TENSORRT:
        cached = {"trt_engine_cache_enable": True, "trt_engine_cache_path": str(device.cache)}
        return {"device_id": device.number, "trt_timing_cache_enable": True} | (
            cached if device.cache else {}
        )
    return {}
