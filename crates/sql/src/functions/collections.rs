//! Arrays and maps.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array, UInt32Array};
use datafusion::arrow::compute::{cast, take};
use datafusion::arrow::datatypes::{DataType, Field, Int64Type};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::functions_nested::range::gen_series_udf;
use datafusion::logical_expr::ScalarUDF;

use super::kernel::{function, gives, refuse, trino_type};

/// Every function of this file.
pub(super) fn all() -> Vec<ScalarUDF> {
    vec![cardinality(), element_at(), gen_series_udf().as_ref().clone().with_aliases(["sequence"])]
}

/// Lists of any layout become plain lists; a map stays a map.
fn plain(name: &str, found: &DataType) -> Result<DataType> {
    match found {
        DataType::List(_) | DataType::Map(..) => Ok(found.clone()),
        DataType::LargeList(item) | DataType::FixedSizeList(item, _) => Ok(DataType::List(Arc::clone(item))),
        DataType::Null => Ok(DataType::List(Arc::new(Field::new_list_field(DataType::Null, true)))),
        other => plan_err!("{name}: argument 1 must be an array or a map, not {}", trino_type(other)),
    }
}

fn cardinality() -> ScalarUDF {
    function(
        "cardinality",
        &[],
        |types| match types {
            [one] => Ok(vec![plain("cardinality", one)?]),
            _ => plan_err!("cardinality takes 1 argument, found {}", types.len()),
        },
        gives(DataType::Int64),
        |args, rows| {
            let lengths: Int64Array = (0..rows)
                .map(|row| {
                    let (start, end) = bounds(&args[0], row)?;
                    i64::try_from(end - start).ok()
                })
                .collect();
            Ok(Arc::new(lengths))
        },
    )
}

/// Where the items of one row lie, or nothing for a null.
fn bounds(array: &ArrayRef, row: usize) -> Option<(usize, usize)> {
    if array.is_null(row) {
        return None;
    }
    let offsets = match array.as_map_opt() {
        Some(map) => map.offsets(),
        None => array.as_list_opt::<i32>()?.offsets(),
    };
    let at = |index: usize| offsets.get(index).and_then(|offset| usize::try_from(*offset).ok());
    at(row).zip(at(row + 1))
}

fn element_at() -> ScalarUDF {
    let name = "element_at";
    function(
        name,
        &[],
        move |types| match types {
            [collection, key] => {
                let collection = plain(name, collection)?;
                let key = match &collection {
                    DataType::Map(entries, _) => key_type(entries).unwrap_or_else(|| key.clone()),
                    _ if key.is_integer() || key.is_null() => DataType::Int64,
                    _ => {
                        return plan_err!("{name}: the index of an array must be a bigint, not {}", trino_type(key));
                    }
                };
                Ok(vec![collection, key])
            }
            _ => plan_err!("{name} takes 2 arguments, found {}", types.len()),
        },
        |types| match types.first() {
            Some(DataType::List(item)) => Ok(item.data_type().clone()),
            Some(DataType::Map(entries, _)) => match entries.data_type() {
                DataType::Struct(fields) if fields.len() == 2 => Ok(fields[1].data_type().clone()),
                _ => plan_err!("element_at: a map without values"),
            },
            _ => plan_err!("element_at takes an array or a map"),
        },
        |args, rows| match args[0].as_map_opt() {
            Some(map) => {
                let places = (0..rows)
                    .map(|row| {
                        let Some((start, end)) = bounds(&args[0], row) else {
                            return Ok(None);
                        };
                        let wanted = ScalarValue::try_from_array(&args[1], row)?;
                        for at in start..end {
                            if ScalarValue::try_from_array(map.keys(), at)? == wanted {
                                return place(at);
                            }
                        }
                        Ok(None)
                    })
                    .collect::<Result<UInt32Array>>()?;
                Ok(take(map.values(), &places, None)?)
            }
            None => from_list(&args[0], &args[1], rows),
        },
    )
}

fn key_type(entries: &Field) -> Option<DataType> {
    match entries.data_type() {
        DataType::Struct(fields) => fields.first().map(|field| field.data_type().clone()),
        _ => None,
    }
}

fn place(at: usize) -> Result<Option<u32>> {
    u32::try_from(at).map(Some).map_err(|_| refuse("element_at: too many items in one batch".to_owned()))
}

/// 1 is the first item, -1 the last; past the end is null.
fn from_list(lists: &ArrayRef, indices: &ArrayRef, rows: usize) -> Result<ArrayRef> {
    let Some(list) = lists.as_list_opt::<i32>() else {
        return Err(refuse(format!("element_at: expected an array, found {}", trino_type(lists.data_type()))));
    };
    let indices = cast(indices, &DataType::Int64)?;
    let indices = indices.as_primitive::<Int64Type>();
    let places = (0..rows)
        .map(|row| {
            let Some((start, end)) = bounds(lists, row) else {
                return Ok(None);
            };
            if indices.is_null(row) {
                return Ok(None);
            }
            let found = match indices.value(row) {
                0 => return Err(refuse("element_at: items are counted from 1".to_owned())),
                index if index > 0 => usize::try_from(index).ok().and_then(|index| start.checked_add(index - 1)),
                index => usize::try_from(index.unsigned_abs()).ok().and_then(|back| end.checked_sub(back)),
            };
            match found.filter(|at| (start..end).contains(at)) {
                Some(at) => place(at),
                None => Ok(None),
            }
        })
        .collect::<Result<UInt32Array>>()?;
    Ok(take(list.values(), &places, None)?)
}
