//! A network in Paddle's own format: where its files are, and what inputs and outputs its program names.
//! Two forms of the program are read, of paddlepaddle 2.6.2 and 3.3.1: `framework.proto`, and the JSON of PIR.

use crate::backend::{IoSpec, TensorSpec};
use crate::cache::safe_name;
use crate::device::available_memory;
use crate::error::{Error, Result};
use crate::tensor::DType;
use prost::Message;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Operations that OpenVINO 2026.4.1 must not run: that of most detectors writes beyond its memory for some pictures, so
/// that what a trial finds is luck.
const DAMAGING: &str = "multiclass_nms";

/// Memory a child may take: this, and so many times the size of the model. Converting the largest takes about ten times.
const LEAST_MEMORY: u64 = 3 << 30;
const MEMORY_PER_BYTE: u64 = 14;

/// A network in Paddle's own format: one or two forms of the program, and the weights of both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaddleFiles {
    /// `inference.pdmodel`, the program as Paddle 2 writes it.
    pub pdmodel: Option<PathBuf>,
    /// `inference.json`, the program as Paddle 3 writes it (PIR).
    pub pir: Option<PathBuf>,
    /// `inference.pdiparams`, the weights.
    pub params: PathBuf,
}

impl PaddleFiles {
    /// The program, the newer form if there are two.
    pub fn program(&self) -> Option<&Path> {
        self.pir.as_deref().or(self.pdmodel.as_deref())
    }

