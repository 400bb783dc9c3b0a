//! ONNX models through the ONNX Runtime, a library that is looked for when the first model is opened: `ORT_DYLIB_PATH`
//! names it, or it lies where the system looks for libraries. Nothing of it is needed to build.
//!
//! A model must have one input of `[rows, features]` in floats, and one output of `[rows, answers]` in floats beside
//! whatever labels it gives. One thread works on a row, so that the same row gives the same answer.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use models::ModelError;
use models::foreign::{Opener, Predictor};
use ort::environment::Environment;
use ort::session::Session;
use ort::value::{Outlet, Tensor, TensorElementType, ValueType};

/// The ONNX Runtime of this machine.
#[derive(Debug, Clone, Copy)]
pub struct Runtime;

/// The largest row or answer that is believed.
const WIDTH_MAX: i64 = 100_000;

fn bad<T>(reason: impl Into<String>) -> Result<T, ModelError> {
    Err(ModelError::Weights { reason: reason.into() })
}

/// Loads the library once; later calls find it, or the same failure.
fn environment() -> Result<&'static Environment, ModelError> {
    static LOADED: OnceLock<Result<Environment, String>> = OnceLock::new();
    let loaded = LOADED.get_or_init(|| {
        let path = std::env::var("ORT_DYLIB_PATH").ok().filter(|path| !path.is_empty());
        let path = path
            .unwrap_or_else(|| format!("{}onnxruntime{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX));
        let told = |error: String| {
            format!(
                "the ONNX Runtime `{path}` cannot be loaded ({error}); set ORT_DYLIB_PATH to version 1.24 or later \
                 (the Python package onnxruntime has it in its folder capi)"
            )
        };
        let builder = ort::init_from(&path).map_err(|error| told(one_line(&error.to_string())))?;
        builder.build().map_err(|error| told(one_line(&error.to_string())))
    });
    loaded.as_ref().or_else(|reason| bad(reason.clone()))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Opener for Runtime {
    fn onnx(&self, bytes: &[u8]) -> Result<Box<dyn Predictor>, ModelError> {
        Ok(Box::new(Network::open(bytes.into())?))
    }
}

#[derive(Debug, Clone)]
struct Network {
    bytes: Arc<[u8]>,
    session: Arc<Mutex<Session>>,
    /// Whether it reads 64 bits.
    wide: bool,
    inputs: usize,
    outputs: usize,
    /// Name of the output with the answers.
    answers: String,
}

impl Network {
    fn open(bytes: Arc<[u8]>) -> Result<Self, ModelError> {
        let environment = environment()?;
        let open = || -> Result<Session, String> {
            let said = |error: &dyn std::fmt::Display| one_line(&error.to_string());
            let builder = Session::builder(environment).map_err(|error| said(&error))?;
            let builder = builder.with_intra_threads(1).map_err(|error| said(&error))?;
            let mut builder = builder.with_deterministic_compute(true).map_err(|error| said(&error))?;
            builder.commit_from_memory(&bytes).map_err(|error| said(&error))
        };
        let session = open().or_else(|error| bad(format!("the ONNX Runtime does not take the file: {error}")))?;
        let [input] = session.inputs() else {
            return bad(format!("it has the inputs {}; export it with one", names(session.inputs())));
        };
        let (wide, inputs) = match input.dtype() {
            ValueType::Tensor { ty, shape, .. }
                if matches!(ty, TensorElementType::Float32 | TensorElementType::Float64) =>
            {
                match shape.iter().as_slice() {
                    [rows, width] if (*rows == 1 || *rows < 0) && (1..=WIDTH_MAX).contains(width) => {
                        (*ty == TensorElementType::Float64, *width as usize)
                    }
                    shape => {
                        return bad(format!(
                            "its input `{}` has shape {shape:?}; export it as [rows, features]",
                            input.name()
                        ));
                    }
                }
            }
            other => return bad(format!("its input `{}` is {other}; export it with floats", input.name())),
        };
        let answers = answers(session.outputs())?;
        let mut network =
            Self { bytes: bytes.clone(), session: Arc::new(Mutex::new(session)), wide, inputs, outputs: 0, answers };
        // A file need not say how many answers it gives, so it is asked.
        let mut out = Vec::new();
        network.run(&vec![0.0; inputs], &mut out)?;
        network.outputs = out.len();
        Ok(network)
    }

    fn run(&mut self, row: &[f32], out: &mut Vec<f32>) -> Result<(), ModelError> {
        let failed = |error: ort::Error| ModelError::Row {
            reason: format!("the ONNX Runtime failed: {}", one_line(&error.to_string())),
        };
        let shape = [1, row.len()];
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let results = if self.wide {
            let wide: Vec<f64> = row.iter().map(|value| f64::from(*value)).collect();
            session.run(ort::inputs![Tensor::from_array((shape, wide)).map_err(failed)?])
        } else {
            session.run(ort::inputs![Tensor::from_array((shape, row.to_vec())).map_err(failed)?])
        };
        let results = results.map_err(failed)?;
        let Some(value) = results.get(&self.answers) else {
            return Err(ModelError::Row { reason: format!("the model gave no `{}`", self.answers) });
        };
        if let Ok((_, values)) = value.try_extract_tensor::<f32>() {
            out.extend_from_slice(values);
        } else {
            let (_, values) = value.try_extract_tensor::<f64>().map_err(failed)?;
            out.extend(values.iter().map(|value| *value as f32));
        }
        Ok(())
    }
}

/// The one output that can be probabilities.
fn answers(outputs: &[Outlet]) -> Result<String, ModelError> {
    let floats = |outlet: &&Outlet| {
        matches!(outlet.dtype(), ValueType::Tensor { ty: TensorElementType::Float32 | TensorElementType::Float64, .. })
    };
    let found: Vec<&Outlet> = outputs.iter().filter(floats).collect();
    if let [one] = found.as_slice() {
        return Ok(one.name().to_owned());
    }
    if found.is_empty() && outputs.iter().any(|outlet| matches!(outlet.dtype(), ValueType::Sequence(_))) {
        return bad("its probabilities come as a list of maps; convert it with options={\"zipmap\": False}");
    }
    bad(format!("it has the outputs {}; export it with one of floats, the probabilities", names(outputs)))
}

fn names(outlets: &[Outlet]) -> String {
    let all: Vec<String> = outlets.iter().map(|outlet| format!("`{}` ({})", outlet.name(), outlet.dtype())).collect();
    if all.is_empty() { "none".to_owned() } else { all.join(", ") }
}

impl Predictor for Network {
    fn inputs(&self) -> usize {
        self.inputs
    }

    fn outputs(&self) -> usize {
        self.outputs
    }

    fn predict(&mut self, row: &[f32], out: &mut Vec<f32>) -> Result<(), ModelError> {
        self.run(row, out)
    }

    fn another(&self) -> Box<dyn Predictor> {
        // Where it cannot be opened twice, both take turns.
        Box::new(Self::open(self.bytes.clone()).unwrap_or_else(|_| self.clone()))
    }
}
