//! Rows per second, by hand:
//! `BARS=FILE cargo test --release -p lake --lib intake::speed -- --ignored --nocapture`

use super::tests::{now, open_with};
use super::{Effort, PathBuf};

#[test]
#[ignore = "a measurement of the file named by BARS"]
fn rows_per_second() {
    let path = PathBuf::from(std::env::var_os("BARS").expect("BARS names a file"));
    for threads in [1, 2] {
        for block in [256 << 10, 1 << 20, 2 << 20, 4 << 20] {
            let mut best = f64::INFINITY;
            let mut rows = 0;
            for _ in 0..3 {
                let start = std::time::Instant::now();
                let effort = Effort { block, threads, patient: std::env::var_os("PATIENT").is_some() };
                let mut input = open_with(&path, None, None, now(), effort).unwrap();
                rows = 0;
                while let Some(batch) = input.next_batch().unwrap() {
                    rows += batch.rows;
                }
                best = best.min(start.elapsed().as_secs_f64());
            }
            let rate = rows as f64 / best / 1e6;
            println!(
                "{threads} parsers, blocks of {:>4} KiB: {rows} rows, {best:.3} s, {rate:.1} M rows/s",
                block >> 10
            );
        }
    }
}
