//! Models that were trained elsewhere: a file of trees, or a network that somebody opens for us.

use std::fmt::Debug;

use serde::{Deserialize, Serialize};

use crate::card::ModelError;
use crate::features::WIDTH;
use crate::trees::{Trees, lightgbm, xgboost};

/// How a model's file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// ONNX, which another crate opens.
    Onnx,
    /// The text of LightGBM's `save_model`.
    Lightgbm,
    /// The JSON of XGBoost's `save_model`.
    Xgboost,
}

impl Format {
    /// Of a file's bytes.
    ///
    /// # Errors
    /// None that is known.
    pub fn of(bytes: &[u8]) -> Result<Self, ModelError> {
        let bad = |reason: &str| Err(ModelError::Weights { reason: reason.to_owned() });
        match bytes {
            [] => bad("the file is empty"),
            _ if bytes.starts_with(b"tree\n") => Ok(Self::Lightgbm),
            [b'{', b'L' | b'l' | b'i' | b'U', ..] => {
                bad("it is XGBoost's binary format; save it with save_model(\"model.json\")")
            }
            [b'{', ..] => Ok(Self::Xgboost),
            // A pickle, an archive (Keras, PyTorch), HDF5.
            [0x80, ..] => bad("it is a Python pickle, which may run any program; export the model as ONNX"),
            [b'P', b'K', ..] | [0x89, b'H', b'D', b'F', ..] => {
                bad("it is Keras's or PyTorch's own file; export it as ONNX")
            }
            // The first field of an ONNX file is its version, a number.
            [0x08, ..] => Ok(Self::Onnx),
            _ => bad("it is neither ONNX, nor LightGBM's text, nor XGBoost's JSON"),
        }
    }
}

/// From rows of features to answers.
pub trait Predictor: Debug + Send {
    /// Width of a row.
    fn inputs(&self) -> usize;

    /// Answers for each row.
    fn outputs(&self) -> usize;

    /// Appends the answers of a row.
    ///
    /// # Errors
    /// Whoever computes them cannot.
    fn predict(&mut self, row: &[f32], out: &mut Vec<f32>) -> Result<(), ModelError>;

    /// Another one that works by itself.
    fn another(&self) -> Box<dyn Predictor>;
}

impl Predictor for Trees {
    fn inputs(&self) -> usize {
        Trees::inputs(self)
    }

    fn outputs(&self) -> usize {
        Trees::outputs(self)
    }

    fn predict(&mut self, row: &[f32], out: &mut Vec<f32>) -> Result<(), ModelError> {
        Trees::predict(self, row, out);
        Ok(())
    }

    fn another(&self) -> Box<dyn Predictor> {
        Box::new(self.clone())
    }
}

/// Opens what this crate does not read itself.
pub trait Opener {
    /// An ONNX file.
    ///
    /// # Errors
    /// It cannot be used, or there is nobody here who opens such files.
    fn onnx(&self, bytes: &[u8]) -> Result<Box<dyn Predictor>, ModelError>;
}

/// Opens nothing.
#[derive(Debug, Clone, Copy)]
pub struct Nobody;

impl Opener for Nobody {
    fn onnx(&self, _bytes: &[u8]) -> Result<Box<dyn Predictor>, ModelError> {
        let reason = "this program was built without ONNX; build it with the feature `onnx`".to_owned();
        Err(ModelError::Weights { reason })
    }
}

/// Opens a file.
///
/// # Errors
/// It is damaged, does not read our features, or is not a classifier.
pub fn open(format: Format, bytes: &[u8], opener: &dyn Opener) -> Result<Box<dyn Predictor>, ModelError> {
    let text = || match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text),
        Err(_) => Err(ModelError::Weights { reason: "the file is not text in UTF-8".to_owned() }),
    };
    let predictor: Box<dyn Predictor> = match format {
        Format::Lightgbm => Box::new(lightgbm::read(text()?)?),
        Format::Xgboost => Box::new(xgboost::read(text()?)?),
        Format::Onnx => opener.onnx(bytes)?,
    };
    if predictor.inputs() != WIDTH {
        let found = predictor.inputs();
        let reason = format!("it reads rows of {found} numbers; the features are {WIDTH}");
        return Err(ModelError::Weights { reason });
    }
    Ok(predictor)
}

/// Which of a model's answers are meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answers {
    /// How many answers it gives.
    pub outputs: usize,
    /// Where *long* stands.
    pub long: usize,
    /// Where *short* stands, in the same file or in the other one.
    pub short: usize,
    /// Whether they are logits: independent ones for two answers, shares of one for three.
    pub logits: bool,
}

/// A foreign model, ready to be asked.
#[derive(Debug)]
pub(crate) struct Foreign {
    /// Of both answers, or of *long*.
    first: Box<dyn Predictor>,
    /// Of *short*.
    second: Option<Box<dyn Predictor>>,
    answers: Answers,
    out: Vec<f32>,
}

impl Clone for Foreign {
    fn clone(&self) -> Self {
        Self {
            first: self.first.another(),
            second: self.second.as_ref().map(|second| second.another()),
            answers: self.answers.clone(),
            out: Vec::new(),
        }
    }
}

