"""Times PyTorch's operations beside the kernels that `hpinfer bench ops --json OPS.json` has measured on the same GPU:

    python3 benches/torch_ops.py OPS.json OUT.json [cuda|cpu]

A row that PyTorch and torchvision can do is done with the calls that their users write, on inputs of the same sizes, and timed in the same way: events, the
median of samples of several runs, and single runs behind a copy that takes their data out of the caches. Ends with 1 when a kernel is slower than they are.
"""

import json
import re
import statistics
import sys
import time

import torch
import torch.nn.functional as F
import torchvision

ops_path, out_path = sys.argv[1:3]
device = torch.device(sys.argv[3] if len(sys.argv) > 3 else "cuda")
REPEAT, LAUNCHES = (20, 10) if device.type == "cuda" else (2, 1)
COPY_BYTES = 256 << 20 if device.type == "cuda" else 1 << 20
MEAN = torch.tensor([0.485, 0.456, 0.406], device=device).view(1, 3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225], device=device).view(1, 3, 1, 1)
source = torch.zeros(COPY_BYTES, dtype=torch.uint8, device=device)
target = torch.zeros_like(source)


def microseconds(work, runs, before=None):
    if before:
        before()
    if device.type == "cpu":
        start = time.perf_counter()
        for _ in range(runs):
            work()
        return (time.perf_counter() - start) * 1e6 / runs
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(runs):
        work()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) * 1e3 / runs


def measured(work):
    samples = [microseconds(work, LAUNCHES) for _ in range(REPEAT + 1)][1:]
    cold = [microseconds(work, 1, lambda: target.copy_(source)) for _ in range(REPEAT)]
    return statistics.median(samples), statistics.median(cold)


def frame(width, height):
    return torch.randint(0, 256, (height, width, 3), dtype=torch.uint8, device=device)


def normalised(x, dtype):
    return (x.flip(1) * (1 / 255) - MEAN.to(dtype)) / STD.to(dtype)


def resize(mode, width, height, canvas_width, canvas_height, form):
    dtype, picture = (torch.float16 if form == "f16" else torch.float32), frame(width, height)

    def work():
        x = picture.permute(2, 0, 1)[None].to(dtype)
        return normalised(F.interpolate(x, size=(canvas_height, canvas_width), mode=mode, align_corners=False), dtype)

    return work


def crops(count, width, height, canvas_width, canvas_height, form):
    dtype, picture = (torch.float16 if form == "f16" else torch.float32), frame(width, height)
    turned = torch.eye(2, 3, device=device)[None] * torch.linspace(0.05, 0.3, count, device=device).view(-1, 1, 1)
    grid = F.affine_grid(turned, (count, 3, canvas_height, canvas_width), align_corners=False).to(dtype)

    def work():
        x = picture.permute(2, 0, 1)[None].to(dtype).expand(count, -1, -1, -1)
        return normalised(F.grid_sample(x, grid, mode="bicubic", padding_mode="border", align_corners=False), dtype)

    return work


def best(lines, steps, classes):
    scores = torch.rand(lines, steps, classes, device=device)
    return lambda: scores.max(-1)


def suppression(pictures, classes, mode, anchors):
    corner = torch.rand(pictures, anchors, 2, device=device) * 600
    boxes = torch.cat([corner, corner + 4 + torch.rand(pictures, anchors, 2, device=device) * 60], -1)
    often = torch.rand(pictures, classes, anchors, device=device) < 1 / 500
    scores = torch.rand(pictures, classes, anchors, device=device) * torch.where(often, 1.0, 0.25)

    def work():
        for n in range(pictures):
            kept = (scores[n] > 0.25).nonzero()
            groups = kept[:, 0] if mode == "apart" else torch.zeros_like(kept[:, 0])
            torchvision.ops.batched_nms(boxes[n][kept[:, 1]], scores[n][kept[:, 0], kept[:, 1]], groups, 0.5)

    return work


def argmax(width, height, classes):
    scores = torch.rand(classes, height, width, device=device)
    palette = torch.randint(0, 256, (256, 3), dtype=torch.uint8, device=device)
    return lambda: palette[scores.argmax(0)]


def difference(width, height):
    a, b = frame(width, height), frame(width, height)

    def work():
        d = (a.permute(2, 0, 1).float() - b.permute(2, 0, 1).float()).abs().mean(0, keepdim=True)
        return F.avg_pool2d(d[None], 32, ceil_mode=True, count_include_pad=False)

    return work


# By the name of a row, how its case is written and what does it here.
KNOWN = {
    "resize_norm linear": (r"(\d+)x(\d+) -> (\d+)x(\d+) (\w+)$", lambda *case: resize("bilinear", *case)),
    "resize_norm cubic": (r"(\d+)x(\d+) -> (\d+)x(\d+) (\w+)$", lambda *case: resize("bicubic", *case)),
    "warp_resize_norm": (r"(\d+) unlike crops of (\d+)x(\d+) -> (\d+)x(\d+) (\w+)$", crops),
    "ctc, all kernels": (r"(\d+) lines of (\d+) steps, (\d+) classes$", best),
    "nms, all kernels": (r"(\d+) pictures, (\d+) classes (\w+), (\d+) boxes$", suppression),
    "mask argmax + colour": (r"(\d+)x(\d+), (\d+) classes$", argmax),
    "difference": (r"two of (\d+)x(\d+)$", difference),
}

rows = []
for row in json.load(open(ops_path))["rows"]:
    pattern, make = KNOWN.get(row["name"], (None, None))
    case = pattern and re.match(pattern, row["case"])
    if not case:
        continue
    hot, cold = measured(make(*(int(word) if word.isdigit() else word for word in case.groups())))
    found = {"name": row["name"], "case": row["case"], "gpu_us": row["gpu_us"], "cold_us": row["cold_us"], "torch_us": hot, "torch_cold_us": cold}
    found["times_as_fast"] = cold / row["cold_us"]
    print(f"{row['name']}, {row['case']}: {row['cold_us']:.1f} us, PyTorch {cold:.1f} us, {found['times_as_fast']:.2f} times as fast")
    rows.append(found)
name = torch.cuda.get_device_name() if device.type == "cuda" else "cpu"
versions = {"torch": torch.__version__, "torchvision": torchvision.__version__, "device": name}
json.dump({**versions, "rows": rows}, open(out_path, "w"), indent=1)
slower = [f"{row['name']}, {row['case']}" for row in rows if row["times_as_fast"] < 1]
print("slower than PyTorch: " + "; ".join(slower) if slower else f"{len(rows)} rows, none slower than PyTorch")
sys.exit(bool(slower) or not rows)
