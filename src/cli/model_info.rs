//! A model for a reader: as JSON, and as lines of text.

use crate::image::Size;
use crate::model::{BoxType, Canvas, CellScale, ClassResize, DetResize, ModelFiles, ModelInfo, ModelSpec, ModelStatus, PerDevice, SegSize};
use crate::ops::resize_norm::{Interpolation, Normalize, Scale};
use serde::Serialize;
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::PathBuf;

/// A line of `model list --json`.
pub(super) fn entry(model: &ModelStatus) -> Value {
    json!({
        "name": model.name,
        "module": model.module,
        "pipelines": model.pipelines,
        "path": model.files.as_ref().and_then(network),
        "folder": model.folder,
        "formats": model.files.as_ref().map(formats),
        "bytes": model.pinned.as_ref().map(|(bytes, _)| bytes),
        "sha256": model.pinned.as_ref().map(|(_, sha256)| sha256),
        "archive_url": model.archive_url,
        "archive_mb": model.published.size_mb,
        "labels": model.labels,
        "selected_backends": model.hpi.selected,
        "supported_backends": model.hpi.supported,
        "ranking": model.ranking,
        "dynamic_shapes": model.shapes,
        "published": model.published,
    })
}

/// `model info --json`: the line of the list where the name is known, and what surrounds the network.
pub(super) fn to_json(info: &ModelInfo) -> Value {
    let mut value = info.known.as_ref().map_or_else(|| json!({}), entry);
    value["name"] = json!(info.name);
    value["module"] = json!(info.module);
    value["folder"] = json!(info.folder);
    value["path"] = json!(info.files.as_ref().and_then(network));
    value["formats"] = json!(info.files.as_ref().map(formats));
    value["selected_backends"] = json!(info.hpi.selected);
    value["supported_backends"] = json!(info.hpi.supported);
    value["backend_config"] = json!(info.hpi.options);
    let Steps { kind, input, output, labels } = Steps::of(&info.spec);
    value["kind"] = json!(kind);
    value["input"] = json!(input);
    value["output"] = json!(output);
    value["label_list"] = json!(labels);
    value
}

/// `model info`: one fact a line.
pub(super) fn to_text(info: &ModelInfo) -> String {
    let mut text = String::new();
    let mut line = |key: &str, value: String| {
        let _ = writeln!(text, "{key:<10} {value}"); // writing to a String cannot fail
    };
    line("model", info.name.clone());
    line("module", info.module.as_str().into());
    let here = info.files.as_ref().map(|files| formats(files).join(", "));
    match (here, &info.folder) {
        (Some(formats), Some(folder)) => line("here", format!("{formats} in {}", folder.display())),
        (Some(formats), None) => line("here", formats),
        (None, _) => line("here", format!("no; `hpinfer model pull {}` fetches it", info.name)),
    }
    let Steps { input, output, labels, .. } = Steps::of(&info.spec);
    for (at, step) in input.iter().enumerate() {
        line(if at == 0 { "input" } else { "" }, step.clone());
    }
    line("output", output);
    if !labels.is_empty() {
        let first: Vec<_> = labels.iter().take(5).map(|label| format!("{label:?}")).collect();
        line("labels", format!("{}: {}{}", labels.len(), first.join(", "), if labels.len() > 5 { ", ..." } else { "" }));
    }
    for (device, selected, supported) in
        [("cpu", &info.hpi.selected.cpu, &info.hpi.supported.cpu), ("gpu", &info.hpi.selected.gpu, &info.hpi.supported.gpu)]
    {
        if let Some(selected) = selected {
            line(
                "engines",
                format!("{device}: {selected} of {}", supported.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ")),
            );
        }
    }
    if let Some(known) = &info.known {
        known_lines(known, &mut line);
    }
    text
}

fn known_lines(known: &ModelStatus, line: &mut impl FnMut(&str, String)) {
    line("pipelines", known.pipelines.join(", "));
    let PerDevice { cpu, gpu } = &known.ranking;
    line("ranking", format!("cpu: {}; gpu: {} (later releases, fastest first)", names(cpu), names(gpu)));
    for (name, range) in &known.shapes {
        line("shapes", format!("{name}: {:?} to {:?}, usually {:?}", range.min, range.max, range.opt));
    }
    let published = &known.published;
    line("published", format!("{} {} on {}", published.metric, published.value, published.dataset));
    let time = |ms: Option<f64>, what: &str| ms.map(|ms| format!("{ms} ms on {what}"));
    let times = [time(published.gpu_ms, "a Tesla T4"), time(published.cpu_ms, "8 threads of a Xeon Gold 5117")];
    let times: Vec<_> = times.into_iter().flatten().collect();
    if !times.is_empty() {
        line("", times.join(", "));
    }
    line("archive", format!("{} ({} MB)", known.archive_url, published.size_mb));
}

/// The file of the network that is taken first.
fn network(files: &ModelFiles) -> Option<PathBuf> {
    files.onnx.clone().or_else(|| Some(files.paddle.as_ref()?.program()?.to_owned()))
}

fn formats(files: &ModelFiles) -> Vec<&'static str> {
    let paddle = files.paddle.as_ref();
    let all = [
        ("onnx", files.onnx.is_some()),
        ("pdmodel", paddle.is_some_and(|paddle| paddle.pdmodel.is_some())),
        ("pir", paddle.is_some_and(|paddle| paddle.pir.is_some())),
    ];
    all.into_iter().filter(|(_, here)| *here).map(|(name, _)| name).collect()
}

