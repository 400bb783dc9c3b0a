//! Numbers.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, BooleanArray, Float64Array, Int64Array};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::compute::nullif;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::functions::core::{greatest, least};
use datafusion::functions::math::{ceil, isnan, signum, trunc};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature};

use super::kernel::{Kind, constant, doubles, function, gives, integers, refuse, takes};

/// Every function of this file.
pub(super) fn all() -> Vec<ScalarUDF> {
    let alias = |function: Arc<ScalarUDF>, name| function.as_ref().clone().with_aliases([name]);
    vec![
        constant("nan", f64::NAN),
        constant("infinity", f64::INFINITY),
        constant("e", std::f64::consts::E),
        alias(ceil(), "ceiling"),
        alias(signum(), "sign"),
        alias(trunc(), "truncate"),
        alias(isnan(), "is_nan"),
        test("is_finite", f64::is_finite),
        test("is_infinite", f64::is_infinite),
        real("sqrt", f64::sqrt),
        real("ln", f64::ln),
        real("log2", f64::log2),
        real("log10", f64::log10),
        power(),
        width_bucket(),
        ScalarUDF::from(NullWins::new("greatest", &greatest())),
        ScalarUDF::from(NullWins::new("least", &least())),
    ]
}

fn test(name: &'static str, holds: fn(f64) -> bool) -> ScalarUDF {
    function(name, &[], takes(name, &[Kind::Double], 0), gives(DataType::Boolean), move |args, _| {
        let values: BooleanArray = doubles(&args[0])?.iter().map(|value| value.map(holds)).collect();
        Ok(Arc::new(values))
    })
}

/// NaN or an infinity outside the domain, where the engine's own is an error.
fn real(name: &'static str, compute: fn(f64) -> f64) -> ScalarUDF {
    function(name, &[], takes(name, &[Kind::Double], 0), gives(DataType::Float64), move |args, _| {
        let values: Float64Array = doubles(&args[0])?.unary(compute);
        Ok(Arc::new(values))
    })
}

/// Always of doubles: the engine's own is of integers where both are, and then overflows.
fn power() -> ScalarUDF {
    let name = "power";
    function(name, &["pow"], takes(name, &[Kind::Double, Kind::Double], 0), gives(DataType::Float64), |args, _| {
        let (bases, exponents) = (doubles(&args[0])?, doubles(&args[1])?);
        let powers: Float64Array =
            bases.iter().zip(exponents).map(|(base, exponent)| Some(base?.powf(exponent?))).collect();
        Ok(Arc::new(powers))
    })
}

fn width_bucket() -> ScalarUDF {
    let name = "width_bucket";
    let kinds = &[Kind::Double, Kind::Double, Kind::Double, Kind::Integer];
    function(name, &[], takes(name, kinds, 0), gives(DataType::Int64), |args, rows| {
        let (values, lows, highs) = (doubles(&args[0])?, doubles(&args[1])?, doubles(&args[2])?);
        let counts = integers(&args[3])?;
        let buckets: Int64Array = (0..rows)
            .map(|row| {
                if args.iter().any(|arg| arg.is_null(row)) {
                    return Ok(None);
                }
                bucket(values.value(row), lows.value(row), highs.value(row), counts.value(row)).map(Some)
            })
            .collect::<Result<_>>()?;
        Ok(Arc::new(buckets))
    })
}

/// 1 to `count` inside the bounds, 0 and `count + 1` outside; bounds may run downwards.
fn bucket(value: f64, low: f64, high: f64, count: i64) -> Result<i64> {
    if value.is_nan() || !low.is_finite() || !high.is_finite() || low == high || count <= 0 || count == i64::MAX {
        return Err(refuse(format!("width_bucket: cannot put {value} into {count} buckets from {low} to {high}")));
    }
    let share = (value - low) / (high - low);
    if share < 0.0 {
        return Ok(0);
    }
    if share >= 1.0 {
        return Ok(count + 1);
    }
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "0 <= share < 1")]
    let bucket = ((share * count as f64) as i64).saturating_add(1).min(count);
    Ok(bucket)
}

/// `greatest` and `least` of Trino are null when any argument is; the engine's pass over nulls.
#[derive(Debug, PartialEq, Eq, Hash)]
struct NullWins {
    name: &'static str,
    inner: Arc<ScalarUDF>,
}

impl NullWins {
    fn new(name: &'static str, inner: &Arc<ScalarUDF>) -> Self {
        Self { name, inner: Arc::clone(inner) }
    }
}

impl ScalarUDFImpl for NullWins {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let arrays = args.args.iter().map(|arg| arg.to_array(rows)).collect::<Result<Vec<_>>>()?;
        let result = self.inner.invoke_with_args(args)?.into_array(rows)?;
        let valid = arrays
            .iter()
            .map(|array| array.logical_nulls())
            .fold(None, |all, one| NullBuffer::union(all.as_ref(), one.as_ref()));
        let result: ArrayRef = match valid {
            Some(valid) => nullif(&result, &BooleanArray::new(!valid.inner(), None))?,
            None => result,
        };
        Ok(ColumnarValue::Array(result))
    }
}
