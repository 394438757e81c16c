"""What a GPU does: images a second and its share of time at work, for the network of `benchmarks.detection`.

Needs onnxruntime-gpu, a GPU, and `.venv-bench` with torch for CUDA; says so where one is not there.
"""

import shutil
import subprocess
import sys
import threading

import onnxruntime

from benchmarks import detection
from inference.devices import CUDA


def main() -> None:
    """Detection on the GPU, with the load that `nvidia-smi` tells meanwhile."""
    if reason := why_not():
        sys.exit(f"no GPU is measured here: {reason}")
    name = _ask("name")
    samples: list[float] = []
    ended = threading.Event()
    sampling = threading.Thread(target=_sample, args=(samples, ended))
    sampling.start()
    try:
        detection.main()
    finally:
        ended.set()
        sampling.join()
    print(
        f"{name}: driver {_ask('driver_version')}; at work {sum(samples) / max(len(samples), 1):.0f} % of the time"
    )


def why_not() -> str:
    """Empty where there is a GPU that onnxruntime can use."""
    if not shutil.which("nvidia-smi"):
        return "there is no NVIDIA driver (nvidia-smi)"
    if CUDA not in onnxruntime.get_available_providers():
        return f"onnxruntime has no {CUDA}: install the extra `gpu`"
    return ""


def _ask(what: str) -> str:
    command = ["nvidia-smi", f"--query-gpu={what}", "--format=csv,noheader,nounits", "--id=0"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _sample(samples: list[float], ended: threading.Event) -> None:
    while not ended.wait(0.2):
        samples.append(float(_ask("utilization.gpu")))


if __name__ == "__main__":
    main()
