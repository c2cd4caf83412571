//! Constant tensors of a graph as plain numbers.

use super::proto::{TensorProto, ValueInfoProto, tensor_proto::DataType, tensor_shape_proto::dimension, type_proto};

/// Number of elements of a tensor; `None` when it is no number.
pub(super) fn elements(dims: &[i64]) -> Option<usize> {
    dims.iter().try_fold(1usize, |product, &side| product.checked_mul(side.try_into().ok()?))
}

/// Elements of a float32 tensor, row-major; `None` for another type, or when the data is not in the message.
pub(super) fn floats(t: &TensorProto) -> Option<Vec<f32>> {
    if t.data_type != Some(DataType::Float as i32) {
        return None;
    }
    let values: Vec<f32> = match &t.raw_data {
        Some(raw) => raw.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        None => t.float_data.clone(),
    };
    (elements(&t.dims) == Some(values.len())).then_some(values)
}

/// Elements of an int64 tensor; `None` for another type, or when the data is not in the message.
pub(super) fn integers(t: &TensorProto) -> Option<Vec<i64>> {
    if t.data_type != Some(DataType::Int64 as i32) {
        return None;
    }
    let values: Vec<i64> = match &t.raw_data {
        Some(raw) => raw.as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b)).collect(),
        None => t.int64_data.clone(),
    };
    (elements(&t.dims) == Some(values.len())).then_some(values)
}

/// Dimensions of an input or output, `None` for a free one; none at all where it does not say.
pub(crate) fn stated_dims(value: &ValueInfoProto) -> Vec<Option<i64>> {
    let Some(type_proto::Value::TensorType(tensor)) = value.r#type.as_ref().and_then(|t| t.value.as_ref()) else { return Vec::new() };
    let dim = |value: &Option<dimension::Value>| match value {
        Some(dimension::Value::DimValue(n)) if *n >= 0 => Some(*n),
        _ => None,
    };
    tensor.shape.iter().flat_map(|shape| shape.dim.iter().map(|d| dim(&d.value))).collect()
}

/// A float32 tensor.
pub(super) fn float_tensor(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
    tensor(name, dims, DataType::Float, values.iter().flat_map(|v| v.to_le_bytes()).collect())
}

/// An int64 tensor.
pub(super) fn integer_tensor(name: &str, dims: &[i64], values: &[i64]) -> TensorProto {
    tensor(name, dims, DataType::Int64, values.iter().flat_map(|v| v.to_le_bytes()).collect())
}

/// A tensor of the elements in `raw`, little endian.
pub(super) fn tensor(name: &str, dims: &[i64], dtype: DataType, raw: Vec<u8>) -> TensorProto {
    let name = Some(name.to_owned());
    TensorProto { name, dims: dims.to_vec(), data_type: Some(dtype as i32), raw_data: Some(raw), ..Default::default() }
}
