//! One read-only statement: parsed, checked, and with Trino's special forms rewritten.
//!
//! The engine's parser reads the text. What could change something is refused on the syntax tree,
//! before anything is planned. Tables are looked up here, so that an unknown one is answered with
//! the known ones. `if(…)`, `mod(…)` and `contains(…)` become CASE, `%` and `array_has(…)`, because only syntax
//! keeps the branch that is not taken from being evaluated.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion::common::TableReference;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::{DFParser, DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, ObjectNamePart, Query, SelectItem,
    SetExpr, Statement as Ast, TableFactor, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use queries::AS_OF;

use crate::error::{SqlError, did_you_mean, one_line};
use crate::{CATALOG, SCHEMA, catalog};

/// Longest query that is read. Deeper trees than a person writes would exhaust the planner's stack.
const BYTES_MAX: usize = 256 * 1024;

/// Parses the text and makes it ready for planning.
pub(crate) async fn parse(context: &SessionContext, sql: &str) -> Result<Statement, SqlError> {
    let mut statement = one(sql)?;
    read_only(&statement)?;
    let mut functions = BTreeSet::new();
    if let Statement::Statement(ast) = &mut statement {
        rewrite(ast, &mut functions)?;
        if let Ast::Query(query) = ast.as_mut() {
            name_columns(&mut query.body);
        }
    } else if let Statement::Explain(explain) = &mut statement
        && let Statement::Statement(ast) = explain.statement.as_mut()
    {
        rewrite(ast, &mut functions)?;
    }
    // `SHOW TABLES IN database` names no table.
    if !matches!(&statement, Statement::Statement(ast) if matches!(ast.as_ref(), Ast::ShowTables { .. })) {
        known_tables(context, &statement, &functions)?;
    }
    if let Statement::Statement(ast) = &statement
        && let Some(answer) = catalog::query(context, ast).await?
    {
        return one(&answer);
    }
    Ok(statement)
}

fn one(sql: &str) -> Result<Statement, SqlError> {
    if sql.len() > BYTES_MAX {
        return Err(SqlError::TooLong { bytes: sql.len(), limit: BYTES_MAX });
    }
    let statements = DFParserBuilder::new(sql)
        .build()
        .and_then(|mut parser: DFParser<'_>| parser.parse_statements())
        .map_err(|error| SqlError::Query(one_line(&error.strip_backtrace())))?;
    let found = statements.len();
    match statements.into_iter().next() {
        Some(statement) if found == 1 => Ok(statement),
        _ => Err(SqlError::StatementCount { found }),
    }
}

/// Refuses everything but reading.
fn read_only(statement: &Statement) -> Result<(), SqlError> {
    let allowed = match statement {
        Statement::Statement(ast) => ast_reads(ast),
        Statement::Explain(explain) => return read_only(&explain.statement),
        Statement::CreateExternalTable(_) | Statement::CopyTo(_) | Statement::Reset(_) => false,
    };
    if allowed {
        return Ok(());
    }
    let text = statement.to_string();
    let words: Vec<&str> = text.split_whitespace().take(2).collect();
    let first = words.first().copied().unwrap_or_default().to_uppercase();
    let second = words.get(1).copied().unwrap_or_default().to_uppercase();
    let name = match (first.as_str(), second.as_str()) {
        // `INSERT` inside a query.
        ("SELECT" | "WITH", _) => "a query that writes".to_owned(),
        ("CREATE" | "DROP" | "ALTER", "TABLE" | "VIEW" | "EXTERNAL" | "SCHEMA" | "DATABASE") => {
            format!("{first} {second}")
        }
        _ => first,
    };
    Err(SqlError::ReadOnly { statement: name })
}

fn ast_reads(ast: &Ast) -> bool {
    match ast {
        Ast::Query(query) => query_reads(query),
        Ast::Explain { statement, .. } => ast_reads(statement),
        Ast::ExplainTable { .. }
        | Ast::ShowTables { .. }
        | Ast::ShowColumns { .. }
        | Ast::ShowFunctions { .. }
        | Ast::ShowSchemas { .. }
        | Ast::ShowDatabases { .. }
        | Ast::ShowVariable { .. }
        | Ast::ShowCreate { .. } => true,
        _ => false,
    }
}

fn query_reads(query: &Query) -> bool {
    let ctes = query.with.iter().flat_map(|with| &with.cte_tables);
    set_reads(&query.body) && ctes.into_iter().all(|cte| query_reads(&cte.query))
}

fn set_reads(set: &SetExpr) -> bool {
    match set {
        SetExpr::Select(select) => select.into.is_none(),
        SetExpr::Query(query) => query_reads(query),
        SetExpr::SetOperation { left, right, .. } => set_reads(left) && set_reads(right),
        SetExpr::Values(_) | SetExpr::Table(_) => true,
        _ => false,
    }
}

/// Names the columns that are expressions without a name `_col0`, `_col1`, …, as Athena does.
fn name_columns(set: &mut SetExpr) {
    match set {
        SetExpr::Select(select) => {
            for (at, item) in select.projection.iter_mut().enumerate() {
                if let SelectItem::UnnamedExpr(expr) = item
                    && !matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_))
                {
                    *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: Ident::new(format!("_col{at}")) };
                }
            }
        }
        SetExpr::Query(query) => name_columns(&mut query.body),
        SetExpr::SetOperation { left, .. } => name_columns(left),
        _ => {}
    }
}

