//! Named tensors as a safetensors file.

use std::collections::BTreeMap;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::card::ModelError;

/// Numbers with a shape, the last dimension fastest.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Length of each dimension.
    pub shape: Vec<usize>,
    /// Values.
    pub values: Vec<f32>,
}

/// Tensors by name.
pub type Tensors = BTreeMap<String, Tensor>;

/// Reads a file.
///
/// # Errors
/// Not a safetensors file, or a tensor in it that is not made of finite 32-bit floats.
pub fn read(bytes: &[u8]) -> Result<Tensors, ModelError> {
    let bad = |reason: String| ModelError::Weights { reason };
    let file = SafeTensors::deserialize(bytes).map_err(|error| bad(format!("not a safetensors file: {error}")))?;
    let mut tensors = Tensors::new();
    for (name, view) in file.tensors() {
        if view.dtype() != Dtype::F32 {
            return Err(bad(format!("`{name}` is {:?}; export it as 32-bit floats", view.dtype())));
        }
        let values: Vec<f32> =
            view.data().chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]])).collect();
        if values.iter().any(|value| !value.is_finite()) {
            return Err(bad(format!("`{name}` has values that are no numbers")));
        }
        tensors.insert(name, Tensor { shape: view.shape().to_vec(), values });
    }
    Ok(tensors)
}

/// The values of the tensor of a name, which must have the given shape.
///
/// # Errors
/// It is missing or has another shape.
pub fn get<'a>(tensors: &'a Tensors, name: &str, shape: &[usize]) -> Result<&'a [f32], ModelError> {
    let reason = match tensors.get(name) {
        Some(tensor) if tensor.shape == shape => return Ok(&tensor.values),
        Some(tensor) => format!("`{name}` has shape {:?}; it must be {shape:?}", tensor.shape),
        None => format!("`{name}` is missing"),
    };
    Err(ModelError::Weights { reason })
}

/// Writes a file; the same tensors give the same bytes.
///
/// # Errors
/// A shape that does not have as many values.
pub fn write(tensors: &Tensors) -> Result<Vec<u8>, ModelError> {
    let bytes: BTreeMap<&String, Vec<u8>> = tensors
        .iter()
        .map(|(name, tensor)| (name, tensor.values.iter().flat_map(|value| value.to_le_bytes()).collect()))
        .collect();
    let views: Result<Vec<_>, _> = tensors
        .iter()
        .map(|(name, tensor)| TensorView::new(Dtype::F32, tensor.shape.clone(), &bytes[name]).map(|view| (name, view)))
        .collect();
    let bad = |error: safetensors::SafeTensorError| ModelError::Weights { reason: error.to_string() };
    safetensors::serialize(views.map_err(bad)?, None).map_err(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nonsense_is_told() {
        let tensor = Tensor { shape: vec![2, 1], values: vec![1.5, -2.0] };
        let tensors = Tensors::from([("b".to_owned(), tensor.clone()), ("a".to_owned(), tensor)]);
        let bytes = write(&tensors).unwrap();
        assert_eq!(read(&bytes).unwrap(), tensors);
        assert_eq!(write(&tensors).unwrap(), bytes);
        assert!(read(b"PK\x03\x04").unwrap_err().to_string().contains("not a safetensors file"));
        assert!(read(&bytes[..bytes.len() - 1]).is_err());
        let bad = Tensors::from([("a".to_owned(), Tensor { shape: vec![1], values: vec![f32::NAN] })]);
        assert!(read(&write(&bad).unwrap()).unwrap_err().to_string().contains("no numbers"));
        let wrong = Tensors::from([("a".to_owned(), Tensor { shape: vec![3], values: vec![1.0] })]);
        assert!(write(&wrong).is_err());
    }
}
