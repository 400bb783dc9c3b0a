//! How fast a forecast trains and predicts. `model_bench` prints one JSON line for each.

use std::hint::black_box;
use std::time::Instant;

use models::forecast::mlp;
use training::forecast::fit::{Fit, Rows, Settings};
use training::random::Random;

const ROWS: usize = 2_000;
const EPOCHS: usize = 100;
const WIDTHS: [usize; 4] = [31, 31, 15, 2];

fn main() -> anyhow::Result<()> {
    let mut random = Random::new(1, 0);
    let cells: Vec<f32> = (0..ROWS * WIDTHS[0]).map(|_| random.normal() as f32).collect();
    let outcomes = cells.chunks_exact(WIDTHS[0]).map(|row| [row[0] * row[1] > 0.0, row[2] > 0.5]).collect();
    let rows = Rows { width: WIDTHS[0], cells, outcomes };
    let settings = Settings {
        widths: WIDTHS.to_vec(),
        epochs: EPOCHS,
        batch: 32,
        patience: EPOCHS,
        learning_rate: 1e-3,
        dropout: 0.2,
        success_weights: vec![1.0, 1.0],
        seed: 1,
    };
    let mut seconds = f64::INFINITY;
    let mut fit = Fit::new(settings.clone());
    let nothing = Rows { width: WIDTHS[0], ..Rows::default() };
    for _ in 0..3 {
        fit = Fit::new(settings.clone());
        let start = Instant::now();
        for _ in 0..EPOCHS {
            fit.epoch(&rows, &nothing);
        }
        seconds = seconds.min(start.elapsed().as_secs_f64());
    }
    let loss = fit.history().last().map(|epoch| epoch.train);
    println!("{}", serde_json::json!({"what": "train", "seconds": seconds, "last_loss": loss}));

    let mut network = mlp(&WIDTHS, &fit.network().tensors(fit.numbers()))?;
    for (what, batch) in [("one row", 1), ("256 rows", 256)] {
        // A clock takes longer than a row, so each time is that of many in a row.
        let repeats = 1_024 / batch;
        let mut times: Vec<f64> = (0..20_000)
            .map(|round| {
                let start = Instant::now();
                for n in 0..repeats {
                    for at in 0..batch {
                        let at = (round * 7 + n * batch + at) % ROWS;
                        black_box(network.logits(black_box(&rows.cells[at * WIDTHS[0]..(at + 1) * WIDTHS[0]])));
                    }
                }
                start.elapsed().as_secs_f64() / repeats as f64
            })
            .collect();
        times.sort_by(f64::total_cmp);
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize] * 1e6;
        println!("{}", serde_json::json!({"what": what, "p50_us": at(0.5), "p99_us": at(0.99)}));
    }
    Ok(())
}