    /// The program that OpenVINO may be tried on. The error says why there is none.
    pub fn for_openvino(&self) -> Result<&Path, String> {
        let path = self.pdmodel.as_deref().ok_or("it does not read PIR")?;
        // What cannot be read, or is no program, is told where it is loaded.
        let bytes = std::fs::read(path).unwrap_or_default();
        let program = ProgramDesc::decode(&bytes[..]).unwrap_or_default();
        let mut operations = program.blocks.iter().flat_map(|block| &block.ops);
        match operations.find(|op| op.r#type.starts_with(DAMAGING)) {
            Some(op) => Err(format!("its operation {} damages the memory of the process", op.r#type)),
            None => Ok(path),
        }
    }

    /// The program, where one has to be there.
    pub(super) fn require_program(&self) -> Result<&Path> {
        self.program().ok_or_else(|| Error::internal("paddle files", format!("{} stands without a program", self.params.display())))
    }

    /// Memory that a child may take for `program` and the weights.
    pub(super) fn memory_bound(&self, program: &Path) -> Result<u64> {
        let size = |path: &Path| path.metadata().map(|meta| meta.len()).map_err(Error::io("read", path));
        let needed = LEAST_MEMORY + MEMORY_PER_BYTE * (size(program)? + size(&self.params)?);
        Ok(available_memory().map_or(needed, |most| needed.min(most)))
    }
}

/// The name under which something made of `model` is filed: safe for file systems, with the start of the hash `key`.
pub(super) fn file_name(model: &str, key: &str) -> String {
    format!("{}-{}", safe_name(model), &key[..16])
}

/// Inputs and outputs that a program names.
///
/// # Errors
/// [`Error::Io`] when the file cannot be read; [`Error::Input`] when it is no Paddle program, or has tensors of a type
/// that is not handled.
pub fn read_io(program: &Path) -> Result<IoSpec> {
    let bytes = std::fs::read(program).map_err(Error::io("read", program))?;
    let io = match program.extension().is_some_and(|e| e == "json") {
        true => pir(&bytes),
        false => pdmodel(&bytes),
    };
    let io = io.map_err(|reason| Error::input(program.display().to_string(), reason))?;
    match io.outputs.is_empty() {
        true => Err(Error::input(program.display().to_string(), "not a Paddle program: it has no outputs")),
        false => Ok(io),
    }
}

/// How many weights a `.pdmodel` has; `None` for another file.
pub(super) fn weights(program: &Path) -> Option<usize> {
    let program = ProgramDesc::decode(&std::fs::read(program).ok()?[..]).ok()?;
    let is_weight = |var: &&VarDesc| var.persistable && var.r#type.as_ref().is_some_and(|kind| kind.dense.is_some());
    program.blocks.first().map(|block| block.vars.iter().filter(is_weight).count())
}

/// A spec from Paddle's terms: dimensions of -1 are free.
fn spec(name: &str, dtype: Result<DType, String>, dims: impl IntoIterator<Item = i64>) -> Result<TensorSpec, String> {
    let dtype = dtype.map_err(|found| format!("tensor `{name}` is of type {found}, which is not handled"))?;
    Ok(TensorSpec { name: name.to_owned(), dtype, dims: dims.into_iter().map(|d| usize::try_from(d).ok()).collect() })
}

/// Reads the JSON of PIR: operations `data` are inputs, operations `fetch` outputs, of the first block.
fn pir(bytes: &[u8]) -> Result<IoSpec, String> {
    let file: Value = serde_json::from_slice(bytes).map_err(|e| format!("not a Paddle program: {e}"))?;
    if file["base_code"]["magic"] != "pir" {
        return Err("not a Paddle program: it has no `base_code` with the magic `pir`".into());
    }
    let operations = file["program"]["regions"][0]["blocks"][0]["ops"].as_array().ok_or("not a Paddle program: it has no operations")?;
    // Names are those of the operator dialect, shortened to its number when the file was written.
    let of = |kind: &'static str| operations.iter().filter(move |op| op["#"].as_str().is_some_and(|name| name.ends_with(kind)));
    let io = |op: &Value| {
        let name = op["A"].as_array().into_iter().flatten().find(|a| a["N"] == "name").and_then(|a| a["AT"]["D"].as_str());
        let name = name.ok_or("an input or output has no name")?;
        let ty = &op["O"][0]["TT"]["D"];
        // The single result of an operation stands alone or in a list.
        let ty = if ty.is_null() { &op["O"]["TT"]["D"] } else { ty };
        let dtype = match ty[0]["#"].as_str().map(|t| t.trim_start_matches(|c: char| c != 't')) {
            Some("t_f32") => Ok(DType::F32),
            Some("t_i32") => Ok(DType::I32),
            Some("t_i64") => Ok(DType::I64),
            other => Err(other.unwrap_or("unknown").to_owned()),
        };
        spec(name, dtype, ty[1].as_array().into_iter().flatten().filter_map(Value::as_i64))
    };
    let outputs = of(".fetch").map(io).collect::<Result<_, String>>()?;
    Ok(IoSpec { inputs: of(".data").map(io).collect::<Result<_, String>>()?, outputs })
}

/// Reads `framework.proto`: what operations `feed` write are inputs, what operations `fetch` read are outputs.
fn pdmodel(bytes: &[u8]) -> Result<IoSpec, String> {
    let program = ProgramDesc::decode(bytes).map_err(|e| format!("not a Paddle program: {e}"))?;
    let block = program.blocks.first().ok_or("not a Paddle program: it has no blocks")?;
    let io = |name: &String| {
        let tensor = block.vars.iter().find(|v| v.name == *name).and_then(|v| v.r#type.as_ref()?.dense.as_ref()?.tensor.as_ref());
        let tensor = tensor.ok_or_else(|| format!("not a Paddle program: nothing says what `{name}` is"))?;
        let dtype = match tensor.data_type {
            5 => Ok(DType::F32),
            2 => Ok(DType::I32),
            3 => Ok(DType::I64),
            other => Err(format!("number {other}")),
        };
        spec(name, dtype, tensor.dims.iter().copied())
    };
    let of = |kind: &'static str, slots: fn(&OpDesc) -> &[OpVar]| {
        let operations = block.ops.iter().filter(move |op| op.r#type == kind);
        operations.flat_map(move |op| slots(op).iter().flat_map(|slot| &slot.arguments).take(1)).map(io).collect::<Result<Vec<_>, String>>()
    };
    Ok(IoSpec { inputs: of("feed", |op| &op.outputs)?, outputs: of("fetch", |op| &op.inputs)? })
}

/// `framework.proto`, as much of it as inputs and outputs need.
#[derive(Clone, PartialEq, Message)]
struct ProgramDesc {
    #[prost(message, repeated, tag = "1")]
    blocks: Vec<BlockDesc>,
}

#[derive(Clone, PartialEq, Message)]
struct BlockDesc {
    #[prost(message, repeated, tag = "3")]
    vars: Vec<VarDesc>,
    #[prost(message, repeated, tag = "4")]
    ops: Vec<OpDesc>,
}

#[derive(Clone, PartialEq, Message)]
struct VarDesc {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    r#type: Option<VarType>,
    #[prost(bool, tag = "3")]
    persistable: bool,
}

#[derive(Clone, PartialEq, Message)]
struct VarType {
    /// `lod_tensor` in the file's own terms.
    #[prost(message, optional, tag = "3")]
    dense: Option<DenseTensorDesc>,
}

#[derive(Clone, PartialEq, Message)]
struct DenseTensorDesc {
    #[prost(message, optional, tag = "1")]
    tensor: Option<TensorDesc>,
}

/// What stands before the values of a weight, too.
#[derive(Clone, PartialEq, Message)]
pub(super) struct TensorDesc {
    #[prost(int32, tag = "1")]
    pub data_type: i32,
    #[prost(int64, repeated, packed = "false", tag = "2")]
    pub dims: Vec<i64>,
}

#[derive(Clone, PartialEq, Message)]
struct OpDesc {
    #[prost(message, repeated, tag = "1")]
    inputs: Vec<OpVar>,
    #[prost(message, repeated, tag = "2")]
    outputs: Vec<OpVar>,
    #[prost(string, tag = "3")]
    r#type: String,
}

#[derive(Clone, PartialEq, Message)]
struct OpVar {
    #[prost(string, repeated, tag = "2")]
    arguments: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(program: &Path) -> String {
        read_io(program).unwrap_err().to_string()
    }

    #[test]
    fn what_is_no_program_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let cases: [(&str, &[u8], &str); 7] = [
            ("a.json", b"{", "not a Paddle program"),
            ("b.json", b"{}", "no `base_code`"),
            ("c.json", br#"{"base_code": {"magic": "pir"}}"#, "no operations"),
            ("d.json", br#"{"base_code": {"magic": "pir"}, "program": {"regions": [{"blocks": [{"ops": []}]}]}}"#, "no outputs"),
            ("e.pdmodel", b"text", "not a Paddle program"),
            ("f.pdmodel", b"", "no blocks"),
            ("g.pdmodel", &[10, 0], "no outputs"),
        ];
        for (name, bytes, expected) in cases {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            let message = message(&path);
            assert!(message.contains(expected) && message.contains(name), "{message}");
        }
        assert!(message(&folder.path().join("none.json")).contains("cannot read"));
    }

    #[test]
    fn openvino_is_kept_from_what_damages_memory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.pdmodel");
        let files = PaddleFiles { pdmodel: Some(path.clone()), pir: None, params: path.clone() };
        for (kind, allowed) in [("softmax", true), ("multiclass_nms3", false)] {
            let op = OpDesc { r#type: kind.into(), ..OpDesc::default() };
            let program = ProgramDesc { blocks: vec![BlockDesc { ops: vec![op], ..BlockDesc::default() }] };
            std::fs::write(&path, program.encode_to_vec()).unwrap();
            assert_eq!(files.for_openvino().is_ok(), allowed, "{kind}");
        }
        let pir = PaddleFiles { pdmodel: None, pir: Some(path.clone()), params: path };
        assert!(pir.for_openvino().unwrap_err().contains("PIR"));
    }

    #[test]
    fn types_that_are_not_handled_are_named() {
        let text = r##"{"base_code": {"magic": "pir"}, "program": {"regions": [{"blocks": [{"ops": [{"#": "1.fetch",
            "A": [{"N": "name", "AT": {"D": "mask"}}], "O": [{"TT": {"D": [{"#": "0.t_bool"}, [-1, 4]]}}]}]}]}]}}"##;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        std::fs::write(&path, text).unwrap();
        assert!(message(&path).contains("tensor `mask` is of type t_bool"), "{}", message(&path));
    }
}
