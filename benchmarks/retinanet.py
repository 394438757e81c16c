"""The way an Orthanc plugin detects lesions today: a RetinaNet with ResNet-50 in torch, one image at a time.

Run by `benchmarks.detection` in an environment of its own that has torch, for the site's has none:
`python benchmarks/retinanet.py ONNX RESULT DICOM…` writes the network with fixed random weights as ONNX, reads each
instance with pydicom, runs the network in torch, and writes what it found and how long it took.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

SHRINK = 2  # pixels of the stored image a pixel of the network's input, each way
MULTIPLE = 32
SIZES = (32, 64, 128, 256, 512)  # of anchors, by level
RATIOS, SCALES = (0.5, 1.0, 2.0), (1.0, 2 ** (1 / 3), 2 ** (2 / 3))
MOST = 300  # boxes an image


class Bottleneck(nn.Module):
    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.one = nn.Conv2d(inputs, width, 1)
        self.two = nn.Conv2d(width, width, 3, stride, 1)
        self.three = nn.Conv2d(width, 4 * width, 1)
        same = stride == 1 and inputs == 4 * width
        self.past = nn.Identity() if same else nn.Conv2d(inputs, 4 * width, 1, stride)

    def forward(self, value):
        inner = torch.relu(self.two(torch.relu(self.one(value))))
        return torch.relu(self.three(inner) * 0.3 + self.past(value))


class RetinaNet(nn.Module):
    """Lin et al. 2017: ResNet-50, feature pyramid P3 to P7, two heads of four convolutions. Batch norms are folded."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 64, 7, 2, 3)
        stages, inputs = [], 64
        for width, blocks, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
            layers = [
                Bottleneck(inputs if not index else 4 * width, width, 1 if index else stride)
                for index in range(blocks)
            ]
            stages.append(nn.Sequential(*layers))
            inputs = 4 * width
        self.stages = nn.ModuleList(stages)
        self.lateral = nn.ModuleList(nn.Conv2d(channels, 256, 1) for channels in (512, 1024, 2048))
        self.smooth = nn.ModuleList(nn.Conv2d(256, 256, 3, 1, 1) for _ in range(3))
        self.six, self.seven = nn.Conv2d(2048, 256, 3, 2, 1), nn.Conv2d(256, 256, 3, 2, 1)
        anchors = len(RATIOS) * len(SCALES)
        self.scores, self.boxes = _head(anchors), _head(4 * anchors)

    def forward(self, image):
        """(1, 1, rows, columns) → boxes (k, 4), scores (k, 1) of all anchors."""
        value = functional.max_pool2d(torch.relu(self.stem(image)), 3, 2, 1)
        levels = []
        for stage in self.stages:
            value = stage(value)
            levels.append(value)
        pyramid = self._pyramid(levels[1:])
        scores = [_rows(self.scores(level), 1) for level in pyramid]
        offsets = [_rows(self.boxes(level), 4) for level in pyramid]
        anchors = [_anchors(level, 8 << index, SIZES[index]) for index, level in enumerate(pyramid)]
        return _boxes(torch.cat(offsets), torch.cat(anchors)), torch.sigmoid(torch.cat(scores))

    def _pyramid(self, levels):
        sides = [lateral(level) for lateral, level in zip(self.lateral, levels, strict=True)]
        for index in (1, 0):
            sides[index] = sides[index] + functional.interpolate(sides[index + 1], scale_factor=2.0)
        six = self.six(levels[-1])
        smooth = [convolution(side) for convolution, side in zip(self.smooth, sides, strict=True)]
        return [*smooth, six, self.seven(torch.relu(six))]


def _head(outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(4):
        layers += [nn.Conv2d(256, 256, 3, 1, 1), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(256, outputs, 3, 1, 1))


def _rows(value, size: int):
    return value.permute(0, 2, 3, 1).reshape(-1, size)


def _anchors(level, stride: int, size: int):
    """(rows × columns × 9, 4), as left, top, right, bottom."""
    ones = torch.ones_like(level[0, 0])
    rows, columns = torch.cumsum(ones, 0) - 0.5, torch.cumsum(ones, 1) - 0.5
    sides = [(size * scale * ratio**-0.5, size * scale * ratio**0.5) for ratio in RATIOS for scale in SCALES]
    half = torch.tensor(sides) / 2
    centres = torch.stack([columns, rows], -1).reshape(-1, 1, 2) * stride
    return torch.cat([centres - half, centres + half], -1).reshape(-1, 4)


def _boxes(offsets, anchors):
    size, centre = anchors[:, 2:] - anchors[:, :2], (anchors[:, 2:] + anchors[:, :2]) / 2
    centre, size = centre + offsets[:, :2] * size, size * torch.exp(offsets[:, 2:].clamp(max=4.0))
    return torch.cat([centre - size / 2, centre + size / 2], -1)


def make() -> RetinaNet:
    torch.manual_seed(7)
    network = RetinaNet().eval()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.zeros_(module.bias)
    for head, spread in ((network.scores, 0.02), (network.boxes, 0.002)):
        nn.init.normal_(head[-1].weight, std=spread)
    return network


def export(network: RetinaNet, path: Path) -> None:
    image = torch.zeros(1, 1, 128, 96)
    torch.onnx.export(
        network, (image,), path, input_names=["image"], output_names=["boxes", "scores"], opset_version=17,
        dynamo=False, dynamic_axes={"image": {2: "rows", 3: "columns"}, "boxes": {0: "k"}, "scores": {0: "k"}},
    )  # fmt: skip


def read(path: str) -> torch.Tensor:
    """The image as the plugin prepares it: stored values in its window from 0 to 1, shrunk, padded to whole cells."""
    from pydicom import dcmread
    from pydicom.pixels import apply_voi_lut

    dataset = dcmread(path)
    pixels = np.asarray(apply_voi_lut(dataset.pixel_array, dataset), np.float32)
    pixels = (pixels - pixels.min()) / (pixels.max() - pixels.min())
    small = functional.avg_pool2d(torch.from_numpy(pixels)[None, None], SHRINK)
    rows, columns = (-(-side // MULTIPLE) * MULTIPLE for side in small.shape[2:])
    return functional.pad(small, (0, columns - small.shape[3], 0, rows - small.shape[2]))


def best(boxes: np.ndarray, scores: np.ndarray) -> list[list[float]]:
    order = np.argsort(-scores[:, 0], kind="stable")[:MOST]
    return [[*map(float, boxes[index]), float(scores[index, 0])] for index in order]


def main() -> None:
    onnx, result, threads, *paths = sys.argv[1:]
    torch.set_num_threads(int(threads))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = make()
    if not Path(onnx).exists():
        export(network, Path(onnx))
    network, found, seconds = network.to(device), {}, []
    with torch.no_grad():
        network(read(paths[0]).to(device))
        processor = time.process_time()
        for path in paths:
            begun = time.perf_counter()
            boxes, scores = (value.cpu().numpy() for value in network(read(path).to(device)))
            found[Path(path).name] = best(boxes, scores)
            seconds.append(time.perf_counter() - begun)
    answer = {
        "found": found,
        "seconds": seconds,
        "cpu_s": round((time.process_time() - processor) / len(paths), 4),
        "device": device,
        "torch": torch.__version__,
    }
    Path(result).write_text(json.dumps(answer))


if __name__ == "__main__":
    main()
