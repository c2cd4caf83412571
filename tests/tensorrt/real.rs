//! The real builder of TensorRT-RTX, which works without a GPU.

use super::decoder::recurrent;
use super::half::installed;
use super::surgery::apply;
use super::surgery_samples::deformable;
use super::surgery_sequences::{at_two_shapes, shifted};
use crate::random::Random;
use crate::tensorrt_rtx::libraries;
use hpinfer::backend::tensorrt::ffi::{Abi, BuildOptions, Library, Range};
use hpinfer::onnx::half::{Keep, convert};
use hpinfer::onnx::proto::ModelProto;
use hpinfer::onnx::surgery::decoder::{self, Decoder};
use hpinfer::onnx::surgery::{self, Surgery};
use hpinfer::onnx::{Model, sample};
use prost::Message;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

/// The opened library, or `None` after a line that says why not.
pub fn library() -> Option<Arc<Library>> {
    let [library, parser] = libraries()?;
    Some(Library::open(&library, Some(&parser)).unwrap())
}

fn build(library: &Arc<Library>, onnx: &[u8], target: i32) -> hpinfer::Result<Vec<u8>> {
    let range = Range { input: sample::INPUT.into(), min: vec![1, 4], opt: vec![2, 4], max: vec![8, 4] };
    build_for(library, onnx, target, vec![range])
}

fn build_for(library: &Arc<Library>, onnx: &[u8], target: i32, ranges: Vec<Range>) -> hpinfer::Result<Vec<u8>> {
    let options = BuildOptions { profiles: vec![ranges], target: Some(target), ..BuildOptions::default() };
    library.build(onnx, &options, &[], &|_| ControlFlow::Continue(())).map(|built| built.plan.to_vec())
}

#[test]
fn the_real_builder_builds_for_other_gpus_after_what_it_needs_changed() {
    let Some(library) = library() else { return };
    let versions = library.versions();
    assert_eq!((versions.abi, versions.numbers, versions.checked, versions.has_builder), (Abi::Rtx, [1, 7, 1, 116], true, true));
    assert!(!versions.host_memory);

    let onnx = sample::bytes();
    let plan = build(&library, &onnx, 86).unwrap();
    assert!(plan.len() > 1000);
    let message = build(&library, &onnx, 75).unwrap_err().to_string();
    assert!(message.contains("FP32 GEMM is not supported"), "{message}");
    for change in [Surgery::GemmAsConv, Surgery::GemmInHalf] {
        let mut model = Model::decode(&onnx, "sample").unwrap();
        assert_eq!(apply(&mut model.proto, &[change]), [(change, 1)]);
        assert!(build(&library, &model.to_bytes(), 75).unwrap().len() > 1000, "{change:?}");
    }
    let half = convert(&Model::decode(&onnx, "sample").unwrap().proto, &Keep::default());
    assert_eq!(half.values.len(), 3);
    for target in [75, 86] {
        assert!(build(&library, &half.model.encode_to_vec(), target).unwrap().len() > 1000, "in half precision for {target}");
    }
    assert!(build(&library, &onnx, 90).unwrap_err().to_string().contains("no target of compute capability 9.0"));
    assert!(build(&library, b"no ONNX file", 86).unwrap_err().to_string().contains("the graph is refused"));
    assert!(library.load(&[b'g'; 4096]).map(|_| ()).unwrap_err().to_string().contains("magicTag"));
    assert!(library.load(b"garbage").map(|_| ()).unwrap_err().to_string().contains("minBufferSize"));
    assert!(library.load(b"").map(|_| ()).unwrap_err().to_string().contains("empty"));
    what_it_refuses_builds_after_its_change(&library);
    decoders_build_in_two_parts(&library);
    text_networks_in_half_precision(&library);
    if !Path::new("/proc/driver/nvidia/version").exists() {
        assert!(library.load(&plan).map(|_| ()).unwrap_err().to_string().contains("cudaError 35"));
    }
}

/// Graphs with operators that the library has not.
fn what_it_refuses_builds_after_its_change(library: &Arc<Library>) {
    let mut random = Random::fresh("refused operators");
    let range = |input: &str, dims: &[i64]| {
        let most = [&[8], &dims[1..]].concat();
        Range { input: input.into(), min: dims.to_vec(), opt: dims.to_vec(), max: most }
    };
    let deformable = deformable(&mut random, &["bias", "mask"], Vec::new(), 1);
    let picture = vec![range("x", &[1, 4, 9, 7]), range("offset", &[1, 12, 8, 5]), range("mask", &[1, 6, 8, 5])];
    let shifted = shifted(&mut random, 1);
    for (original, change, ranges) in
        [(deformable, Surgery::DeformConvAsSamples, picture), (shifted, Surgery::SequencesAsConstants, vec![range("x", &[1, 3, 5])])]
    {
        let refused = build_for(library, &original.encode_to_vec(), 86, ranges.clone()).unwrap_err().to_string();
        assert!(refused.contains("the graph is refused"), "{refused}");
        let mut new = original.clone();
        assert_eq!(surgery::apply(&mut new, &[change], &at_two_shapes).unwrap(), [(change, 1)]);
        for target in [75, 86] {
            assert!(build_for(library, &new.encode_to_vec(), target, ranges.clone()).unwrap().len() > 1000, "{change:?} for {target}");
        }
    }
}

/// A network that decodes in a Loop, in its two parts.
fn decoders_build_in_two_parts(library: &Arc<Library>) {
    let original = recurrent(&mut Random::fresh("decoder"), 3, true);
    let range = |input: &str, dims: &[i64]| {
        let [min, max] = [1, 4].map(|batch| [&[batch], &dims[1..]].concat());
        Range { input: input.into(), opt: min.clone(), min, max }
    };
    let picture = vec![range("x", &[1, 3, 32, 40])];
    assert!(build_for(library, &original.encode_to_vec(), 86, picture.clone()).is_err());
    let Decoder { encoder, step, .. } = decoder::cut(&original).unwrap();
    let state = vec![range("features", &[1, 1280, 3]), range("hidden", &[1, 4]), range("token", &[1])];
    for (part, ranges) in [(encoder, picture), (step, state)] {
        for target in [75, 86] {
            let mut part = part.clone();
            apply(&mut part, Surgery::for_tensorrt_rtx(target));
            assert!(build_for(library, &part.encode_to_vec(), target, ranges.clone()).unwrap().len() > 1000, "for {target}");
        }
    }
}

/// The networks of the default pipeline in half precision, where they are installed already. No test of its own: the library has one
/// target for all builds that a process has under way.
fn text_networks_in_half_precision(library: &Arc<Library>) {
    for (name, [min, opt, max]) in [
        ("PP-OCRv4_mobile_det", [[1, 3, 320, 320], [1, 3, 736, 736], [1, 3, 960, 960]]),
        ("PP-OCRv4_mobile_rec", [[1, 3, 48, 32], [1, 3, 48, 320], [8, 3, 48, 640]]),
    ] {
        let Some(original) = installed(name) else { continue };
        let half = convert(&original, &Keep::default());
        let range = Range { input: "x".into(), min: min.to_vec(), opt: opt.to_vec(), max: max.to_vec() };
        let plan = |model: &ModelProto| build_for(library, &model.encode_to_vec(), 86, vec![range.clone()]).unwrap().len();
        let (whole, halved) = (plan(&original), plan(&half.model));
        println!("{name}: a plan of {whole} bytes, of {halved} in half precision");
    }
}
