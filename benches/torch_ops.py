"""Times operations of PyTorch, and of CV-CUDA where it is installed, beside the kernels that `hpinfer bench ops --json OPS.json` has measured on the same GPU:

    python3 benches/torch_ops.py OPS.json OUT.json [cuda|cpu]

A row that PyTorch and torchvision can do is done with the calls that their users write, on inputs of the same sizes, and timed in the same way: events, the
median of samples of several runs, and single runs behind a copy that takes their data out of the caches. Ends with 1 when a kernel is slower than they are,
or when CV-CUDA does not take a call: those are by the signatures of its 0.19 and have not run yet.
"""

import json
import random
import re
import statistics
import sys
import time

import torch
import torch.nn.functional as F
import torchvision

try:
    import cvcuda
except ImportError:
    cvcuda = None

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


# CV-CUDA scales all channels alike in its one pass, and its crops stay pictures: it does less than the kernels there.
def one_pass(source, pictures, width, height):
    out = cvcuda.as_tensor(torch.empty(pictures, 3, height, width, device=device), "NCHW")
    how = {"manip": cvcuda.ChannelManip.REVERSE, "scale": 1 / 255, "stream": stream}
    return lambda: cvcuda.resize_crop_convert_reformat_into(out, source, (width, height), cvcuda.Interp.LINEAR, (0, 0), **how)


def cv_linear(width, height, canvas_width, canvas_height):
    return one_pass(cvcuda.as_tensor(frame(width, height)[None], "NHWC"), 1, canvas_width, canvas_height)


def cv_batch(count, canvas_width, canvas_height):
    pictures = [frame(random.randint(200, 1280), random.randint(150, 960)) for _ in range(count)]
    return one_pass(cvcuda.as_images(pictures, cvcuda.Format.BGR8), count, canvas_width, canvas_height)


def cv_cubic(width, height, canvas_width, canvas_height):
    source = cvcuda.as_tensor(frame(width, height)[None], "NHWC")
    mean, std = (cvcuda.as_tensor(values.reshape(1, 1, 1, 3), "NHWC") for values in (MEAN, STD))

    def work():
        x = cvcuda.resize(source, (1, canvas_height, canvas_width, 3), cvcuda.Interp.CUBIC, stream=stream)
        x = cvcuda.convertto(x, cvcuda.Type.F32, scale=1 / 255, stream=stream)
        x = cvcuda.normalize(x, mean, std, cvcuda.NormalizeFlags.SCALE_IS_STDDEV, stream=stream)
        cvcuda.reformat(x, cvcuda.TensorLayout.NCHW, stream=stream)

    return work


def cv_crops(count, width, height, canvas_width, canvas_height):
    source, out = cvcuda.as_images([frame(width, height)] * count, cvcuda.Format.BGR8), cvcuda.ImageBatchVarShape(count)
    out.pushback([cvcuda.Image((canvas_width, canvas_height), cvcuda.Format.BGR8) for _ in range(count)])
    scale = torch.linspace(0.3, 1.5, count, device=device)
    rows = torch.tensor([[1, -0.1, 100, 0.1, 1, 100, 0, 0, 1]], device=device).repeat(count, 1)
    rows[:, [0, 1, 3, 4]] *= scale[:, None]
    matrices, flags = cvcuda.as_tensor(rows, "NW"), cvcuda.Interp.CUBIC | cvcuda.Interp.WARP_INVERSE_MAP
    how = {"border_mode": cvcuda.Border.REPLICATE, "border_value": None, "stream": stream}
    return lambda: cvcuda.warp_perspective_into(out, source, matrices, flags, **how)


def cv_suppression(pictures, classes, anchors):
    corner = torch.randint(0, 600, (pictures, anchors, 2), dtype=torch.int16, device=device)
    boxes = torch.cat([corner, torch.randint(4, 64, (pictures, anchors, 2), dtype=torch.int16, device=device)], -1)
    boxes, scores = cvcuda.as_tensor(boxes, "NWC"), cvcuda.as_tensor(torch.rand(pictures, anchors, device=device), "NW")
    return lambda: cvcuda.nms(boxes, scores, 0.25, 0.5, stream=stream)


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

IN_CVCUDA = {
    "resize_norm linear": [(r"(\d+)x(\d+) -> (\d+)x(\d+) f32$", cv_linear), (r"(\d+) unlike -> (\d+)x(\d+) f32$", cv_batch)],
    "resize_norm cubic": [(r"(\d+)x(\d+) -> (\d+)x(\d+) f32$", cv_cubic)],
    "warp_resize_norm": [(r"(\d+) unlike crops of (\d+)x(\d+) -> (\d+)x(\d+) f32$", cv_crops)],
    "nms, all kernels": [(r"(\d+) pictures, (\d+) classes together, (\d+) boxes$", cv_suppression)],
}
libraries = {"PyTorch": {name: [known] for name, known in KNOWN.items()}}
if cvcuda:
    libraries["CV-CUDA"], stream = IN_CVCUDA, cvcuda.as_stream(torch.cuda.current_stream())

rows, slower, failed = [], [], []
for row in json.load(open(ops_path))["rows"]:
    what = f"{row['name']}, {row['case']}"
    for library, known in libraries.items():
        cases = ((re.match(pattern, row["case"]), make) for pattern, make in known.get(row["name"], []))
        case, make = next(((case, make) for case, make in cases if case), (None, None))
        if not case:
            continue
        try:
            hot, cold = measured(make(*(int(word) if word.isdigit() else word for word in case.groups())))
        except Exception as error:
            if library == "PyTorch":
                raise
            print(f"{what}: {library} does not: {error}")
            failed.append(what)
            continue
        times = cold / row["cold_us"]
        print(f"{what}: {row['cold_us']:.1f} us, {library} {cold:.1f} us, {times:.2f} times as fast")
        found = {key: row[key] for key in ("name", "case", "gpu_us", "cold_us")}
        rows.append(found | {"library": library, "its_us": hot, "its_cold_us": cold, "times_as_fast": times})
        if times < 1:
            slower.append(f"{what} ({library})")
name = torch.cuda.get_device_name() if device.type == "cuda" else "cpu"
versions = {"cvcuda": cvcuda and cvcuda.__version__, "torch": torch.__version__, "torchvision": torchvision.__version__, "device": name}
json.dump({**versions, "rows": rows}, open(out_path, "w"), indent=1)
print("slower: " + "; ".join(slower) if slower else f"{len(rows)} rows, none slower than {' and '.join(libraries)}")
sys.exit(bool(slower or failed) or not rows)
