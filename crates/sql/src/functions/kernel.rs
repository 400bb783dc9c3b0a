//! What every function here is made of: a name, a rule for its arguments, a kernel over whole arrays.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, StringArray};
use datafusion::arrow::datatypes::{DataType, Date32Type, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_datafusion_err, plan_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

type Coerce = dyn Fn(&[DataType]) -> Result<Vec<DataType>> + Send + Sync;
type Returns = dyn Fn(&[DataType]) -> Result<DataType> + Send + Sync;
type Kernel = dyn Fn(&[ArrayRef], usize) -> Result<ArrayRef> + Send + Sync;

/// A function over arrays. Two with the same name are the same function.
struct Scalar {
    name: &'static str,
    aliases: Vec<String>,
    signature: Signature,
    coerce: Box<Coerce>,
    returns: Box<Returns>,
    kernel: Box<Kernel>,
}

impl fmt::Debug for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scalar").field("name", &self.name).finish_non_exhaustive()
    }
}

impl PartialEq for Scalar {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Scalar {}

impl Hash for Scalar {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Scalar {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        (self.coerce)(types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        (self.returns)(types)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let arrays = args.args.iter().map(|arg| arg.to_array(rows)).collect::<Result<Vec<_>>>()?;
        let result = (self.kernel)(&arrays, rows)?;
        if constant {
            return ScalarValue::try_from_array(&result, 0).map(ColumnarValue::Scalar);
        }
        Ok(ColumnarValue::Array(result))
    }
}

/// Makes a function whose arguments are converted by `coerce` before `kernel` sees them.
pub(super) fn function(
    name: &'static str,
    aliases: &[&str],
    coerce: impl Fn(&[DataType]) -> Result<Vec<DataType>> + Send + Sync + 'static,
    returns: impl Fn(&[DataType]) -> Result<DataType> + Send + Sync + 'static,
    kernel: impl Fn(&[ArrayRef], usize) -> Result<ArrayRef> + Send + Sync + 'static,
) -> ScalarUDF {
    ScalarUDF::from(Scalar {
        name,
        aliases: aliases.iter().map(|&alias| alias.to_owned()).collect(),
        signature: Signature::user_defined(Volatility::Immutable),
        coerce: Box::new(coerce),
        returns: Box::new(returns),
        kernel: Box::new(kernel),
    })
}

/// Makes a function of no arguments.
pub(super) fn constant(name: &'static str, value: f64) -> ScalarUDF {
    ScalarUDF::from(Scalar {
        name,
        aliases: vec![],
        signature: Signature::nullary(Volatility::Immutable),
        coerce: Box::new(|_| Ok(vec![])),
        returns: Box::new(|_| Ok(DataType::Float64)),
        kernel: Box::new(move |_, rows| Ok(Arc::new(Float64Array::from(vec![value; rows])))),
    })
}

/// What an argument may be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `varchar`
    Text,
    /// `date` or `timestamp`, each left as it is
    Time,
    /// `bigint`
    Integer,
    /// `double`
    Double,
}

/// A rule for arguments of fixed kinds, of which the last `optional` may be absent.
pub(super) fn takes(
    name: &'static str,
    kinds: &'static [Kind],
    optional: usize,
) -> impl Fn(&[DataType]) -> Result<Vec<DataType>> + Send + Sync + 'static {
    move |types| {
        let least = kinds.len() - optional;
        if types.len() < least || types.len() > kinds.len() {
            let wanted = if optional == 0 { least.to_string() } else { format!("{least} to {}", kinds.len()) };
            return plan_err!("{name} takes {wanted} arguments, found {}", types.len());
        }
        types.iter().zip(kinds).enumerate().map(|(at, (found, kind))| convert(name, at, found, *kind)).collect()
    }
}

fn convert(name: &str, at: usize, found: &DataType, kind: Kind) -> Result<DataType> {
    let number = found.is_numeric();
    let null = *found == DataType::Null;
    let converted = match kind {
        Kind::Text if null || is_text(found) => Some(DataType::Utf8),
        Kind::Integer if null || found.is_integer() => Some(DataType::Int64),
        Kind::Double if null || number => Some(DataType::Float64),
        Kind::Time if null => Some(timestamp()),
        Kind::Time => match found {
            DataType::Date32 | DataType::Date64 => Some(DataType::Date32),
            DataType::Timestamp(_, None) => Some(timestamp()),
            DataType::Timestamp(_, Some(_)) => Some(timestamp_utc()),
            _ => None,
        },
        _ => None,
    };
    let Some(converted) = converted else {
        let wanted = match kind {
            Kind::Text => "a varchar",
            Kind::Integer => "a bigint",
            Kind::Double => "a number",
            Kind::Time => "a date or timestamp",
        };
        let hint = match kind {
            Kind::Time if is_text(found) => "; convert the text first, for example with from_iso8601_date",
            _ => "",
        };
        return plan_err!("{name}: argument {} must be {wanted}, not {}{hint}", at + 1, trino_type(found));
    };
    Ok(converted)
}

/// `timestamp`: microseconds, no zone.
pub(super) fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, None)
}

/// `timestamp with time zone`: microseconds, always UTC.
pub(super) fn timestamp_utc() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()))
}

