//! JSON Schema of the types a run file writes as plain values.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::{Money, Price, Quantity, SessionDate, Symbol};

macro_rules! schema {
    ($type:ty, $name:literal, $schema:tt) => {
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

schema!(Price, "Price", { "type": ["number", "string"], "pattern": r"^[+-]?\d+(\.\d+)?$" });
schema!(Quantity, "Quantity", { "type": ["number", "string"], "pattern": r"^[+-]?\d+(\.\d+)?$" });
schema!(Money, "Money", { "type": ["number", "string"], "pattern": r"^[+-]?\d+(\.\d+)?$" });
schema!(SessionDate, "SessionDate", { "type": "string", "format": "date" });
schema!(Symbol, "Symbol", { "type": "string", "minLength": 1, "maxLength": 24 });
