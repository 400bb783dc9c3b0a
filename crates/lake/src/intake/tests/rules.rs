//! Each contract a row can break, and each oddity that breaks none.

use super::*;

const HEADER: &str = "dt,sym,open,high,low,close,vol\n";

/// What one row of the workshop's layout gives.
fn row(row: &str) -> String {
    let mut lines = read("x.csv", format!("{HEADER}{row}\n"));
    assert_eq!(lines.len(), 1, "{row}");
    lines.remove(0)
}

#[test]
fn a_broken_contract_is_named_with_what_broke_it() {
    for (text, wanted) in [
        ("2013-03-02,A,1,2,1,1,5", "off_session: 2013-03-02"),
        ("2001-09-11,A,1,2,1,1,5", "off_session: 2001-09-11"),
        ("1989-12-29,A,1,2,1,1,5", "outside_calendar: 1989-12-29"),
        ("2024-06-03,A,1,2,1,1,5", "future_date: 2024-06-03"),
        ("2050-01-03,A,1,2,1,1,5", "future_date: 2050-01-03"),
        ("2013-03-01,A,3,2,1,1,5", "high_low: high 2 below open 3"),
        ("2013-03-01,A,1,2,1,2.5,5", "high_low: high 2 below close 2.5"),
        ("2013-03-01,A,1,2,1.5,2,5", "high_low: low 1.5 above open 1"),
        ("2013-03-01,A,2,2,1.5,1,5", "high_low: low 1.5 above close 1"),
        ("2013-03-01,A,0,2,1,1,5", "non_positive_price: open 0"),
        ("2013-03-01,A,1,2,-1,1,5", "non_positive_price: low -1"),
        ("2013-03-01,A,1,2,0.0000000001,1,5", "non_positive_price: low 0"),
        ("01/03/2013,A,1,2,1,1,5", "unreadable_date: 01/03/2013"),
        ("2013-02-29,A,1,2,1,1,5", "unreadable_date: 2013-02-29"),
        ("2013-3-1,A,1,2,1,1,5", "unreadable_date: 2013-3-1"),
        (",A,1,2,1,1,5", "unreadable_date: "),
        ("2013-03-01,A,1,two,1,1,5", "unreadable_price: high two"),
        ("2013-03-01,A,1,inf,1,1,5", "unreadable_price: high inf"),
        ("2013-03-01,A,1,99999999999.5,1,1,5", "unreadable_price: high 99999999999.5"),
        ("2013-03-01,A,1,1.2.3,1,1,5", "unreadable_price: high 1.2.3"),
        ("2013-03-01,A,1,2,1,1,many", "unreadable_volume: vol many"),
        ("2013-03-01,A,1,2,1,1,5.5", "unreadable_volume: vol 5.5"),
        ("2013-03-01,A,1,2,1,1,99999999999999999999", "unreadable_volume: vol 99999999999999999999"),
        ("2013-03-01,A,1,2,1,1,-5", "negative_volume: -5"),
        ("2013-03-01,A,1,2,,1,5", "null_value: low is empty"),
        ("2013-03-01,A,1,2,1,NaN,5", "null_value: close NaN"),
        ("2013-03-01,A,1,2,1,1,", "null_value: vol is empty"),
        ("2013-03-01,,1,2,1,1,5", "bad_symbol: "),
        ("2013-03-01,A B,1,2,1,1,5", "bad_symbol: A B"),
        ("2013-03-01,A,1,2,1,1", "wrong_field_count: 6 instead of 7"),
        ("2013-03-01,A,1,2,1,1,5,", "wrong_field_count: 8 instead of 7"),
        ("2013-03-01,A,1,000,2,1,1,5", "wrong_field_count: 8 instead of 7"),
        ("2013-03-01,\"A,1,2,1,1,5", "unreadable_row: unbalanced quotes"),
        ("2013-03-01,A\"B,1,2,1,1,5", "unreadable_row: unbalanced quotes"),
        ("2013-03-01,\"A\"B,1,2,1,1,5", "unreadable_row: unbalanced quotes"),
        ("2013-03-01,A\x01,1,2,1,1,5", "unreadable_row: a control character"),
        ("<html><body>Too many requests</body></html>", "wrong_field_count: 1 instead of 7"),
    ] {
        assert_eq!(row(text), format!("line 2 {wanted}"), "{text:?}");
    }
}

#[test]
fn actions_have_contracts_too() {
    let header = "timestamp,open,high,low,close,adjusted_close,volume,dividend_amount,split_coefficient\n";
    for (actions, wanted) in [
        ("-0.5,1.0", "line 2 bad_dividend: -0.5"),
        ("much,1.0", "line 2 bad_dividend: dividend_amount much"),
        ("0.0,0.0", "line 2 bad_split: 0"),
        ("0.0,-2", "line 2 bad_split: -2"),
        ("0.0,2:1", "line 2 bad_split: split_coefficient 2:1"),
        ("null,", "FB 2013-03-01 1 2 1 1 5"),
    ] {
        let text = format!("{header}2013-03-01,1,2,1,1,1,5,{actions}\n");
        assert_eq!(read("daily_adjusted_FB.csv", text), [wanted], "{actions}");
    }
}

