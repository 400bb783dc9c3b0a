//! The scaler of a model, from the rows it is trained on.

use models::card::Scaler;
use models::features::WIDTH;

/// Leaves every feature as it is.
#[must_use]
pub fn identity() -> Scaler {
    Scaler { mean: vec![0.0; WIDTH], deviation: vec![1.0; WIDTH] }
}

/// Gives every feature mean 0 and deviation 1 over some rows.
#[must_use]
pub fn standard<'a>(rows: impl Iterator<Item = &'a [f32; WIDTH]> + Clone) -> Scaler {
    let count = rows.clone().count() as f64;
    let mut scaler = identity();
    for feature in 0..WIDTH {
        let values = || rows.clone().map(|row| f64::from(row[feature]));
        let mean = values().sum::<f64>() / count;
        let variance = values().map(|value| (value - mean) * (value - mean)).sum::<f64>() / count;
        scaler.mean[feature] = mean as f32;
        // A feature that never changes says nothing; it stays at zero.
        scaler.deviation[feature] = if variance > 1e-24 { variance.sqrt() as f32 } else { 1.0 };
    }
    scaler
}
