use ports::Kind;
use ports::figures::{Figure, Figures, Unit};

use crate::common::{Said, Wire, said};

fn accepted() -> Said {
    said(200, [0xa0]).with("smithy-protocol", "rpc-v2-cbor").with("content-type", "application/cbor")
}

fn figure(value: f64) -> Figure {
    Figure { name: "drawdown", value, unit: Unit::Percent, dimensions: vec![("strategy", "sma".into())] }
}

#[test]
fn a_figure_is_published_with_what_it_belongs_to() {
    let wire = Wire::new([accepted()]);
    wire.aws.figures("algotrading").put(&[figure(12.5)]).unwrap();
    let sent = &wire.sent()[0];
    assert!(sent.uri.contains("PutMetricData") && sent.method == "POST", "{sent:?}");
    for word in ["algotrading", "drawdown", "Percent", "strategy", "sma"] {
        assert!(sent.body.contains(word), "{word}: {sent:?}");
    }
}

#[test]
fn many_figures_go_in_several_requests() {
    let wire = Wire::new([accepted(), accepted(), accepted()]);
    wire.aws.figures("algotrading").put(&vec![figure(1.0); 2001]).unwrap();
    assert_eq!(wire.sent().len(), 3);
    let wire = Wire::new([]);
    wire.aws.figures("algotrading").put(&[]).unwrap();
}

#[test]
fn what_is_no_number_is_refused_before_anything_is_sent() {
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let wire = Wire::new([]);
        let mut figures = vec![figure(1.0); 1500];
        figures.push(figure(bad));
        let error = wire.aws.figures("algotrading").put(&figures).unwrap_err();
        assert_eq!(error.kind, Kind::Invalid);
        assert!(error.message.contains("drawdown"), "{error}");
        assert!(wire.sent().is_empty());
    }
}
