#!/usr/bin/env bash
# Everything to be known of a host with a GPU, in one call of at most ten minutes:
#
#     benches/gpu.sh BINARY OUT [PICTURE...]
#
# BINARY is hpinfer, OUT a new folder for JSON and logs. Needs bash, python3, cc; nvidia-smi, compute-sanitizer, ffmpeg, PyTorch and CV-CUDA where they are.
# CUDA's libraries may be those of Python's nvidia-* packages. A single picture is taken eight times where groups count.
# Models and ONNX Runtime come from the cache of BINARY ($HPINFER_HOME); what it lacks is installed, unless HPINFER_FLAGS has
# --offline. The pipelines with one network are run on the models of $HPINFER_PICTURE_MODELS, pairs of pipeline=folder; without it on the
# miniatures of the tests, which show that it works and not how fast. $HPINFER_DEVICE_TESTS may name the program of `cargo test --release
# --test device --no-run`: then the tests of the kernels run on the GPU too, also under the sanitizer. Each step writes OUT/<step>.log and goes on after a failure; OUT/summary.json says how each ended.
set -uo pipefail
binary=$(realpath "${1:?the hpinfer binary}")
out=${2:?a folder for the results}
here=$(cd "$(dirname "$0")" && pwd)
shift 2
pictures=("$@")
[ ${#pictures[@]} -gt 0 ] || pictures=("$here/../demo/delivery_note.png")
device=${HPINFER_DEVICE:-gpu:0}
read -ra flags <<< "${HPINFER_FLAGS:-}"
mkdir -p "$out"
end=$((SECONDS + ${HPINFER_SECONDS:-590}))
eight=("${pictures[@]}")
[ ${#pictures[@]} -gt 1 ] || for _ in 1 2 3 4 5 6 7; do eight+=("${pictures[0]}"); done
packaged=$(python3 -c 'import glob, nvidia; print(":".join(d for p in nvidia.__path__ for d in sorted(glob.glob(p + "/*/lib"))))' 2> /dev/null)
[ -z "$packaged" ] || export LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$packaged"
: > "$out/steps.tsv"

# step NAME MOST_SECONDS COMMAND...
step() {
    local name=$1 most=$2 left=$((end - SECONDS)) start=$SECONDS code
    shift 2
    if [ "$left" -lt 5 ]; then
        printf '%s\t%s\t%s\n' "$name" "no time left" 0 >> "$out/steps.tsv"
        return 1
    fi
    timeout "$((most < left ? most : left))" "$@" > "$out/$name.log" 2>&1
    code=$?
    printf '%s\t%s\t%s\n' "$name" "$code" "$((SECONDS - start))" >> "$out/steps.tsv"
    printf '%-18s exit %s, %s s\n' "$name" "$code" "$((SECONDS - start))"
    return $code
}

# absent NAME WHAT
absent() {
    printf '%s\t%s\t0\n' "$1" "$2 is not here" >> "$out/steps.tsv"
}

step host 20 bash -c 'nvidia-smi -q; uname -a; cat /etc/os-release'
step doctor 60 "$binary" doctor "${flags[@]}" --device "$device" --json
step ops 150 "$binary" bench ops --device "$device" --json "$out/ops.json"

# The same operations in PyTorch, and those that CV-CUDA has, which PyTorch lends its memory.
if python3 -c 'import torch, torchvision; assert torch.cuda.is_available()' 2> /dev/null; then
    step torch 150 python3 "$here/torch_ops.py" "$out/ops.json" "$out/torch.json"
    python3 -c 'import cvcuda' 2> /dev/null || absent cvcuda CV-CUDA
else
    absent torch 'PyTorch with a GPU'
    absent cvcuda 'PyTorch with a GPU, and CV-CUDA with it,'
fi

# The tests of the kernels, with their fixtures, on the device.
tests=${HPINFER_DEVICE_TESTS:-}
if [ -n "$tests" ]; then
    tests=$(realpath "$tests")
    kernel_tests=(bash -c 'cd "$1" && exec "${@:2}"' _ "$here/.." env HPINFER_TEST_DEVICE="$device")
    step kernel_tests 120 "${kernel_tests[@]}" "$tests"
else
    absent kernel_tests 'the program of HPINFER_DEVICE_TESTS'
fi

# Faults of kernels that results do not show.
if command -v compute-sanitizer > /dev/null; then
    for tool in memcheck racecheck; do
        step "$tool" 90 compute-sanitizer --tool "$tool" --error-exitcode 9 \
            "$binary" bench ops --device "$device" --repeat 1 --launches 1 --only resize-640,resize-batch,crops,db-640,db-batch-960,db-dilated,ctc,nms-apart,nms-together,masks-1080p,classes-1024,whiten-1080p,difference-1080p
    done
else
    absent sanitizer compute-sanitizer
fi

# Compares the results of two runs.
parity=$(cat << 'PY'
import json, sys
cpu, gpu = ([json.loads(line) for line in open(path)] for path in sys.argv[1:3])
lines = same = boxes = near = 0
worst_score = 0.0
for a, b in zip(cpu, gpu):
    texts, others = a.get("rec_text", []), b.get("rec_text", [])
    lines += max(len(texts), len(others))
    same += sum(x == y for x, y in zip(texts, others))
    boxes += max(len(a.get("dt_polys", [])), len(b.get("dt_polys", [])))
    for p, q in zip(a.get("dt_polys", []), b.get("dt_polys", [])):
        near += all(max(abs(u[0] - v[0]), abs(u[1] - v[1])) <= 1 for u, v in zip(p, q)) and len(p) == len(q)
    for x, y in zip(a.get("dt_scores", []), b.get("dt_scores", [])):
        worst_score = max(worst_score, abs(x - y))
found = {"pictures": [len(cpu), len(gpu)], "lines": lines, "same_text": same, "boxes": boxes, "boxes_within_1_px": near, "worst_box_score": worst_score}
json.dump(found, open(sys.argv[3], "w"), indent=1)
print(json.dumps(found))
sys.exit(not (len(cpu) == len(gpu) and lines > 0 and same >= 0.999 * lines and near == boxes and worst_score <= 1e-3))
PY
)

# The same texts and boxes as on the processor.
ocr=("$binary" "${flags[@]}" --pipeline OCR --backend onnx_runtime --format jsonl --timings --input "${pictures[@]}")
step ocr_cpu 90 bash -c '"${@:2}" > "$1"' _ "$out/ocr_cpu.jsonl" "${ocr[@]}"
step ocr_gpu 180 bash -c '"${@:2}" > "$1"' _ "$out/ocr_gpu.jsonl" "${ocr[@]}" --device "$device"
step ocr_parity 20 python3 -c "$parity" "$out/ocr_cpu.jsonl" "$out/ocr_gpu.jsonl" "$out/ocr_parity.json"

# What the driver was asked to copy, by its own calls and not by our counter.
if step count_build 30 cc -O1 -shared -fPIC -o "$out/count_copies.so" "$here/count_copies.c" -ldl; then
    for times in once twice; do
        again=("${pictures[@]}")
        [ "$times" = once ] || again+=("${pictures[@]}")
        step "count_$times" 150 env LD_PRELOAD="$(realpath "$out/count_copies.so")" COPY_COUNTS="$out/copies_$times.json" \
            "$binary" "${flags[@]}" --pipeline OCR --device "$device" --format jsonl --input "${again[@]}"
    done
    # What the second reading adds is the pictures' own: networks and tables are brought once.
    step copies 20 python3 - "$out" "${#pictures[@]}" "${pictures[@]}" << 'PY'
import json, struct, sys
once, twice = (json.load(open(f"{sys.argv[1]}/copies_{times}.json")) for times in ("once", "twice"))
each = {kind: {what: (twice[kind][what] - once[kind][what]) / int(sys.argv[2]) for what in once[kind]} for kind in once}
json.dump(each, open(f"{sys.argv[1]}/copies.json", "w"), indent=1)
print(json.dumps({"per_picture": each}))
# A frame goes up once, with small tables beside it, and only small results come back. The sizes of PNG files are easily read.
heads = [open(path, "rb").read(24) for path in sys.argv[3:]]
if all(head.startswith(b"\x89PNG") for head in heads):
    frame = sum(3 * width * height for width, height in (struct.unpack(">II", head[16:]) for head in heads)) / len(heads)
    up, down = (each[kind]["bytes"] for kind in ("to_device", "to_host"))
    sys.exit(not (frame <= up <= 1.2 * frame + 1e6 and 0 < down <= 1e6))
PY
fi

# How much of the time a kernel runs, over the middle of a long run of pictures, and of videos side by side.
if command -v nvidia-smi > /dev/null; then
    many=()
    for _ in $(seq 40); do many+=("${eight[@]}"); done
    video=(ffmpeg -v error -y -loop 1 -framerate 25 -t 20 -i "${pictures[0]}" -vf 'scale=1280:-2' -c:v libx264 -pix_fmt yuv420p "$out/idle.mp4")
    idle=(idle)
    step idle_make 60 "${video[@]}" && idle+=(idle_stream)
    for name in "${idle[@]}"; do
        run=("$binary" "${flags[@]}" --pipeline OCR --device "$device" --format jsonl --input "${many[@]}")
        [ "$name" = idle ] || run=("$binary" stream "${flags[@]}" --pipeline OCR --device "$device" --input "$out/idle.mp4")
        [ "$name" = idle ] || for _ in 1 2 3; do run+=(--input "$out/idle.mp4"); done
        step "${name}_run" 120 bash -c 'nvidia-smi --query-gpu=utilization.gpu --format=csv,noheader,nounits -i "$2" -lms 100 > "$1.txt" & watch=$!
            "${@:3}" > "$1.jsonl"; code=$?; kill "$watch"; exit "$code"' _ "$out/$name" "${device##*:}" "${run[@]}"
        step "$name" 10 python3 - "$out/$name.txt" << 'PY'
import sys
busy = [int(line) for line in open(sys.argv[1]) if line.strip().isdigit()]
busy = busy[len(busy) // 3:len(busy) * 9 // 10]
if not busy:
    sys.exit("nvidia-smi tells no utilisation")
share = sum(busy) / len(busy)
print(f"busy {share:.0f} % of the time, {len(busy)} samples")
sys.exit(share < 90)
PY
    done
else
    absent idle nvidia-smi
fi

# End to end.
step bench_ocr 150 "$binary" bench "${flags[@]}" --pipeline OCR --device "$device" --backend onnx_runtime --json "$out/ocr.json" --input "${eight[@]}"

# What is to be reached: passes over large pictures and batches move at 80 % of a copy, OCR takes 1.10 times its engines; two more are times on an H100.
step aims 10 python3 - "$out/ops.json" "$out/ocr.json" << 'PY'
import json, sys
report, missed = json.load(open(sys.argv[1])), []
for row in report["rows"]:
    what = f"{row['name']}, {row['case']}"
    # Finding boxes is no one pass over its map.
    large = "3840x2160" in row["case"] and not row["name"].startswith("db")
    batch = row["case"].startswith(("32 unlike ->", "32 unlike crops", "32 unlike NV12", "32 lines"))
    if (large or batch) and row["share_of_copy"] < 0.8:
        missed.append(f"{what}: {row['share_of_copy']:.0%} of the copy")
    if "H100" in report["gpu"] or "H200" in report["gpu"]:
        if row["name"] == "resize_norm linear" and row["case"].endswith("1920x1080 -> 960x544 f16") and row["gpu_us"] > 12:
            missed.append(f"{what}: {row['gpu_us']:.1f} us")
        if row["name"].startswith("db") and row["case"] == "map of 960x960, 200 lines" and row["whole_us"] > 150:
            missed.append(f"{what}: {row['whole_us']:.0f} us, everything included")
for case in json.load(open(sys.argv[2]))["cases"]:
    ratio = case["floor"]["all"]["ratio"]
    if not ratio or ratio > 1.1:
        missed.append(f"OCR takes {ratio} times the engines alone")
print("\n".join(missed) or "all are reached")
sys.exit(bool(missed))
PY

# Videos and a JPEG file that the host decodes, and that the GPU does: the same texts, and no frame from the host.
[[ " ${flags[*]} " == *" --offline "* ]] || step nvjpeg_install 300 "$binary" "${flags[@]}" runtime install gpu
command -v ffmpeg > /dev/null || absent videos ffmpeg
for kind in 'video.mp4 -c:v libx264 -pix_fmt yuv420p' 'motion.mp4 -c:v mjpeg -q:v 2 -pix_fmt yuvj420p' 'page.jpg -frames:v 1 -update 1 -q:v 2'; do
    command -v ffmpeg > /dev/null || break
    read -ra words <<< "$kind"
    name=${words[0]%.*} file=$out/${words[0]}
    make=(ffmpeg -v error -y -loop 1 -framerate 5 -t 4 -i "${pictures[0]}" -vf 'scale=1280:-2' "${words[@]:1}" "$file")
    step "${name}_make" 60 "${make[@]}" || continue
    for decode in host auto; do
        stream=("$binary" stream "${flags[@]}" --pipeline OCR --backend onnx_runtime --device "$device" --decode "$decode" --input "$file")
        step "${name}_$decode" 90 bash -c '"${@:2}" > "$1"' _ "$out/${name}_$decode.jsonl" "${stream[@]}"
    done
    step "${name}_parity" 20 python3 - "$device" "$out/${name}_host.jsonl" "$out/${name}_auto.jsonl" << 'PY'
import itertools, json, sys
host, auto = ([json.loads(line) for line in open(path)] for path in sys.argv[2:4])
texts = [(x, y) for a, b in zip(host, auto) for x, y in itertools.zip_longest(a["rec_text"], b["rec_text"])]
same, decoded = sum(x == y for x, y in texts), sorted({line.get("decode", "host") for line in auto})
print(json.dumps({"frames": [len(host), len(auto)], "lines": len(texts), "same_text": same, "decode": decoded}))
sys.exit(not (len(host) == len(auto) > 0 and same >= 0.98 * len(texts) > 0 and decoded == [sys.argv[1].split(":")[0].replace("cpu", "host")]))
PY
done

# The pipelines with one network: results but for what ran, and time.
alike=$(cat << 'PY'
import json, sys
def read(path):
    return [{k: v for k, v in json.loads(line).items() if k not in ("run", "timings_ms")} for line in open(path)]
def near(a, b):
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(near, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(near(a[k], b[k]) for k in a)
    return abs(a - b) <= 1e-2 + 1e-3 * abs(a) if isinstance(a, float) and isinstance(b, float) else a == b
cpu, gpu = map(read, sys.argv[1:3])
unlike = [a["input_path"] for a, b in zip(cpu, gpu) if not near(a, b)]
print(json.dumps({"pictures": [len(cpu), len(gpu)], "unlike": unlike}))
sys.exit(bool(unlike) or len(cpu) != len(gpu) or not cpu)
PY
)
miniatures=$here/../tests/fixtures/miniatures
default="image_classification=$miniatures/classify object_detection=$miniatures/detect_cut"
default+=" semantic_segmentation=$miniatures/segment_scores instance_segmentation=$miniatures/instances"
read -ra models <<< "${HPINFER_PICTURE_MODELS:-$default}"
for pair in "${models[@]}"; do
    pipeline=${pair%%=*}
    run=("$binary" "${flags[@]}" --pipeline "$pipeline" --model "${pair#*=}" --backend onnx_runtime --format jsonl --input "${pictures[@]}")
    for where in cpu "$device"; do
        step "${pipeline}_${where%%:*}" 90 bash -c '"${@:2}" > "$1"' _ "$out/${pipeline}_${where%%:*}.jsonl" "${run[@]}" --device "$where"
    done
    step "${pipeline}_parity" 20 python3 -c "$alike" "$out/${pipeline}_cpu.jsonl" "$out/${pipeline}_${device%%:*}.jsonl"
    step "bench_$pipeline" 60 "$binary" bench "${flags[@]}" --pipeline "$pipeline" --model "${pair#*=}" --device "$device" --backend onnx_runtime \
        --json "$out/$pipeline.json" --input "${pictures[@]}"
done

# TensorRT, where it is named or installed.
if [ -n "${TENSORRT_LIB_PATH:-}" ] || ldconfig -p | grep 'libnvinfer\.so\.1[01]' > /dev/null; then
    step trt_selftest 60 "$binary" engine selftest --device "$device"
    step trt_build 200 "$binary" "${flags[@]}" engine build --pipeline OCR --device "$device"
    step trt_verify 90 "$binary" "${flags[@]}" verify --device "$device" --model PP-OCRv4_mobile_det PP-OCRv4_mobile_rec
    ocr=("$binary" "${flags[@]}" --pipeline OCR --backend tensorrt --device "$device" --format jsonl --timings --input "${pictures[@]}")
    step ocr_trt 120 bash -c '"${@:2}" > "$1"' _ "$out/ocr_trt.jsonl" "${ocr[@]}"
    step trt_parity 20 python3 -c "$parity" "$out/ocr_cpu.jsonl" "$out/ocr_trt.jsonl" "$out/trt_parity.json"
    for graphs in off on; do
        step "bench_trt_$graphs" 120 env HPINFER_TENSORRT_GRAPHS="$graphs" "$binary" bench "${flags[@]}" --pipeline OCR --device "$device" --backend tensorrt \
            --json "$out/trt_$graphs.json" --input "${pictures[@]}"
    done
else
    absent tensorrt TensorRT
fi

# Every test of the kernels under the sanitizer, with what time is left: the second tool takes long.
if command -v compute-sanitizer > /dev/null && [ -n "$tests" ]; then
    for tool in memcheck racecheck; do
        for module in ctc db difference mask nms resize_norm warp whiten; do
            step "${module}_$tool" 60 "${kernel_tests[@]}" compute-sanitizer --tool "$tool" --error-exitcode 9 "$tests" "device::$module::"
        done
    done
fi

# TensorRT's lean runtime, where $HPINFER_LEAN names it or Python has its package: it opens, refuses what is no plan, and has no builder.
installed='import glob, sys; print(max(file for d in sys.path for file in glob.glob(d + "/tensorrt_lean_libs/libnvinfer_lean.so.*")))'
lean=${HPINFER_LEAN:-$(python3 -c "$installed" 2> /dev/null)}
if [ -n "$lean" ]; then
    step lean_selftest 60 bash -c '"${@:2}" > "$1"; [ -s "$1" ]' _ "$out/lean.json" "$binary" engine selftest --library "$lean" --device "$device"
    step lean 10 python3 - "$out/lean.json" << 'PY'
import json, sys
report = json.load(open(sys.argv[1]))
errors = {step["step"]: step["error"] for step in report["steps"]}
print(json.dumps(errors))
sys.exit(report["has_builder"] or errors["refuse what is no plan"] is not None or "lean runtime" not in errors["build"])
PY
else
    absent lean "TensorRT's lean runtime"
fi

python3 - "$out" << 'PY'
import json, os, sys
out = sys.argv[1]
steps = [dict(zip(("step", "exit", "seconds"), line.rstrip("\n").split("\t"))) for line in open(os.path.join(out, "steps.tsv"))]
json.dump({"steps": steps}, open(os.path.join(out, "summary.json"), "w"), indent=1)
failed = [step["step"] for step in steps if step["exit"] != "0"]
print("all steps passed" if not failed else "not passed: " + ", ".join(failed))
sys.exit(bool(failed))
PY
