//! Writes synthetic daily bars in the workshop layout, the same bytes for the same seed on every machine.
//!
//! Nothing in the file is a price of anything: symbols are `SYN00001` and on, prices walk at random. Dates are
//! sessions of the New York Stock Exchange that ended before 2024.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use domain::{Calendar, SessionDate};

const USAGE: &str = "\
Synthetic daily bars (`dt,sym,open,high,low,close,vol`; symbols SYN00001 and on), to measure imports with.

usage: generate_bars --rows N [--symbols M] [--seed S] [--order symbol|date] OUT.csv

  --rows N      how many rows, at most 8,565 for each symbol
  --symbols M   how many symbols they are spread over (default: one for each 5,000 rows)
  --seed S      another seed, other prices (default: 1)
  --order O     all dates of a symbol together (`symbol`, the default) or all symbols of a date (`date`)";

/// SplitMix64 (Steele, Lea and Flood 2014): one multiplication-mixed counter, the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to `bound - 1`; the bias of the reduction is below 2⁻³².
    fn below(&mut self, bound: u64) -> u64 {
        ((self.next() >> 32) * bound) >> 32
    }
}

/// A symbol's walk; prices in cents.
struct Walk {
    symbol: [u8; 8],
    random: Random,
    close: u64,
}

impl Walk {
    fn new(number: u64, seed: u64) -> Self {
        let mut symbol = *b"SYN00000";
        let mut rest = number;
        for digit in symbol[3..].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        let mut random = Random(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ number.rotate_left(32));
        let close = 2_000 + random.below(20_000);
        Self { symbol, random, close }
    }

    /// Appends the next bar: at most 1.5 % from close to open and from open to close, so that no bar looks like a split.
    fn bar(&mut self, date: &[u8; 10], out: &mut Vec<u8>) {
        let random = &mut self.random;
        let mut step = |from: u64| {
            let range = from * 3 / 100 + 2;
            (from + random.below(range + 1) - range / 2).clamp(500, 500_000)
        };
        let open = step(self.close);
        let close = step(open);
        let high = open.max(close) + random.below(open / 100 + 2);
        let low = open.min(close) - random.below(open / 100 + 2);
        self.close = close;
        out.extend_from_slice(date);
        out.push(b',');
        out.extend_from_slice(&self.symbol);
        for price in [open, high, low, close] {
            out.push(b',');
            number(out, price / 100);
            let cents = (price % 100) as u8;
            out.extend_from_slice(&[b'.', b'0' + cents / 10, b'0' + cents % 10]);
        }
        out.push(b',');
        number(out, 100_000 + random.below(9_900_000));
        out.push(b'\n');
    }
}

fn number(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

struct Wanted {
    rows: u64,
    symbols: u64,
    seed: u64,
    by_date: bool,
    out: PathBuf,
}

fn wanted() -> Result<Wanted> {
    let (mut rows, mut symbols, mut seed, mut by_date, mut out) = (None, None, 1, false, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().with_context(|| format!("{argument} needs a value\n\n{USAGE}"));
        let whole = |text: String| {
            text.replace('_', "").parse::<u64>().with_context(|| format!("`{text}` is not a whole number"))
        };
        match argument.as_str() {
            "--rows" => rows = Some(whole(value()?)?),
            "--symbols" => symbols = Some(whole(value()?)?),
            "--seed" => seed = whole(value()?)?,
            "--order" => {
                by_date = match value()?.as_str() {
                    "symbol" => false,
                    "date" => true,
                    other => bail!("`--order {other}` is neither `symbol` nor `date`"),
                }
            }
            "--help" | "-h" => {
                println!("{USAGE}");
                std::process::exit(0);
            }
            path if !path.starts_with('-') && out.is_none() => out = Some(PathBuf::from(path)),
            other => bail!("what is `{other}`?\n\n{USAGE}"),
        }
    }
    let rows = rows.with_context(|| format!("--rows is missing\n\n{USAGE}"))?;
    let out = out.with_context(|| format!("the file to write is missing\n\n{USAGE}"))?;
    let symbols = symbols.unwrap_or(rows.div_ceil(5_000)).max(1);
    Ok(Wanted { rows, symbols, seed, by_date, out })
}

fn main() -> Result<()> {
    let Wanted { rows, symbols, seed, by_date, out } = wanted()?;
    let before = SessionDate::parse("2024-01-01")?;
    let dates: Vec<[u8; 10]> = Calendar::nyse()
        .sessions()
        .iter()
        .filter(|session| session.date < before)
        .filter_map(|session| session.date.to_string().into_bytes().try_into().ok())
        .collect();
    let each = rows.div_ceil(symbols);
    if each > dates.len() as u64 || symbols > 99_999 {
        let most = dates.len();
        bail!("{rows} rows do not fit {symbols} symbols of at most {most} sessions (and at most 99999 symbols)");
    }
    // The latest sessions, so that a short file is of recent years.
    let dates = &dates[dates.len() - each as usize..];
    let failed = || format!("cannot write `{}`", out.display());
    let mut file = File::create(&out).with_context(failed)?;
    let mut buffer = b"dt,sym,open,high,low,close,vol\n".to_vec();
    let mut left = rows;
    let mut write = |walk: &mut Walk, date: &[u8; 10]| -> Result<bool> {
        if left == 0 {
            return Ok(false);
        }
        left -= 1;
        walk.bar(date, &mut buffer);
        if buffer.len() > 1 << 20 {
            file.write_all(&buffer).with_context(failed)?;
            buffer.clear();
        }
        Ok(true)
    };
    if by_date {
        let mut walks: Vec<Walk> = (1..=symbols).map(|number| Walk::new(number, seed)).collect();
        for date in dates {
            for walk in &mut walks {
                write(walk, date)?;
            }
        }
    } else {
        for symbol in 1..=symbols {
            let mut walk = Walk::new(symbol, seed);
            for date in dates {
                if !write(&mut walk, date)? {
                    break;
                }
            }
        }
    }
    file.write_all(&buffer).with_context(failed)
}
