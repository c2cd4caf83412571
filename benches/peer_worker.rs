//! The OCR pipeline behind a line protocol, so that a driver can run it side by side with other programs on the
//! same pictures: argument 1 is a JSON object of options, each line of standard input `{"image": path}`, each
//! line of standard output `{"ms", "lines": [{box, text, score}], "stages", "run"}`. Times run from the decoded
//! picture to the result; the last picture stays decoded.
//!
//! Options: `threads`, `backend`, `fast` (0 or 1), `jpeg` (turbo, zune), `padding` (own, widest), `score_mode` (fast, slow).

use hpinfer::cache::Cache;
use hpinfer::image::Frame;
use hpinfer::image::decode::Decoder;
use hpinfer::modules::batch::{BatchLimits, Padding};
use hpinfer::modules::{Loader, LoaderOptions};
use hpinfer::ops::db::ScoreMode;
use hpinfer::pipeline::{Ocr, OcrConfig, Pipeline};
use hpinfer::trace::Stage;
use serde_json::{Map, Value, json};
use std::error::Error;
use std::io::{BufRead, Write};
use std::time::Instant;

fn open(options: &Value) -> Result<Ocr, Box<dyn Error>> {
    let defaults = LoaderOptions::default();
    let loader = LoaderOptions {
        threads: options["threads"].as_u64().map_or(defaults.threads, |n| n as usize),
        backend: options["backend"].as_str().map(str::parse).transpose()?,
        fast: options["fast"].as_u64() == Some(1),
        ..defaults
    };
    let mut config = OcrConfig::default();
    if options["padding"] == "widest" {
        config.padding = Padding::Widest;
        let items = options["rec_batch"].as_u64().unwrap_or(6) as usize;
        config.batch = Some(BatchLimits { items, cost: usize::MAX });
    }
    config.detection.score_mode = (options["score_mode"] == "slow").then_some(ScoreMode::Slow);
    Ok(Ocr::open(&config, &Loader::new(Cache::open(None)?, loader)?)?)
}

fn answer(ocr: &Ocr, frame: &Frame) -> Result<Value, Box<dyn Error>> {
    let start = Instant::now();
    let only = ocr.predict_timed(std::slice::from_ref(frame)).pop();
    let elapsed = start.elapsed();
    let (result, times) = only.ok_or("no result")??;
    let lines = result.dt_polys.iter().zip(&result.rec_text).zip(&result.rec_score);
    let lines: Vec<Value> = lines
        .map(|((quad, text), score)| json!({"box": quad.iter().map(|p| [p.x, p.y]).collect::<Vec<_>>(), "text": text, "score": score}))
        .collect();
    let stages = times.to_ms(&Stage::OCR, elapsed).into_iter().filter(|(stage, _)| *stage != "total");
    let stages: Map<String, Value> = stages.map(|(stage, ms)| (stage.to_owned(), json!(ms))).collect();
    Ok(json!({"ms": elapsed.as_secs_f64() * 1e3, "lines": lines, "stages": stages, "run": result.header.run}))
}

fn main() -> Result<(), Box<dyn Error>> {
    let options: Value = serde_json::from_str(&std::env::args().nth(1).ok_or("options missing")?)?;
    let ocr = open(&options)?;
    let decoder = Decoder { jpeg: options["jpeg"].as_str().unwrap_or("turbo").parse()?, ..Decoder::default() };
    let mut out = std::io::stdout();
    writeln!(out, "{}", json!({"ready": true, "run": ocr.run_records()}))?;
    let mut last: Option<(String, Frame)> = None;
    for line in std::io::stdin().lock().lines() {
        let request: Value = serde_json::from_str(&line?)?;
        let path = request["image"].as_str().ok_or("image missing")?.to_owned();
        let reply = (|| {
            let frame = match last.take() {
                Some((known, frame)) if known == path => frame,
                _ => Frame::from_image(decoder.decode(&std::fs::read(&path)?, &path)?),
            };
            let reply = answer(&ocr, &frame);
            last = Some((path.clone(), frame));
            reply
        })();
        writeln!(out, "{}", reply.unwrap_or_else(|e: Box<dyn Error>| json!({"error": e.to_string()})))?;
        out.flush()?;
    }
    Ok(())
}