struct Rewriter<'a> {
    functions: &'a mut BTreeSet<String>,
}

impl VisitorMut for Rewriter<'_> {
    type Break = SqlError;

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<SqlError> {
        if let TableFactor::Table { name, args: Some(_), .. } = factor
            && let Some(ObjectNamePart::Identifier(ident)) = name.0.last()
        {
            // Table functions have no schema in the engine; here they may be written with one.
            let plain = ident.value.to_lowercase();
            *name = ObjectName(vec![ObjectNamePart::Identifier(Ident::new(plain.as_str()))]);
            self.functions.insert(plain);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        match special_form(expr) {
            Ok(None) => ControlFlow::Continue(()),
            Ok(Some(replacement)) => {
                *expr = replacement;
                ControlFlow::Continue(())
            }
            Err(error) => ControlFlow::Break(error),
        }
    }
}

fn rewrite(ast: &mut Ast, functions: &mut BTreeSet<String>) -> Result<(), SqlError> {
    match VisitMut::visit(ast, &mut Rewriter { functions }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

fn special_form(expr: &Expr) -> Result<Option<Expr>, SqlError> {
    let Expr::Function(function) = expr else {
        return Ok(None);
    };
    let name = function.name.to_string().to_lowercase();
    if !["if", "mod", "contains"].contains(&name.as_str()) {
        return Ok(None);
    }
    let args: Vec<&Expr> = match &function.args {
        FunctionArguments::List(list) => list
            .args
            .iter()
            .filter_map(|arg| match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
                _ => None,
            })
            .collect(),
        _ => vec![],
    };
    let sql = match (name.as_str(), args.as_slice()) {
        ("if", [condition, yes]) => format!("CASE WHEN {condition} THEN {yes} END"),
        ("if", [condition, yes, no]) => format!("CASE WHEN {condition} THEN {yes} ELSE {no} END"),
        ("mod", [a, b]) => format!("(({a}) % ({b}))"),
        // The engine has a `contains` of its own, for texts.
        ("contains", [list, item]) => format!("array_has({list}, {item})"),
        ("contains", _) => return Err(SqlError::Query("write contains(array, item)".to_owned())),
        ("if", _) => {
            return Err(SqlError::Query("write if(condition, value) or if(condition, value, otherwise)".to_owned()));
        }
        _ => return Err(SqlError::Query("write mod(number, divisor)".to_owned())),
    };
    Parser::new(&GenericDialect {})
        .try_with_sql(&sql)
        .and_then(|mut parser| parser.parse_expr())
        .map(Some)
        .map_err(|error| SqlError::Query(one_line(&error.to_string())))
}

/// Refuses tables that do not exist, naming those that do.
fn known_tables(context: &SessionContext, statement: &Statement, functions: &BTreeSet<String>) -> Result<(), SqlError> {
    for function in functions {
        if AS_OF.iter().any(|query| query.name == function) || ["generate_series", "range"].contains(&function.as_str())
        {
            continue;
        }
        return Err(unknown(context, &TableReference::bare(function.as_str())));
    }
    let references =
        context.state().resolve_table_references(statement).map_err(|error| SqlError::from_engine(&error))?;
    for reference in references {
        let table = reference.table();
        if functions.contains(table) || reference.schema() == Some("information_schema") {
            continue;
        }
        if context.table_exist(reference.clone()).unwrap_or(false) {
            continue;
        }
        return Err(unknown(context, &reference));
    }
    Ok(())
}

fn unknown(context: &SessionContext, reference: &TableReference) -> SqlError {
    let mut known = context
        .catalog(CATALOG)
        .and_then(|catalog| catalog.schema(&context.state().config_options().catalog.default_schema))
        .map(|schema| schema.table_names())
        .unwrap_or_default();
    known.sort_unstable();
    let as_of = AS_OF.map(|query| query.name);
    let table = reference.table();
    let nearest = if as_of.contains(&table) {
        format!(" without a moment, write {table}('2012-01-01T00:00:00Z')")
    } else if known.iter().any(|name| name == table) {
        format!(", tables live in {CATALOG}.{SCHEMA}")
    } else {
        did_you_mean(table, known.iter().map(String::as_str).chain(as_of))
    };
    SqlError::UnknownTable {
        name: reference.to_string(),
        nearest,
        known: known.iter().map(String::as_str).chain(as_of).collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_writes_is_refused_before_it_is_planned() {
        for sql in [
            "CREATE TABLE t AS SELECT 1",
            "create view v as select 1",
            "INSERT INTO bars_daily VALUES (1)",
            "DELETE FROM bars_daily",
            "UPDATE bars_daily SET vol = 0",
            "DROP TABLE bars_daily",
            "COPY (SELECT 1) TO '/tmp/x.csv'",
            "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
            "SET datafusion.execution.batch_size = 1",
            "EXPLAIN ANALYZE INSERT INTO bars_daily VALUES (1)",
            "WITH x AS (INSERT INTO bars_daily VALUES (1)) SELECT * FROM x",
            "SELECT 1 INTO t",
            "PREPARE p AS SELECT 1",
            "BEGIN",
            "TRUNCATE TABLE bars_daily",
        ] {
            let refused = one(sql).and_then(|statement| read_only(&statement));
            assert!(matches!(refused, Err(SqlError::ReadOnly { .. } | SqlError::Query(_))), "{sql}: {refused:?}");
        }
    }

    #[test]
    fn reading_is_allowed() {
        for sql in [
            "SELECT 1;",
            "WITH x AS (SELECT 1) SELECT * FROM x",
            "VALUES (1), (2)",
            "EXPLAIN SELECT 1",
            "SHOW TABLES",
            "DESCRIBE bars_daily",
            "SHOW COLUMNS FROM bars_daily",
            "SELECT 1 UNION ALL (SELECT 2)",
        ] {
            let read = one(sql).and_then(|statement| read_only(&statement));
            assert!(read.is_ok(), "{sql}: {read:?}");
        }
    }

    #[test]
    fn one_statement_at_a_time() {
        for (sql, found) in [("", 0), (" ; ", 0), ("SELECT 1; SELECT 2", 2)] {
            match one(sql) {
                Err(SqlError::StatementCount { found: count }) => assert_eq!(count, found),
                other => panic!("{sql}: {other:?}"),
            }
        }
    }
}
