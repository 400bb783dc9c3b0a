//! `algotrading model import`

use std::path::Path;

use anyhow::{Context, Result, bail};
use lake::Lake;
use models::card::{Architecture, Beside, Card, Files, Scaler, TrainedOn, VERSION};
use models::features::WIDTH;
use models::foreign::{self, Answers, Format};
use models::registry::{self, Registry};
use models::{FeatureSet, Model};

use crate::args::ModelImport;
use crate::print::Reply;
use crate::shelf::{Shelf, opener};

pub(super) fn run(args: &ModelImport) -> Result<Reply> {
    registry::check_name(&args.name)?;
    let lake = Lake::create(&args.lake.lake)?;
    let (format, first) = read(&args.file)?;
    let second = args.short.as_deref().map(read).transpose()?;
    if let Some((other, _)) = &second
        && *other != format
    {
        bail!("the two files are of different formats; give both in the same");
    }
    let opened = foreign::open(format, &first, opener()).with_context(|| place(&args.file))?;
    let answers = answers(args, opened.outputs())?;
    if let (Some(path), Some((_, bytes))) = (&args.short, &second) {
        foreign::open(format, bytes, opener()).with_context(|| place(path))?;
    }
    let mut files = Files::new();
    let extension = match format {
        Format::Onnx => "onnx",
        Format::Lightgbm => "txt",
        Format::Xgboost => "json",
    };
    let mut keep = |role: &str, bytes: Vec<u8>| {
        let name = format!("{role}.{extension}");
        let beside = Beside::of(&name, &bytes);
        files.insert(name, bytes);
        beside
    };
    let weights = keep(if second.is_some() { "long" } else { "weights" }, first);
    let short = second.map(|(_, bytes)| keep("short", bytes));
    let features = FeatureSet::default();
    let trained_on = match (args.trained_from, args.trained_to) {
        (Some(from), Some(to)) if from > to => bail!("--trained-from ({from}) is after --trained-to ({to})"),
        (Some(from), Some(to)) => {
            Some(TrainedOn { symbols: vec![], from, to, revisions: vec![], sha256: String::new() })
        }
        _ => None,
    };
    let card = Card {
        layout: VERSION,
        name: args.name.clone(),
        architecture: Architecture::Foreign { format, answers, short },
        features,
        features_fingerprint: features.fingerprint(),
        scaler: Scaler { mean: vec![0.0; WIDTH], deviation: vec![1.0; WIDTH] },
        calibration: vec![],
        labels: None,
        seed: 0,
        trained_on,
        config: String::new(),
        metrics: [].into(),
        code_version: env!("CARGO_PKG_VERSION").to_owned(),
        weights,
    };
    let mut model = Model::new(card.clone(), &files, opener())?.forecast()?;
    // A model that cannot answer is found out before it trades.
    model.probabilities(&[0.5; WIDTH]).with_context(|| place(&args.file))?;
    let shelf = Shelf(&lake);
    let registry = Registry(&shelf);
    let version = registry.keep(&card, files.into_iter().collect())?;
    let reference = format!("{}@{version}", card.name);
    if args.promote {
        registry.promote(&reference)?;
    }
    if args.json {
        return Reply::json(&registry.find(&reference)?);
    }
    let mut text = format!("kept as {reference}\n");
    if !args.promote {
        text.push_str(&format!("strategies load it after `algotrading model promote {reference}`\n"));
    }
    Ok(Reply::ok(text))
}

fn place(path: &Path) -> String {
    format!("`{}`", path.display())
}

fn read(path: &Path) -> Result<(Format, Vec<u8>)> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", place(path)))?;
    let format = Format::of(&bytes).with_context(|| place(path))?;
    Ok((format, bytes))
}

/// Which answers are meant, from what the user says of them.
fn answers(args: &ModelImport, outputs: usize) -> Result<Answers> {
    let logits = args.logits;
    if args.short.is_some() {
        // One answer is the chance of success, of two it is the second: the classes are 0 and 1.
        return match outputs {
            1 | 2 => Ok(Answers { outputs, long: outputs - 1, short: outputs - 1, logits }),
            _ => bail!("a file gives {outputs} answers; of two files each must be a classifier of two classes"),
        };
    }
    if args.columns.is_empty() {
        bail!(
            "{} gives {outputs} answers; say what they are with --columns, such as long,short or short,flat,long, or \
             give a second file for short",
            place(&args.file)
        );
    }
    if args.columns.len() != outputs {
        bail!("{} gives {outputs} answers, and --columns names {}", place(&args.file), args.columns.len());
    }
    let at = |name: &str| -> Result<usize> {
        let mut found = args.columns.iter().enumerate().filter(|(_, column)| *column == name).map(|(at, _)| at);
        match (found.next(), found.next()) {
            (Some(at), None) => Ok(at),
            _ => bail!("--columns must name {name} once"),
        }
    };
    Ok(Answers { outputs, long: at("long")?, short: at("short")?, logits })
}
