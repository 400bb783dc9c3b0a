//! A curve in the terminal.

/// A curve in one line of the terminal, at most `width` characters wide.
#[must_use]
pub fn sparkline(values: &[f64], width: usize) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let shown: Vec<f64> = match values.len() {
        0 => return String::new(),
        count if count <= width => values.to_vec(),
        count => (0..width).map(|at| values[at * (count - 1) / (width - 1).max(1)]).collect(),
    };
    let low = shown.iter().copied().fold(f64::INFINITY, f64::min);
    let range = shown.iter().copied().fold(f64::NEG_INFINITY, f64::max) - low;
    let bar = |value: &f64| {
        let share = if range > 0.0 { (value - low) / range } else { 0.0 };
        BARS[((share * 7.0).round() as usize).min(7)]
    };
    shown.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_fits_its_line() {
        assert_eq!(sparkline(&[], 5), "");
        assert_eq!(sparkline(&[1.0, 1.0], 5), "▁▁");
        assert_eq!(sparkline(&[0.0, 7.0, 3.0], 5), "▁█▄");
        assert_eq!(sparkline(&(0..1_000).map(f64::from).collect::<Vec<_>>(), 8), "▁▂▃▄▅▆▇█");
    }
}
