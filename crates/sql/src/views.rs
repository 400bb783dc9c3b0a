//! The public views over the lake and their as-of forms.
//!
//! The text of each is shipped in `queries`, because Athena gets the same files. There an as-of query is a
//! prepared statement; here it is a table function, `hist_data_daily_as_of('2012-01-01T00:00:00Z')`,
//! whose argument takes the place of the statement's parameters.

use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use datafusion::arrow::datatypes::DataType;
use datafusion::catalog::{TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::{ScalarValue, exec_err, plan_err};
use datafusion::datasource::ViewTable;
use datafusion::error::Result;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::Expr;
use datafusion::prelude::SessionContext;
use futures::FutureExt;
use queries::{AS_OF, Query, VIEWS};

use crate::functions::iso::instant;

/// Registers views and table functions.
pub(crate) async fn register(context: &SessionContext) -> Result<()> {
    for Query { name, text: sql, .. } in VIEWS {
        let plan = context.state().create_logical_plan(sql).await?;
        context.register_table(name, Arc::new(ViewTable::new(plan, Some(sql.to_owned()))))?;
    }
    for Query { name, text: sql, .. } in AS_OF {
        context.register_udtf(name, Arc::new(AsOf { name, sql }));
    }
    Ok(())
}

#[derive(Debug)]
struct AsOf {
    name: &'static str,
    sql: &'static str,
}

impl TableFunctionImpl for AsOf {
    fn call_with_args(&self, args: TableFunctionArgs) -> Result<Arc<dyn TableProvider>> {
        let moment = match args.exprs() {
            [expr] => self.moment(expr)?,
            _ => return plan_err!("{}", self.usage()),
        };
        let Some(state) = args.session().as_any().downcast_ref::<SessionState>() else {
            return exec_err!("{} needs a session of its own", self.name);
        };
        let sql = self.sql.replace('?', &format!("'{moment}'"));
        // The tables are in memory, so planning never waits; a call from inside an executor must not.
        let Some(plan) = state.create_logical_plan(&sql).now_or_never() else {
            return exec_err!("{} could not be planned at once", self.name);
        };
        Ok(Arc::new(ViewTable::new(plan?, Some(sql))))
    }
}

impl AsOf {
    fn usage(&self) -> String {
        format!("write the moment as text: {}('2012-01-01T00:00:00Z')", self.name)
    }

    fn moment(&self, expr: &Expr) -> Result<String> {
        let literal = match expr {
            Expr::Cast(cast) => cast.expr.as_ref(),
            other => other,
        };
        let Expr::Literal(value, _) = literal else {
            return plan_err!("{}", self.usage());
        };
        let text = match (value, value.data_type()) {
            (ScalarValue::Utf8(Some(text)), _) => text.clone(),
            (_, DataType::Timestamp(..) | DataType::Date32) if !value.is_null() => {
                value.cast_to(&DataType::Utf8)?.to_string()
            }
            _ => return plan_err!("{}", self.usage()),
        };
        let moment: DateTime<Utc> = match instant(&text.trim().replacen(' ', "T", 1)) {
            Ok(moment) => moment,
            Err(_) => return plan_err!("`{text}` is no moment; {}", self.usage()),
        };
        Ok(moment.to_rfc3339_opts(SecondsFormat::Micros, true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text without comments and without the lines that hold a parameter.
    fn body(sql: &str) -> Vec<&str> {
        sql.lines().filter(|line| !line.starts_with("--") && !line.contains('?')).collect()
    }

    #[test]
    fn an_as_of_form_is_its_view_plus_the_lines_with_a_parameter() {
        for (Query { name: view, text: sql, .. }, Query { name: as_of, text: as_of_sql, .. }) in VIEWS.iter().zip(AS_OF)
        {
            assert_eq!(format!("{view}_as_of"), as_of);
            assert_eq!(body(sql), body(as_of_sql), "change views/{view}.sql and as_of/{as_of}.sql together");
            let scans =
                |text: &str| text.matches("FROM bars_daily").count() + text.matches("FROM corporate_actions").count();
            assert_eq!(
                as_of_sql.matches('?').count(),
                scans(as_of_sql),
                "every read of a table in as_of/{as_of}.sql needs its `known_at <= ?`"
            );
        }
    }
}
