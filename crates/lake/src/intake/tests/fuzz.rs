//! Valid files damaged at random: nothing panics, no row is lost, and nothing depends on how the work is cut up.

use super::*;
use crate::row::{Batch, RefusedRow};

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % bound.max(1)
    }
}

const SEEDS: [(&str, &str, &str); 4] = [
    (
        "workshop",
        "dt,sym,open,high,low,close,vol\n",
        "2013-03-01,AAPL,438,438.18,429.98,430.47,19730300\n2013-03-04,brk.b,427.8,428.2,419,420.05,20812700\n\
         2013-03-02,AAPL,1,1,1,1,1\n2013-03-05,AAPL,421.48,435.19,420.75,431.14,2.28e7\n",
    ),
    (
        "alpha_vantage_daily_adjusted",
        "timestamp,open,high,low,close,adjusted_close,volume,dividend_amount,split_coefficient\n",
        "2013-03-01,438,438.18,429.98,430.47,56.2,19730300,0.0000,1.0\n2013-02-28,444.05,447.87,441.4,441.4,57,11518400,2.65,7.0\n",
    ),
    (
        "sharadar_sep",
        "ticker,date,open,high,low,close,volume,closeadj,closeunadj,lastupdated\n",
        "AAPL,2013-03-01,15.643,15.649,15.356,15.374,552448000,13.2,430.47,2020-09-01\n",
    ),
    (
        "databento_ohlcv_1d",
        "ts_event,rtype,publisher_id,instrument_id,open,high,low,close,volume,symbol\n",
        "2023-11-01T00:00:00.000000000Z,35,2,38,171.000000000,174.230000000,170.120000000,173.970000000,56934900,AAPL\n\
         1698796800000000000,35,2,38,171000000000,174230000000,170120000000,173970000000,56934900,AAPL\n",
    ),
];

fn damage(random: &mut Random, header: &str, rows: &str) -> Vec<u8> {
    let mut text: Vec<u8> = rows.repeat(1 + random.below(12)).into_bytes();
    for _ in 0..random.below(12) {
        let at = random.below(text.len());
        match random.below(9) {
            0 => text[at] = random.below(256) as u8,
            1 => text[at] ^= 1 << random.below(8),
            2 => drop(text.drain(at..(at + random.below(40)).min(text.len()))),
            3 => text.insert(at, b",\"\n\r \t.-+e0\0;"[random.below(13)]),
            4 => text.truncate(at),
            5 => {
                let copy = text[at..(at + random.below(60)).min(text.len())].to_vec();
                let to = random.below(text.len());
                text.splice(to..to, copy);
            }
            6 => {
                text =
                    text.iter().map(|byte| if *byte == b',' && random.below(30) == 0 { b';' } else { *byte }).collect()
            }
            7 => text = String::from_utf8_lossy(&text).replace('\n', "\r\n").into_bytes(),
            _ => text.splice(at..at, b"99999999999999999999.5".iter().copied()).for_each(drop),
        }
        if text.is_empty() {
            break;
        }
    }
    [header.as_bytes(), &text].concat()
}

/// All that came out, its symbols spelled out; or the error in words.
type Outcome = Result<(Vec<String>, Vec<RefusedRow>, u64, Option<String>), String>;

fn outcome(path: &Path, profile: &str, effort: Effort) -> Outcome {
    let symbol = Symbol::new("FB").unwrap();
    let wanted = profile.starts_with("alpha").then_some(&symbol);
    let mut input = open_with(path, Some(profile), wanted, now(), effort).map_err(|error| error.to_string())?;
    let (mut good, mut refused, mut count) = (Vec::new(), Vec::new(), 0);
    while let Some(batch) = input.next_batch().map_err(|error| error.to_string())? {
        let Batch { rows, symbols, bars, actions, refused: more } = batch;
        assert_eq!(rows, (bars.len() + more.len()) as u64);
        let name = |index: u32| symbols[index as usize].as_str();
        good.extend(
            bars.iter().map(|bar| format!("{} {:?}", name(bar.symbol), crate::row::RowBar { symbol: 0, ..*bar })),
        );
        good.extend(
            actions.iter().map(|a| format!("{} {:?}", name(a.symbol), crate::row::RowAction { symbol: 0, ..*a })),
        );
        refused.extend(more);
        count += rows;
    }
    good.sort();
    Ok((good, refused, count, input.received().map(|received| received.sha256())))
}

#[test]
fn damaged_files_lose_no_row_and_read_the_same_however_cut() {
    let mut random = Random(20_130_301);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.csv");
    let (mut good, mut bad) = (0, 0);
    for round in 0..1_500 {
        let (profile, header, rows) = SEEDS[round % SEEDS.len()];
        let text = damage(&mut random, header, rows);
        std::fs::write(&path, &text).unwrap();
        let whole = outcome(&path, profile, Effort { block: 1 << 20, threads: 1, patient: false });
        let lines = text[header.len()..]
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r')))
            .count();
        let shown = String::from_utf8_lossy(&text);
        match &whole {
            Ok((bars, refused, count, _)) => {
                assert_eq!(*count, lines as u64, "{shown}");
                good += bars.len();
                bad += refused.len();
            }
            // A NUL near the beginning makes a file binary.
            Err(error) => assert!(lines == 0 || text.contains(&0), "{error}: {shown}"),
        }
        if text.contains(&0) {
            // Which NULs lie in the first block depends on the block.
            continue;
        }
        for (block, threads, patient) in [(1 << 20, 1, true), (1 + random.below(200), 1 + random.below(4), false)] {
            let other = outcome(&path, profile, Effort { block, threads, patient });
            assert_eq!(other, whole, "blocks of {block}, {threads} threads, patient {patient}: {shown}");
        }
    }
    assert!(good > 3_000 && bad > 3_000, "{good} good rows and {bad} bad ones");
}

#[test]
fn random_bytes_never_panic() {
    let mut random = Random(7);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.csv");
    for _ in 0..500 {
        let alphabet: &[u8] = if random.below(2) == 0 { b"0123456789.,-\n\"A " } else { b"\0\n,\xff\xfe1a\"\r\x80" };
        let length = random.below(400);
        let mut text = if random.below(2) == 0 { SEEDS[random.below(4)].1.as_bytes().to_vec() } else { Vec::new() };
        text.extend((0..length).map(|_| alphabet[random.below(alphabet.len())]));
        std::fs::write(&path, &text).unwrap();
        for profile in [None, Some("workshop")] {
            if let Ok(mut input) = open(&path, profile, None, now()) {
                while let Ok(Some(batch)) = input.next_batch() {
                    assert_eq!(batch.rows, (batch.bars.len() + batch.refused.len()) as u64);
                }
            }
        }
    }
}
