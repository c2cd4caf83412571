//! Flags and subcommands of PaddleX 3.x, PaddleOCR and their tools that this program has under another name, or not: what is meant
//! is said in place of a guess by spelling.

use clap::Error;
use clap::error::{ContextKind, ContextValue, ErrorKind};

const OF_LAYOUT: &str = "the key of that name under LayoutDetection of a pipeline file of PaddleX 3.x says it";
const OF_SEALS: &str = "of seal_recognition the flag --text-det-... says it, of PP-ChatOCRv3-doc a pipeline file of PaddleX 3.x";

/// Flags with underscores, and what to do instead.
const FLAGS: &[(&str, &str)] = &[
    ("layout_threshold", "the key `threshold` under LayoutDetection of a pipeline file of PaddleX 3.x says it"),
    ("layout_nms", OF_LAYOUT),
    ("layout_unclip_ratio", OF_LAYOUT),
    ("layout_merge_bboxes_mode", OF_LAYOUT),
    ("seal_det_limit_side_len", OF_SEALS),
    ("seal_det_limit_type", OF_SEALS),
    ("seal_det_thresh", OF_SEALS),
    ("seal_det_box_thresh", OF_SEALS),
    ("seal_det_unclip_ratio", OF_SEALS),
    ("seal_rec_score_thresh", "--text-rec-score-thresh says the same"),
    ("use_ocr_model", "the text of tables is always read: leave it out"),
    ("use_table_cells_ocr_results", "cells are not read one by one in this version: leave it out"),
    ("img_size", "pictures are resized as the model's inference.yml says: leave it out"),
    ("engine", "--backend names the inference engine"),
    (
        "precision",
        "--hpi-config '{\"backend\": \"tensorrt\", \"backend_config\": {\"precision\": \"fp16\"}}' names it; --fast is reduced precision on a processor",
    ),
    ("enable_hpi", "this program is always the accelerated one: leave it out"),
    ("enable_mkldnn", "--hpi-config '{\"backend\": \"paddle_infer\", \"backend_config\": {\"run_mode\": \"mkldnn\"}}' says the same"),
    ("use_tensorrt", "--backend tensorrt says the same"),
    ("cpu_threads", "--threads says the same"),
    ("lang", "--text-rec-model names the model of a language"),
    ("ocr_version", "--text-det-model and --text-rec-model name the models"),
    ("text_detection_model_name", "--text-det-model takes a name or a folder"),
    ("text_detection_model_dir", "--text-det-model takes a name or a folder"),
    ("text_recognition_model_name", "--text-rec-model takes a name or a folder"),
    ("text_recognition_model_dir", "--text-rec-model takes a name or a folder"),
    ("text_recognition_batch_size", "--text-rec-batch-size says the same"),
    ("model_dir", "--model takes a name or a folder"),
    ("model_name", "--model takes a name or a folder"),
    ("target_size", "pictures are resized as the model's inference.yml says: leave it out"),
    ("llm_params", "the key llm_params of the pipeline file holds them; --llm-name, --llm-base-url and --llm-key-file win over it"),
    ("paddle2onnx", "hpinfer model convert does that"),
    ("paddle_model_dir", "hpinfer model convert does that"),
];

/// Subcommands, and what to do instead.
const COMMANDS: &[(&str, &str)] = &[
    ("ocr", "hpinfer --pipeline OCR"),
    ("seal_recognition", "hpinfer --pipeline seal_recognition"),
    ("table_recognition", "hpinfer --pipeline table_recognition"),
    ("pp_chatocrv3_doc", "hpinfer extract"),
    ("predict", "hpinfer --pipeline NAME --input PATH"),
];

/// `error`, with what is meant where that is known.
pub fn explained(error: Error) -> Error {
    let (kind, known) = match error.kind() {
        ErrorKind::UnknownArgument => (ContextKind::InvalidArg, FLAGS),
        ErrorKind::InvalidSubcommand => (ContextKind::InvalidSubcommand, COMMANDS),
        _ => return error,
    };
    let Some(ContextValue::String(typed)) = error.get(kind) else { return error };
    let word = typed.trim_start_matches('-').replace('-', "_");
    let word = word.split('=').next().unwrap_or_default();
    match known.iter().find(|(foreign, _)| *foreign == word) {
        Some((_, instead)) => {
            let what = if kind == ContextKind::InvalidArg { "flag" } else { "subcommand" };
            Error::raw(error.kind(), format!("`{typed}` is no {what} of hpinfer: {instead}\n"))
        }
        None if kind == ContextKind::InvalidSubcommand && std::path::Path::new(typed).exists() => Error::raw(
            error.kind(),
            format!("`{typed}` is no subcommand of hpinfer; inputs are given so: hpinfer --pipeline NAME --input {typed}\n"),
        ),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::Cli;

    #[test]
    fn what_is_meant_is_said() {
        let explain = |typed: &[&str]| explained(Cli::definition().try_get_matches_from(typed).unwrap_err()).to_string();
        for (typed, meant) in [
            (&["hpinfer", "--use-textline-orientation", "True"][..], "not looked for in this version"),
            (&["hpinfer", "--layout_nms", "True"], "under LayoutDetection"),
            (&["hpinfer", "--engine=onnxruntime"], "--backend names"),
            (&["hpinfer", "--precision", "fp16"], "--hpi-config"),
            (&["hpinfer", "ocr", "-i", "a.png"], "hpinfer --pipeline OCR"),
            (&["hpinfer", env!("CARGO_MANIFEST_DIR")], "--input"),
        ] {
            let message = explain(typed);
            assert!(message.contains(meant) && !message.contains("similar"), "{message}");
        }
        assert!(explain(&["hpinfer", "--inputt", "a"]).contains("--input"), "slips are still told by spelling");
    }

    #[test]
    fn no_flag_of_this_program_is_called_foreign() {
        for (flag, _) in FLAGS {
            let typed = ["hpinfer".to_owned(), format!("--{flag}")];
            let error = Cli::definition().try_get_matches_from(typed).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnknownArgument, "{flag}");
        }
    }
}
