//! Networks that are not what their description says are refused when they are opened.

use super::{table_spec, text_detection};
use hpinfer::backend::fake::FakeEngine;
use hpinfer::model::{BoxType, UnwarpingSpec};
use hpinfer::modules::{TableStructure, TextDetect, Unwarp};
use hpinfer::ops::resize_norm::Normalize;
use std::sync::Arc;

type Dims<'a> = &'a [Option<usize>];

/// A network with these outputs.
fn engine(inputs: &[(&str, Dims)], outputs: &[Dims]) -> Arc<FakeEngine> {
    let mut engine = FakeEngine::with_io("other", inputs, outputs.len(), |_| Ok(Vec::new()));
    outputs.iter().enumerate().for_each(|(index, dims)| engine.declare_output(index, dims));
    Arc::new(engine)
}

const PICTURE: (&str, Dims) = ("x", &[None; 4]);
const CLASSES: Dims = &[None, Some(1000)];
const MAP: Dims = &[None; 4];

#[test]
fn detectors_of_text_give_a_map_for_a_picture() {
    let said = |engine| TextDetect::new(engine, text_detection(BoxType::Quad)).err().map_or(String::new(), |e| e.to_string());
    let other = said(engine(&[PICTURE], &[CLASSES]));
    assert!(other.contains("model other") && other.contains("2 dimensions, 4 are expected"), "{other}");
    assert!(said(engine(&[PICTURE, ("im_shape", &[None; 2])], &[MAP])).contains("x and im_shape"));
    assert_eq!(said(engine(&[PICTURE], &[MAP])), "");
}

#[test]
fn networks_that_make_pages_flat_give_a_picture() {
    let spec = UnwarpingSpec { normalize: Normalize::NONE };
    let said = |engine| Unwarp::new(engine, spec.clone()).err().map_or(String::new(), |e| e.to_string());
    assert!(said(engine(&[PICTURE], &[CLASSES])).contains("2 dimensions, 3 or 4 are expected"));
    assert_eq!(said(engine(&[PICTURE], &[MAP])), "");
}

#[test]
fn recognisers_of_tables_have_the_classes_of_their_dictionary() {
    let spec = table_spec(&["<td></td>", "eos"]);
    let said = |engine| TableStructure::new(engine, spec.clone()).err().map_or(String::new(), |e| e.to_string());
    let steps = |last| [None, None, Some(last)];
    assert!(said(engine(&[PICTURE], &[MAP])).contains("1 output, 2 are expected"));
    assert!(said(engine(&[PICTURE], &[&steps(8), &steps(4)])).contains("2 tokens for the 4 classes"));
    assert!(said(engine(&[("x", &[None, None, Some(32), Some(32)])], &[&steps(2), &steps(8)])).contains("32x32 only"));
    for outputs in [[&steps(8), &steps(2)], [&steps(2), &steps(8)]] {
        assert_eq!(said(engine(&[PICTURE], &outputs.map(|dims| &dims[..]))), "");
    }
}
