"""Times hpinfer against PaddleX's own predictor, picture by picture in turn, on one model folder and one engine.

Both read the same file and give a result: hpinfer takes paths on standard input and answers with JSON lines, PaddleX's
`predict` runs in this process. A round is A B or B A by turns; the first rounds are not counted. Printed per model: medians in
milliseconds of wall time and of processor time (of all threads; on a machine with other work the latter is the one to
compare), the spread of the middle half, and the ratios of the medians.

PaddleX runs the same ONNX file, or with --paddle a folder of the same network in Paddle's format on its default engine: 3.7 has
no other engine for segmentation.

Needs Linux, PaddleX 3.7 with onnxruntime in the Python that runs this, and model folders with inference.onnx and inference.yml.
Usage: python benches/against_paddlex.py [--threads N] [--rounds N] [--paddle FOLDER] [--flag=FLAG]... HPINFER PIPELINE FOLDER PICTURE...
"""
import argparse, glob, json, os, statistics, subprocess, time

os.environ.setdefault("PADDLE_PDX_DISABLE_MODEL_SOURCE_CHECK", "True")
WARM_UP = 3


class Hpinfer:
    def __init__(self, program, pipeline, folder, threads, flags):
        command = [program, "--pipeline", pipeline, "--model", folder, "--backend", "onnx_runtime", "--threads", str(threads),
                   "--format", "jsonl", "--quiet", *flags, "--input", "-"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def __call__(self, path):
        self.process.stdin.write(path + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        if "error" in answer:
            raise SystemExit(f"hpinfer: {answer['error']}")

    def cpu_ms(self):
        """Of all its threads, which live as long as it does."""
        total = 0
        for path in glob.glob(f"/proc/{self.process.pid}/task/*/schedstat"):
            with open(path, encoding="ascii") as file:
                total += int(file.read().split()[0])
        return total / 1e6


class PaddleX:
    def __init__(self, folder, paddle, threads):
        import cv2, yaml
        from paddlex import create_model
        cv2.setNumThreads(threads)
        with open(os.path.join(folder, "inference.yml"), encoding="utf-8") as file:
            name = yaml.safe_load(file)["Global"]["model_name"]
        if paddle:
            options = {"run_mode": "paddle", "cpu_threads": threads}
            self.model = create_model(model_name=name, model_dir=paddle, device="cpu", engine_config=options)
        else:
            options = {"intra_op_num_threads": threads, "inter_op_num_threads": 1}
            self.model = create_model(model_name=name, model_dir=folder, device="cpu", engine="onnxruntime", engine_config=options)

    def __call__(self, path):
        for _ in self.model.predict(path, batch_size=1):
            pass

    def cpu_ms(self):
        return time.process_time() * 1e3


def timed(rival, path):
    """Milliseconds of wall time and of processor time."""
    start, cpu_before = time.perf_counter(), rival.cpu_ms()
    rival(path)
    wall_ms = (time.perf_counter() - start) * 1e3
    return wall_ms, rival.cpu_ms() - cpu_before


def summary(ms):
    low, median, high = statistics.quantiles(ms, n=4)
    return {"median_ms": round(median, 2), "middle_half_ms": [round(low, 2), round(high, 2)]}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--paddle", help="folder of the network in Paddle's format")
    parser.add_argument("--flag", action="append", default=[], help="one more flag of hpinfer's")
    parser.add_argument("program")
    parser.add_argument("pipeline")
    parser.add_argument("folder")
    parser.add_argument("pictures", nargs="+")
    args = parser.parse_args()
    rivals = {
        "hpinfer": Hpinfer(args.program, args.pipeline, args.folder, args.threads, args.flag),
        "PaddleX": PaddleX(args.folder, args.paddle, args.threads),
    }
    times = {name: [] for name in rivals}
    for turn in range(WARM_UP + args.rounds):
        for path in args.pictures:
            for name in list(rivals) if turn % 2 else list(rivals)[::-1]:
                ms = timed(rivals[name], path)
                if turn >= WARM_UP:
                    times[name].append(ms)
    engine = "paddle" if args.paddle else "onnxruntime"
    row = {"model": os.path.basename(os.path.normpath(args.folder)), "threads": args.threads, "paddlex_engine": engine}
    for name, samples in times.items():
        row[name] = {kind: summary(ms) for kind, ms in zip(("wall", "cpu"), zip(*samples))}
    for kind in ("wall", "cpu"):
        row[f"{kind}_ratio"] = round(row["PaddleX"][kind]["median_ms"] / row["hpinfer"][kind]["median_ms"], 2)
    print(json.dumps(row))


if __name__ == "__main__":
    main()
