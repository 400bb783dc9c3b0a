//! Figures in CloudWatch.

use aws_config::SdkConfig;
use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::types::{Dimension, MetricDatum, StandardUnit};
use ports::figures::{Figure, Figures, Unit};
use ports::{Answer, Kind};

use crate::calls::Calls;

/// Figures in a namespace.
#[derive(Debug, Clone)]
pub struct CloudWatch {
    client: Client,
    calls: Calls,
    namespace: String,
}

/// The most figures that the service takes at once.
const AT_ONCE: usize = 1000;

impl CloudWatch {
    pub(crate) fn new(config: &SdkConfig, calls: Calls, namespace: &str) -> Self {
        Self { client: Client::new(config), calls, namespace: namespace.into() }
    }
}

fn datum(figure: &Figure) -> MetricDatum {
    let unit = match figure.unit {
        Unit::Count => StandardUnit::Count,
        Unit::None => StandardUnit::None,
        Unit::Percent => StandardUnit::Percent,
        Unit::Bytes => StandardUnit::Bytes,
        Unit::Milliseconds => StandardUnit::Milliseconds,
    };
    let dimensions =
        figure.dimensions.iter().map(|(name, value)| Dimension::builder().name(*name).value(value).build());
    MetricDatum::builder()
        .metric_name(figure.name)
        .value(figure.value)
        .unit(unit)
        .set_dimensions(Some(dimensions.collect()))
        .build()
}

impl Figures for CloudWatch {
    /// All are looked at before the first is sent.
    fn put(&self, figures: &[Figure]) -> Answer<()> {
        let call = "PutMetricData";
        if let Some(bad) = figures.iter().find(|figure| !figure.value.is_finite()) {
            let message = format!("{} is {}, which is no figure", bad.name, bad.value);
            return Err(self.calls.error(call, &self.namespace, Kind::Invalid, message));
        }
        for some in figures.chunks(AT_ONCE) {
            let request = self
                .client
                .put_metric_data()
                .namespace(&self.namespace)
                .set_metric_data(Some(some.iter().map(datum).collect()));
            self.calls.ask(call, &self.namespace, request.send())?;
        }
        Ok(())
    }
}
