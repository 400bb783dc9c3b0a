//! SHOW and DESCRIBE as Athena answers them: names and Trino's types, nothing about the engine.

use datafusion::common::TableReference;
use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::ast::{
    ShowStatementFilter, ShowStatementFilterPosition, ShowStatementOptions, Statement as Ast,
};

use crate::SqlError;
use crate::functions::trino_type;

/// The query that answers a SHOW or DESCRIBE, or nothing for other statements.
pub(crate) async fn query(context: &SessionContext, ast: &Ast) -> Result<Option<String>, SqlError> {
    Ok(Some(match ast {
        Ast::ShowTables { show_options, .. } => {
            // `SHOW TABLES IN database`, or those of the database that is asked from.
            let named = show_options.show_in.as_ref().and_then(|place| place.parent_name.as_ref());
            let last = named.and_then(|name| name.0.last()).map(|part| part.to_string().replace(['"', '`'], ""));
            let schema = last.unwrap_or_else(|| context.state().config_options().catalog.default_schema.clone());
            format!(
                "SELECT table_name FROM information_schema.tables WHERE table_schema = {}{} ORDER BY table_name",
                literal(&schema),
                like("table_name", show_options)?
            )
        }
        Ast::ShowSchemas { show_options, .. } | Ast::ShowDatabases { show_options, .. } => format!(
            "SELECT schema_name FROM information_schema.schemata WHERE true{} ORDER BY schema_name",
            like("schema_name", show_options)?
        ),
        Ast::ExplainTable { table_name, .. } => describe(context, &table_name.to_string(), "").await?,
        Ast::ShowColumns { show_options, .. } => {
            let table = show_options.show_in.as_ref().and_then(|place| place.parent_name.as_ref());
            let Some(table) = table else {
                return Err(SqlError::Query("write SHOW COLUMNS FROM table".to_owned()));
            };
            describe(context, &table.to_string(), &like("column_name", show_options)?).await?
        }
        _ => return Ok(None),
    }))
}

fn like(column: &str, options: &ShowStatementOptions) -> Result<String, SqlError> {
    let filter = match &options.filter_position {
        None => return Ok(String::new()),
        Some(ShowStatementFilterPosition::Infix(filter) | ShowStatementFilterPosition::Suffix(filter)) => filter,
    };
    match filter {
        ShowStatementFilter::Like(pattern) => Ok(format!(" AND {column} LIKE {}", literal(pattern))),
        _ => Err(SqlError::Query("SHOW takes LIKE 'pattern' with % and _ here".to_owned())),
    }
}

async fn describe(context: &SessionContext, table: &str, condition: &str) -> Result<String, SqlError> {
    let provider = context
        .table_provider(TableReference::parse_str(table))
        .await
        .map_err(|error| SqlError::from_engine(&error))?;
    let rows: Vec<String> = provider
        .schema()
        .fields()
        .iter()
        .enumerate()
        .map(|(at, field)| format!("({at}, {}, {})", literal(field.name()), literal(&trino_type(field.data_type()))))
        .collect();
    Ok(format!(
        "SELECT column_name, data_type FROM (VALUES {}) AS c(place, column_name, data_type) WHERE true{condition} ORDER BY place",
        rows.join(", ")
    ))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