pub(super) fn is_text(found: &DataType) -> bool {
    matches!(found, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// The name Trino has for a type.
pub fn trino_type(found: &DataType) -> String {
    match found {
        DataType::Null => "unknown".to_owned(),
        DataType::Boolean => "boolean".to_owned(),
        DataType::Int8 => "tinyint".to_owned(),
        DataType::Int16 | DataType::UInt8 => "smallint".to_owned(),
        DataType::Int32 | DataType::UInt16 => "integer".to_owned(),
        DataType::Int64 | DataType::UInt32 | DataType::UInt64 => "bigint".to_owned(),
        DataType::Float16 | DataType::Float32 => "real".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Decimal128(p, s) | DataType::Decimal256(p, s) => format!("decimal({p},{s})"),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "varchar".to_owned(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "varbinary".to_owned(),
        DataType::Date32 | DataType::Date64 => "date".to_owned(),
        DataType::Time32(_) | DataType::Time64(_) => "time".to_owned(),
        DataType::Timestamp(unit, zone) => {
            let digits = match unit {
                TimeUnit::Second => 0,
                TimeUnit::Millisecond => 3,
                TimeUnit::Microsecond => 6,
                TimeUnit::Nanosecond => 9,
            };
            let zone = if zone.is_some() { " with time zone" } else { "" };
            format!("timestamp({digits}){zone}")
        }
        DataType::Interval(_) | DataType::Duration(_) => "interval".to_owned(),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            format!("array({})", trino_type(item.data_type()))
        }
        DataType::Struct(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|field| format!("{} {}", field.name(), trino_type(field.data_type()))).collect();
            format!("row({})", fields.join(", "))
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 => {
                format!("map({}, {})", trino_type(fields[0].data_type()), trino_type(fields[1].data_type()))
            }
            _ => "map".to_owned(),
        },
        DataType::Dictionary(_, value) => trino_type(value),
        other => other.to_string().to_lowercase(),
    }
}

/// Fixed result type.
pub(super) fn gives(data_type: DataType) -> impl Fn(&[DataType]) -> Result<DataType> + Send + Sync + 'static {
    move |_| Ok(data_type.clone())
}

/// The error of a value that a function cannot use.
pub(super) fn refuse(text: String) -> DataFusionError {
    exec_datafusion_err!("{text}")
}

/// The texts of an argument.
pub(super) fn texts(array: &ArrayRef) -> Result<&StringArray> {
    array
        .as_string_opt::<i32>()
        .ok_or_else(|| refuse(format!("expected varchar, found {}", trino_type(array.data_type()))))
}

/// The integers of an argument.
pub(super) fn integers(array: &ArrayRef) -> Result<&Int64Array> {
    array
        .as_primitive_opt::<Int64Type>()
        .ok_or_else(|| refuse(format!("expected bigint, found {}", trino_type(array.data_type()))))
}

/// The doubles of an argument.
pub(super) fn doubles(array: &ArrayRef) -> Result<&Float64Array> {
    array
        .as_primitive_opt::<Float64Type>()
        .ok_or_else(|| refuse(format!("expected double, found {}", trino_type(array.data_type()))))
}

/// The moment of one row of a [`Kind::Time`] argument; a date is its midnight.
pub(super) fn time_at(array: &ArrayRef, row: usize) -> Result<Option<NaiveDateTime>> {
    if array.is_null(row) {
        return Ok(None);
    }
    let found = if let Some(days) = array.as_primitive_opt::<Date32Type>() {
        date_of(days.value(row)).map(|date| date.and_time(NaiveTime::MIN))
    } else if let Some(micros) = array.as_primitive_opt::<TimestampMicrosecondType>() {
        DateTime::from_timestamp_micros(micros.value(row)).map(|moment| moment.naive_utc())
    } else {
        None
    };
    found.map(Some).ok_or_else(|| refuse("a date or timestamp lies outside the calendar".to_owned()))
}

fn date_of(days: i32) -> Option<NaiveDate> {
    DateTime::from_timestamp(i64::from(days) * 86_400, 0).map(|moment| moment.date_naive())
}

/// Days since 1970, the stored form of a date.
pub(super) fn days(date: NaiveDate) -> Result<i32> {
    let days = date.signed_duration_since(NaiveDate::default()).num_days();
    i32::try_from(days).map_err(|_| refuse(format!("{date} lies outside the calendar")))
}

/// A column of dates or timestamps of the wanted type.
pub(super) fn time_array(
    data_type: &DataType,
    values: impl Iterator<Item = Result<Option<NaiveDateTime>>>,
) -> Result<ArrayRef> {
    use datafusion::arrow::array::{Date32Array, TimestampMicrosecondArray};
    if *data_type == DataType::Date32 {
        let array: Date32Array =
            values.map(|value| value?.map(|time| days(time.date())).transpose()).collect::<Result<_>>()?;
        return Ok(Arc::new(array));
    }
    let array: TimestampMicrosecondArray =
        values.map(|value| Ok(value?.map(|time| time.and_utc().timestamp_micros()))).collect::<Result<_>>()?;
    Ok(Arc::new(array.with_data_type(data_type.clone())))
}