/// The serialised names of a list, one after another.
fn names<T: Serialize>(list: &[T]) -> String {
    list.iter().map(|item| json!(item).as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>().join(", ")
}

/// A specification in words.
struct Steps {
    kind: &'static str,
    input: Vec<String>,
    output: String,
    labels: Vec<String>,
}

impl Steps {
    fn of(spec: &ModelSpec) -> Self {
        let kind = spec.kind();
        let (input, output, labels) = match spec {
            ModelSpec::Classification(spec) => {
                let resize = match spec.resize {
                    ClassResize::Short(side) => format!("shorter side to {side} px, {}", filter(spec.interpolation)),
                    ClassResize::Fixed(size) => format!("to {}, {}", pixels(size), filter(spec.interpolation)),
                };
                let crop = spec.crop.map(|size| format!("middle {}", pixels(size)));
                let input = [Some("RGB".into()), Some(resize), crop, Some(normalize(&spec.normalize))];
                (input.into_iter().flatten().collect(), format!("the {} best classes", spec.topk), spec.labels.clone())
            }
            ModelSpec::Detection(spec) => {
                let ratio = if spec.keep_ratio { ", aspect ratio kept" } else { "" };
                let resize = format!("to {}{ratio}, {}", pixels(spec.target), filter(spec.interpolation));
                let canvas = match spec.canvas {
                    Canvas::Resized => None,
                    Canvas::Fixed { size, fill } => Some(format!("at the top left of {} of {fill}", pixels(size))),
                    Canvas::Stride(stride) => Some(format!("padded with zeros to multiples of {stride}")),
                };
                let normalize = spec.normalize.as_ref().map_or("samples 0 to 255".into(), normalize);
                let input = [Some("RGB".into()), Some(resize), Some(normalize), canvas];
                let masks = if spec.masks { ", each with a mask" } else { "" };
                (
                    input.into_iter().flatten().collect(),
                    format!("boxes with a score above {}{masks}", spec.draw_threshold),
                    spec.labels.clone(),
                )
            }
            ModelSpec::Segmentation(spec) => {
                let resize = spec.resize.map(|resize| {
                    let size = match resize.rule {
                        SegSize::Fixed(size) => format!("to {}", pixels(size)),
                        SegSize::Within(size) => format!("within {}, aspect ratio kept", pixels(size)),
                        SegSize::Long(side) => format!("longer side to {side} px"),
                        SegSize::Short(side) => format!("shorter side to {side} px"),
                    };
                    let divisor = resize.size_divisor.map_or(String::new(), |n| format!(", sides up to multiples of {n}"));
                    format!("{size}{divisor}, {}", filter(resize.interpolation))
                });
                let resize = resize.unwrap_or_else(|| "any size".into());
                (vec!["RGB".into(), resize, normalize(&spec.normalize)], "the class of every pixel".into(), Vec::new())
            }
            ModelSpec::TextDetection(spec) => {
                let resize = match spec.resize {
                    DetResize::Limit { side_len, limit_type } => {
                        let which = json!(limit_type).as_str().unwrap_or_default().to_owned();
                        format!("side limit {side_len} px ({which}), sides to multiples of 32")
                    }
                    DetResize::Long { side_len } => format!("longer side to {side_len} px, sides up to multiples of 128"),
                    DetResize::Fixed { size, keep_ratio: false } => format!("to {}", pixels(size)),
                    DetResize::Fixed { size, keep_ratio: true } => format!("to {} px high, aspect ratio kept", size.height),
                };
                let form = match spec.boxes {
                    BoxType::Quad => "quadrilaterals",
                    BoxType::Poly => "polygons",
                };
                let db = &spec.db;
                let output = format!("{form}: thresh {}, box_thresh {}, unclip_ratio {}", db.thresh, db.box_thresh, db.unclip_ratio);
                (vec!["BGR".into(), resize, normalize(&spec.normalize)], output, Vec::new())
            }
            ModelSpec::TextRecognition(spec) => {
                let [_, height, width] = spec.image_shape;
                let resize = format!("to {height} px high, at least {width} px wide, zeros to the right");
                let input = vec!["BGR".into(), resize, normalize(&Normalize::SYMMETRIC)];
                (input, "text (CTC)".into(), spec.characters.clone())
            }
            ModelSpec::Table(spec) => {
                let canvas = format!("at the top left of {} of zeros", pixels(spec.canvas));
                let input = vec!["BGR".into(), format!("longer side to {} px", spec.max_len), normalize(&spec.normalize), canvas];
                let cells = match spec.cells {
                    CellScale::Picture => "the picture",
                    CellScale::Canvas => "the canvas",
                };
                (input, format!("structure tokens, and cells as fractions of {cells}"), spec.tokens.clone())
            }
            ModelSpec::Unwarping(spec) => {
                (vec!["RGB".into(), "any size".into(), normalize(&spec.normalize)], "the page made flat".into(), Vec::new())
            }
        };
        Self { kind, input, output, labels }
    }
}

fn pixels(size: Size) -> String {
    format!("{}x{} px", size.width, size.height)
}

fn filter(interpolation: Interpolation) -> &'static str {
    match interpolation {
        Interpolation::Linear => "linear",
        Interpolation::Cubic => "cubic",
    }
}

fn normalize(how: &Normalize) -> String {
    let scale = match how.scale {
        Scale::Times(factor) if factor == 1.0 / 255.0 => "/ 255".into(),
        Scale::Times(factor) => format!("* {factor}"),
        Scale::Over(divisor) => format!("/ {divisor}"),
    };
    format!("(v {scale} - {:?}) / {:?}", how.mean, how.std)
}
