//! A result for people, on a terminal.

use crate::result::{ClassificationResult, Header, OcrResult, PipelineResult};

/// A picture's name, what ran, and what was found.
pub(super) fn listing(name: &str, result: &PipelineResult) -> String {
    let Header { run, timings_ms, .. } = result.header();
    let mut out = format!("{}\n", printable(name));
    for run in run {
        out += &format!("  {} on {} ({} {}, {})\n", run.model, run.device, run.backend, run.version, run.precision);
    }
    out += &match result {
        PipelineResult::Ocr(result) => texts(result),
        PipelineResult::Classification(result) => classes(result),
        _ => String::new(),
    };
    if let Some(timings) = timings_ms {
        let parts: Vec<String> = timings.iter().map(|(stage, ms)| format!("{stage} {ms:.1}")).collect();
        out += &format!("  ms: {}\n", parts.join(", "));
    }
    out
}

/// Lines with scores and places.
fn texts(result: &OcrResult) -> String {
    if result.rec_text.is_empty() {
        return "  no text found\n".into();
    }
    let lines = result.rec_text.iter().zip(&result.rec_score).zip(&result.dt_polys).map(|((text, score), quad)| {
        let corner = quad.first().map_or(String::new(), |p| format!("({}, {})", p.x, p.y));
        format!("  {score:.2}  {corner:>12}  {text}\n")
    });
    lines.collect()
}

/// Classes with scores.
fn classes(result: &ClassificationResult) -> String {
    let names = |index: usize| result.label_names.get(index).map_or("", String::as_str);
    let lines = result.class_ids.iter().zip(&result.scores).enumerate();
    lines.map(|(index, (id, score))| format!("  {score:.5}  {id:>5}  {}\n", printable(names(index)))).collect()
}

/// Names are the user's, and may hold what a terminal takes for commands.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.into() }).collect()
}
