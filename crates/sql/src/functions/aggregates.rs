//! Aggregates.

use std::fmt;
use std::hash::Hash;
use std::mem::size_of;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::compute::{SortOptions, cast, sort_to_indices};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Int64Type};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::functions_aggregate::any_value::any_value_udaf;
use datafusion::functions_aggregate::approx_percentile_cont::approx_percentile_cont_udaf;
use datafusion::functions_aggregate::bool_and_or::bool_and_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};

use super::kernel::trino_type;

/// Every aggregate of this file.
pub(super) fn all() -> Vec<AggregateUDF> {
    let alias = |function: Arc<AggregateUDF>, name| function.as_ref().clone().with_aliases([name]);
    vec![
        alias(any_value_udaf(), "arbitrary"),
        alias(approx_percentile_cont_udaf(), "approx_percentile"),
        alias(bool_and_udaf(), "every"),
        AggregateUDF::from(Aggregate::new(Which::CountIf)),
        AggregateUDF::from(Aggregate::new(Which::MaxBy)),
        AggregateUDF::from(Aggregate::new(Which::MinBy)),
        AggregateUDF::from(Aggregate::new(Which::GeometricMean)),
        AggregateUDF::from(Aggregate::new(Which::Skewness)),
        AggregateUDF::from(Aggregate::new(Which::Kurtosis)),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Which {
    CountIf,
    MaxBy,
    MinBy,
    GeometricMean,
    Skewness,
    Kurtosis,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Aggregate {
    which: Which,
    signature: Signature,
}

impl Aggregate {
    fn new(which: Which) -> Self {
        Self { which, signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl AggregateUDFImpl for Aggregate {
    fn name(&self) -> &str {
        match self.which {
            Which::CountIf => "count_if",
            Which::MaxBy => "max_by",
            Which::MinBy => "min_by",
            Which::GeometricMean => "geometric_mean",
            Which::Skewness => "skewness",
            Which::Kurtosis => "kurtosis",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let name = self.name();
        match (self.which, types) {
            (Which::CountIf, [DataType::Boolean | DataType::Null]) => Ok(vec![DataType::Boolean]),
            (Which::CountIf, [other]) => {
                plan_err!("{name}: the condition must be a boolean, not {}", trino_type(other))
            }
            (Which::MaxBy | Which::MinBy, [_, _]) => Ok(types.to_vec()),
            (Which::MaxBy | Which::MinBy, _) => {
                plan_err!("{name} takes 2 arguments, the value and what it is chosen by")
            }
            (_, [number]) if number.is_numeric() || number.is_null() => Ok(vec![DataType::Float64]),
            (_, [other]) => plan_err!("{name}: the argument must be a number, not {}", trino_type(other)),
            _ => plan_err!("{name} takes 1 argument, found {}", types.len()),
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match (self.which, types.first()) {
            (Which::CountIf, _) => Ok(DataType::Int64),
            (Which::MaxBy | Which::MinBy, Some(value)) => Ok(value.clone()),
            (Which::MaxBy | Which::MinBy, None) => plan_err!("{} takes 2 arguments", self.name()),
            _ => Ok(DataType::Float64),
        }
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(match self.which {
            Which::CountIf => Box::new(CountIf(0)),
            Which::MaxBy | Which::MinBy => {
                let null = |at: usize| match args.expr_fields.get(at) {
                    Some(field) => ScalarValue::try_from(field.data_type()),
                    None => plan_err!("{} takes 2 arguments", self.name()),
                };
                Box::new(By { largest: self.which == Which::MaxBy, value: null(0)?, key: null(1)? })
            }
            Which::GeometricMean | Which::Skewness | Which::Kurtosis => {
                Box::new(Moments { which: self.which, count: 0.0, mean: 0.0, m2: 0.0, m3: 0.0, m4: 0.0 })
            }
        })
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let field =
            |name: &str, data_type: DataType| Arc::new(Field::new(format_state_name(args.name, name), data_type, true));
        Ok(match self.which {
            Which::CountIf => vec![field("count", DataType::Int64)],
            Which::MaxBy | Which::MinBy => match args.input_fields {
                [value, key] => vec![field("value", value.data_type().clone()), field("key", key.data_type().clone())],
                _ => return plan_err!("{} takes 2 arguments", self.name()),
            },
            _ => ["count", "mean", "m2", "m3", "m4"].map(|name| field(name, DataType::Float64)).to_vec(),
        })
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        match self.which {
            Which::CountIf => Ok(ScalarValue::Int64(Some(0))),
            _ => ScalarValue::try_from(data_type),
        }
    }
}

#[derive(Debug)]
struct CountIf(i64);

impl CountIf {
    fn holds(values: &[ArrayRef]) -> i64 {
        let count = values.first().and_then(|array| array.as_boolean_opt()).map_or(0, |array| array.true_count());
        i64::try_from(count).unwrap_or(i64::MAX)
    }
}

impl Accumulator for CountIf {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0 += Self::holds(values);
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0 -= Self::holds(values);
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Int64(Some(self.0)))
    }

    fn size(&self) -> usize {
        size_of::<Self>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Int64(Some(self.0))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        if let Some(counts) = states.first().and_then(|array| array.as_primitive_opt::<Int64Type>()) {
            self.0 += counts.iter().flatten().sum::<i64>();
        }
        Ok(())
    }
}

/// The value of the row with the largest (smallest) key; of several such rows, the first that came.
#[derive(Debug)]
struct By {
    largest: bool,
    value: ScalarValue,
    key: ScalarValue,
}

impl Accumulator for By {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let [values, keys] = values else {
            return plan_err!("a value and a key are needed");
        };
        if keys.null_count() == keys.len() {
            return Ok(());
        }
        let order = SortOptions { descending: self.largest, nulls_first: false };
        // A full sort is stable enough only by value, so ties look for the first row below.
        let best = sort_to_indices(keys, Some(order), Some(1))?;
        let Some(row) = best.values().first() else {
            return Ok(());
        };
        let key = ScalarValue::try_from_array(keys, *row as usize)?;
        let better = match key.partial_cmp(&self.key) {
            _ if self.key.is_null() => true,
            Some(order) if self.largest => order.is_gt(),
            Some(order) => order.is_lt(),
            None => false,
        };
        if better {
            let first = first_equal(keys, &key)?.unwrap_or(*row as usize);
            self.value = ScalarValue::try_from_array(values, first)?;
            self.key = key;
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(self.value.clone())
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.value.size() + self.key.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.value.clone(), self.key.clone()])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }
}

fn first_equal(keys: &ArrayRef, key: &ScalarValue) -> Result<Option<usize>> {
    use datafusion::arrow::compute::kernels::cmp::eq;
    let equal = match eq(keys, &key.to_scalar()?) {
        Ok(equal) => equal,
        // Keys without an equality kernel keep the row the sort found.
        Err(_) => return Ok(None),
    };
    Ok(equal.iter().position(|same| same == Some(true)))
}

/// Central moments that can be added up (Pébay 2008); of logarithms for the geometric mean.
struct Moments {
    which: Which,
    count: f64,
    mean: f64,
    m2: f64,
    m3: f64,
    m4: f64,
}

impl fmt::Debug for Moments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Moments").field("which", &self.which).field("count", &self.count).finish()
    }
}

impl Moments {
    fn merge(&mut self, count: f64, mean: f64, m2: f64, m3: f64, m4: f64) {
        if count == 0.0 {
            return;
        }
        let (na, nb) = (self.count, count);
        let n = na + nb;
        let delta = mean - self.mean;
        let (a2, a3) = (self.m2, self.m3);
        self.m4 += m4
            + delta.powi(4) * na * nb * (na * na - na * nb + nb * nb) / n.powi(3)
            + 6.0 * delta * delta * (na * na * m2 + nb * nb * a2) / (n * n)
            + 4.0 * delta * (na * m3 - nb * a3) / n;
        self.m3 += m3 + delta.powi(3) * na * nb * (na - nb) / (n * n) + 3.0 * delta * (na * m2 - nb * a2) / n;
        self.m2 += m2 + delta * delta * na * nb / n;
        self.mean += delta * nb / n;
        self.count = n;
    }

    /// Trino's definitions: skewness of the population, kurtosis of the sample in excess of 3.
    fn value(&self) -> Option<f64> {
        let n = self.count;
        match self.which {
            Which::GeometricMean => (n > 0.0).then(|| self.mean.exp()),
            Which::Skewness => (n >= 3.0).then(|| n.sqrt() * self.m3 / self.m2.powf(1.5)),
            _ => (n >= 4.0).then(|| {
                let variance = self.m2 / (n - 1.0);
                let scale = n * (n + 1.0) / ((n - 1.0) * (n - 2.0) * (n - 3.0));
                scale * self.m4 / (variance * variance) - 3.0 * (n - 1.0) * (n - 1.0) / ((n - 2.0) * (n - 3.0))
            }),
        }
    }
}

impl Accumulator for Moments {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let Some(values) = values.first() else {
            return Ok(());
        };
        let values = cast(values, &DataType::Float64)?;
        for value in values.as_primitive::<Float64Type>().iter().flatten() {
            let value = if self.which == Which::GeometricMean { value.ln() } else { value };
            self.merge(1.0, value, 0.0, 0.0, 0.0);
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Float64(self.value()))
    }

    fn size(&self) -> usize {
        size_of::<Self>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok([self.count, self.mean, self.m2, self.m3, self.m4].map(|part| ScalarValue::Float64(Some(part))).to_vec())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let columns: Vec<_> = states.iter().filter_map(|array| array.as_primitive_opt::<Float64Type>()).collect();
        let [count, mean, m2, m3, m4] = columns.as_slice() else {
            return plan_err!("a partial result has the wrong shape");
        };
        for row in 0..count.len() {
            self.merge(count.value(row), mean.value(row), m2.value(row), m3.value(row), m4.value(row));
        }
        Ok(())
    }
}
