//! A model is kept, found, promoted and believed only as it was made.
#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::convert::Infallible;

use domain::{SessionDate, Symbol};
use models::card::{Architecture, Beside, Calibration, Scaler, TrainedOn, VERSION};
use models::features::WIDTH;
use models::registry::{Registry, Store};
use models::weights::{self, Tensor, Tensors};
use models::{Card, FeatureSet, Forecast, LabelRule};

#[derive(Debug, Default)]
struct Memory(RefCell<BTreeMap<String, Vec<u8>>>);

impl Store for Memory {
    type Error = Infallible;

    fn list(&self, folder: &str) -> Result<Vec<String>, Infallible> {
        Ok(self.0.borrow().keys().filter(|path| path.starts_with(folder)).cloned().collect())
    }

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Infallible> {
        Ok(self.0.borrow().get(path).cloned())
    }

    fn write(&self, files: &[(String, Vec<u8>)]) -> Result<(), Infallible> {
        self.0.borrow_mut().extend(files.iter().cloned());
        Ok(())
    }
}

fn model(bias: f32) -> (Card, Vec<u8>) {
    let tensor =
        |shape: &[usize], value: f32| Tensor { shape: shape.to_vec(), values: vec![value; shape.iter().product()] };
    let tensors = Tensors::from([
        ("fc1.weight".to_owned(), tensor(&[2, WIDTH], 0.5)),
        ("fc1.bias".to_owned(), tensor(&[2], bias)),
    ]);
    let bytes = weights::write(&tensors).unwrap();
    let features = FeatureSet::default();
    let card = Card {
        layout: VERSION,
        name: "tiny".to_owned(),
        architecture: Architecture::Mlp { layers: vec![WIDTH, 2] },
        features,
        features_fingerprint: features.fingerprint(),
        scaler: Scaler { mean: vec![0.0; WIDTH], deviation: vec![1.0; WIDTH] },
        calibration: vec![Calibration::default(); 2],
        labels: Some(LabelRule::default()),
        seed: 1,
        trained_on: Some(TrainedOn {
            symbols: vec![Symbol::new("IBM").unwrap()],
            from: SessionDate::from_ymd(2000, 3, 1).unwrap(),
            to: SessionDate::from_ymd(2010, 3, 1).unwrap(),
            revisions: vec![],
            sha256: String::new(),
        }),
        config: String::new(),
        metrics: BTreeMap::new(),
        code_version: "0".to_owned(),
        weights: Beside::of("weights.safetensors", &bytes),
    };
    (card, bytes)
}

fn keep(place: &Memory, bias: f32) -> String {
    let (card, bytes) = model(bias);
    Registry(place).keep(&card, vec![("weights.safetensors".to_owned(), bytes)]).unwrap()
}

fn said(place: &Memory, reference: &str) -> String {
    Registry(place).find(reference).unwrap_err().to_string()
}

#[test]
fn a_version_is_what_the_model_is() {
    let place = Memory::default();
    let (one, other) = (keep(&place, 0.0), keep(&place, 1.0));
    assert_ne!(one, other);
    assert_eq!(keep(&place, 0.0), one, "the same model twice");
    assert_eq!(Registry(&place).list().unwrap().len(), 2);
}

#[test]
fn strategies_load_what_was_promoted() {
    let place = Memory::default();
    assert_eq!(said(&place, "tiny"), "there is no model `tiny`; train one with `algotrading train`");
    let (one, other) = (keep(&place, 0.0), keep(&place, 1.0));
    assert!(said(&place, "tiny").contains("algotrading model promote tiny@VERSION"));
    assert!(said(&place, "huge").contains("there are tiny"));
    assert!(said(&place, "tiny@0000").contains(&one) && said(&place, "tiny@").contains(&other));
    assert!(said(&place, "../tiny").contains("no name for a model"));
    for version in [&one, &other] {
        Registry(&place).promote(&format!("tiny@{}", &version[..8])).unwrap();
        let found = Registry(&place).find("tiny").unwrap();
        assert!(found.promoted && found.version == *version);
    }
    assert!(!Registry(&place).find(&format!("tiny@{one}")).unwrap().promoted);
}

#[test]
fn a_changed_model_is_refused() {
    let place = Memory::default();
    let version = keep(&place, 0.0);
    Registry(&place).promote(&format!("tiny@{version}")).unwrap();
    let weights = format!("models/tiny/{version}/weights.safetensors");
    let entry = Registry(&place).find("tiny").unwrap();
    let bytes = Registry(&place).files(&entry).unwrap().remove("weights.safetensors").unwrap();
    assert!(Forecast::new(entry.card.clone(), &bytes).is_ok());
    place.0.borrow_mut().get_mut(&weights).unwrap()[100] ^= 1;
    assert!(Registry(&place).files(&entry).is_err() && Registry(&place).promote("tiny").is_err());
    let card = format!("models/tiny/{version}/model.json");
    let text = String::from_utf8(place.read(&card).unwrap().unwrap()).unwrap();
    place.0.borrow_mut().insert(card, text.replace("\"seed\": 1", "\"seed\": 2").into_bytes());
    let error = Registry(&place).find("tiny").unwrap_err();
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("model.json"));
}

#[test]
fn a_model_says_what_is_wrong_with_it() {
    let wrong = |change: fn(&mut Card)| {
        let (mut card, bytes) = model(0.0);
        change(&mut card);
        match Card::read(&card.write().unwrap()).and_then(|card| Forecast::new(card, &bytes)) {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        }
    };
    assert_eq!(wrong(|_| ()), "");
    assert!(wrong(|card| card.features_fingerprint = "0".repeat(64)).contains("train it again"));
    assert!(wrong(|card| card.features.warm_up = models::features::WarmUp::Fill).contains("fingerprint"));
    assert!(wrong(|card| card.layout = 9).contains("layout 9"));
    assert!(wrong(|card| card.weights.sha256.clear()).contains("SHA-256 differs"));
    assert!(
        wrong(|card| card.architecture = Architecture::Mlp { layers: vec![WIDTH, 3] })
            .contains("`fc1.weight` has shape [2, 31]; it must be [3, 31]")
    );
    assert!(
        wrong(|card| card.architecture = Architecture::Mlp { layers: vec![WIDTH, 2, 2] })
            .contains("`fc2.weight` is missing")
    );
    assert!(wrong(|card| card.scaler.deviation[3] = 0.0).contains("more than 0"));
    assert!(wrong(|card| card.calibration.clear()).contains("calibration"));
    assert!(Card::read(b"{}").unwrap_err().to_string().contains("not a model's"));
}

#[test]
fn a_probability_is_the_calibrated_logistic_of_the_network() {
    let (mut card, bytes) = model(-15.0);
    card.scaler.mean = vec![-1.0; WIDTH];
    card.calibration[1] = Calibration { slope: 2.0, offset: 0.5 };
    let mut forecast = Forecast::new(card, &bytes).unwrap();
    // Each scaled input is 1: 31 halves less 15.
    let [long, short] = forecast.probabilities(&[0.0; WIDTH]).unwrap();
    let logistic = |x: f64| 1.0 / (1.0 + (-x).exp());
    assert!((f64::from(long) - logistic(0.5)).abs() < 1e-6 && (f64::from(short) - logistic(1.5)).abs() < 1e-6);
}