#[test]
fn not_utf_8_and_endless_rows_are_refused_and_the_rest_goes_on() {
    let mut text = HEADER.as_bytes().to_vec();
    text.extend_from_slice(b"2013-03-01,\xff\xfe,1,2,1,1,5\n2013-03-01,A,1,2,1,1,5\n");
    for length in [70_000, 200_000, 5_000_000] {
        text.extend(std::iter::repeat_n(b'7', length));
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(b"2013-03-04,A,1,2,1,1,5");
    let (_folder, path) = file("x.csv", &text);
    for block in [100, 1_000, 100_000, 2 << 20, 16 << 20] {
        let effort = Effort { block, threads: 2, patient: false };
        assert_eq!(
            rows(&mut open_with(&path, None, None, now(), effort).unwrap()),
            [
                "line 2 unreadable_row: not UTF-8",
                "A 2013-03-01 1 2 1 1 5",
                "line 4 too_long: 70000 bytes",
                "line 5 too_long: 200000 bytes",
                "line 6 too_long: 5000000 bytes",
                "A 2013-03-04 1 2 1 1 5"
            ],
            "blocks of {block}"
        );
    }
}

#[test]
fn a_session_counts_once_it_has_ended() {
    let (_folder, path) = file("x.csv", format!("{HEADER}2013-03-01,A,1,2,1,1,5\n"));
    let at = |now: &str| rows(&mut open(&path, None, None, Timestamp::parse(now).unwrap()).unwrap()).remove(0);
    assert_eq!(at("2013-03-01T20:59:59Z"), "line 2 future_date: 2013-03-01");
    assert_eq!(at("2013-03-01T21:00:00Z"), "A 2013-03-01 1 2 1 1 5");
}

#[test]
fn oddities_that_mean_the_same_read_the_same() {
    let wanted = "A 2013-03-01 1000.5 2000 0.25 1 5";
    for text in [
        "2013-03-01,A,1000.5,2000,0.25,1,5",
        "2013-03-01,a,1000.50,2e3,.25,1.,5.0",
        " 2013-03-01 , A ,+1000.5, 2E+3,2.5e-1 ,01,5e0",
        "\"2013-03-01\",\"A\",\"1000.5\",\"2000\",\"0.25\",\"1\",\"5\"",
        "\"2013-03-01\" , \" A\",1000.5,2000,0.25,1,5\r",
        "2013-03-01,A,1000.500000000000000000000001,2000.0000000000,0.25,1,5.000",
    ] {
        assert_eq!(row(text), wanted, "{text:?}");
    }
}

#[test]
fn lines_count_from_the_header_with_blank_ones() {
    let text =
        "\u{feff}\n\"dt\", SYM ,Open,HIGH,low,close,vol\r\n\r\n  \n2013-03-02,A,1,2,1,1,5\r\n\n2013-03-01,A,1,2,1,1,5";
    assert_eq!(read("x.csv", text), ["line 5 off_session: 2013-03-02", "A 2013-03-01 1 2 1 1 5"]);
}

#[test]
fn a_place_leads_back_to_the_text() {
    let text = format!("{HEADER}2013-03-01,A,1,2,1,1,5\r\nrubbish\r\n\n2013-03-02,A,1,2,1,1,5");
    let (_folder, path) = file("x.csv", &text);
    let batch = open(&path, None, None, now()).unwrap().next_batch().unwrap().unwrap();
    let at = |place: crate::row::Place| &text[place.offset as usize..][..place.length as usize];
    assert_eq!(at(batch.bars[0].place), "2013-03-01,A,1,2,1,1,5");
    assert_eq!(
        batch.refused.iter().map(|row| at(row.place)).collect::<Vec<_>>(),
        ["rubbish", "2013-03-02,A,1,2,1,1,5"]
    );
}

#[test]
fn the_workshops_weekends_filled_forward_are_refused() {
    // As in the workshop's public file: every calendar day, a weekend repeating its Friday.
    let mut text = String::from(HEADER);
    for day in 1..=31 {
        text.push_str(&format!("2013-03-{day:02},FB,27.05,28.1164,26.81,27.78,54064800\n"));
    }
    let lines = read("hist.csv", text);
    let refused: Vec<_> = lines.iter().filter(|line| line.contains("off_session")).collect();
    assert_eq!((lines.len(), refused.len()), (31, 11), "ten days of weekends and Good Friday");
    assert!(refused.iter().any(|line| line.ends_with("2013-03-29")));
}

#[test]
fn two_spellings_of_a_symbol_are_one() {
    let text = format!("{HEADER}2013-03-01,brk.b,1,2,1,1,5\n2013-03-04,BRK.B,1,2,1,1,5\n");
    let (_folder, path) = file("x.csv", text);
    let batch = open(&path, None, None, now()).unwrap().next_batch().unwrap().unwrap();
    assert_eq!(batch.symbols.len(), 1);
}

#[test]
fn the_hash_is_that_of_the_file_as_it_lies_there() {
    // The SHA-256 of this text as `sha256sum` prints it.
    let text = format!("{HEADER}2013-03-01,A,1,2,1,1,5\n");
    let (_folder, path) = file("x.csv", &text);
    let mut hashes = Vec::new();
    for (block, threads) in [(1, 1), (7, 3), (1 << 20, 2)] {
        let mut input = open_with(&path, None, None, now(), Effort { block, threads, patient: false }).unwrap();
        assert!(input.received().is_none());
        while input.next_batch().unwrap().is_some() {}
        hashes.push(input.received().unwrap().sha256());
    }
    let wanted = "5ad7ecbfc380711205a9d160b9400d739119fed6593b546e5e83f8e66de380c1";
    assert_eq!(hashes, [wanted; 3]);
}