impl Foreign {
    pub(crate) fn new(
        first: Box<dyn Predictor>,
        second: Option<Box<dyn Predictor>>,
        answers: Answers,
    ) -> Result<Self, ModelError> {
        let Answers { outputs, long, short, .. } = answers;
        let bad = |reason: String| Err(ModelError::Card { reason });
        if long >= outputs || short >= outputs || second.is_none() && long == short {
            return bad(format!("long and short are answers {long} and {short} of {outputs}"));
        }
        for predictor in [Some(&first), second.as_ref()].into_iter().flatten() {
            if predictor.outputs() != outputs {
                return bad(format!("a file gives {} answers instead of {outputs}", predictor.outputs()));
            }
        }
        Ok(Self { first, second, answers, out: Vec::new() })
    }

    pub(crate) fn probabilities(&mut self, row: &[f32]) -> Result<[f32; 2], ModelError> {
        self.out.clear();
        self.first.predict(row, &mut self.out)?;
        if let Some(second) = &mut self.second {
            second.predict(row, &mut self.out)?;
        }
        let Answers { outputs, long, short, logits } = self.answers;
        if self.out.len() != outputs * if self.second.is_some() { 2 } else { 1 } {
            return Err(ModelError::Row { reason: format!("the model gave {} answers", self.out.len()) });
        }
        if logits {
            self.out.chunks_exact_mut(outputs).for_each(to_probabilities);
        }
        let both = [self.out[long], self.out[if self.second.is_some() { outputs + short } else { short }]];
        if both.iter().any(|probability| !(-1e-6..=1.0 + 1e-6).contains(probability)) {
            let reason = format!("the model answered {both:?}, which are no probabilities; are they logits?");
            return Err(ModelError::Row { reason });
        }
        Ok(both.map(|probability| probability.clamp(0.0, 1.0)))
    }
}

/// One or two logits are each a probability's; more are shares of one.
fn to_probabilities(logits: &mut [f32]) {
    if logits.len() <= 2 {
        logits.iter_mut().for_each(|logit| *logit = crate::network::sigmoid(*logit));
        return;
    }
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    logits.iter_mut().for_each(|logit| *logit = libm::expf(*logit - most));
    let sum: f32 = logits.iter().sum();
    logits.iter_mut().for_each(|power| *power /= sum);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says what it is told, whatever the row.
    #[derive(Debug, Clone)]
    struct Told(Vec<f32>);

    impl Predictor for Told {
        fn inputs(&self) -> usize {
            WIDTH
        }

        fn outputs(&self) -> usize {
            self.0.len()
        }

        fn predict(&mut self, _row: &[f32], out: &mut Vec<f32>) -> Result<(), ModelError> {
            out.extend(&self.0);
            Ok(())
        }

        fn another(&self) -> Box<dyn Predictor> {
            Box::new(self.clone())
        }
    }

    fn said(
        first: &[f32],
        second: Option<&[f32]>,
        (long, short): (usize, usize),
        logits: bool,
    ) -> Result<[f32; 2], String> {
        let told = |values: &[f32]| -> Box<dyn Predictor> { Box::new(Told(values.to_vec())) };
        let answers = Answers { outputs: first.len(), long, short, logits };
        let mut model = Foreign::new(told(first), second.map(told), answers).map_err(|error| error.to_string())?;
        model
            .clone()
            .probabilities(&[0.0; WIDTH])
            .and_then(|_| model.probabilities(&[0.0; WIDTH]))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn answers_are_found_in_one_file_or_two() {
        assert_eq!(said(&[0.2, 0.7], None, (0, 1), false), Ok([0.2, 0.7]));
        assert_eq!(said(&[0.2, 0.7, 0.1], None, (2, 0), false), Ok([0.1, 0.2]));
        assert_eq!(said(&[0.2], Some(&[0.7]), (0, 0), false), Ok([0.2, 0.7]));
        assert_eq!(said(&[0.8, 0.2], Some(&[0.3, 0.7]), (1, 1), false), Ok([0.2, 0.7]));
        assert_eq!(said(&[0.0, 20.0], None, (0, 1), true), Ok([0.5, 1.0]));
        let [long, short] = said(&[0.0, 0.0, (2.0_f32).ln()], None, (2, 0), true).unwrap();
        assert!((long - 0.5).abs() < 1e-6 && (short - 0.25).abs() < 1e-6);
    }

    #[test]
    fn what_is_no_probability_is_told() {
        assert!(said(&[3.0, 0.5], None, (0, 1), false).unwrap_err().contains("are they logits?"));
        assert!(said(&[f32::NAN, 0.5], None, (0, 1), false).is_err());
        assert!(said(&[0.5, 0.5], None, (0, 0), false).is_err());
        assert!(said(&[0.5, 0.5], None, (0, 2), false).is_err());
        assert!(said(&[0.5, 0.5], Some(&[0.5]), (0, 0), false).is_err());
    }

    #[test]
    fn a_format_is_known_by_its_first_bytes() {
        assert_eq!(Format::of(b"tree\nversion=v4"), Ok(Format::Lightgbm));
        assert_eq!(Format::of(b"{\"learner\":"), Ok(Format::Xgboost));
        assert_eq!(Format::of(&[0x08, 0x0a]), Ok(Format::Onnx));
        let told = |bytes: &[u8]| Format::of(bytes).unwrap_err().to_string();
        assert!(told(b"").contains("empty"));
        assert!(told(b"{L\0\0\0").contains("save_model(\"model.json\")"));
        assert!(told(b"\x80\x04\x95").contains("pickle"));
        assert!(told(b"PK\x03\x04").contains("export it as ONNX"));
        assert!(told(b"hello").contains("neither ONNX"));
        let error = open(Format::Onnx, &[0x08], &Nobody).unwrap_err().to_string();
        assert!(error.contains("feature `onnx`"), "{error}");
    }
}
