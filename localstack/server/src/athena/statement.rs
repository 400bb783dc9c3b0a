//! What a statement asks for, read as far as it concerns the catalogue; a query's own text is the engine's to read.

/// A name of the catalogue, with the database that was written before it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Name {
    pub(super) database: Option<String>,
    pub(super) name: String,
}

/// A statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Statement {
    /// Rows.
    Query(String),
    /// `CREATE DATABASE`.
    CreateDatabase { name: String, if_absent: bool },
    /// `CREATE EXTERNAL TABLE`.
    CreateTable(NewTable),
    /// `CREATE TABLE … AS`.
    CreateTableAs { name: Name, location: Option<String>, sql: String },
    /// `CREATE VIEW`.
    CreateView { name: Name, replace: bool, sql: String },
    /// `DROP TABLE` or `DROP VIEW`.
    Drop { name: Name, if_there: bool, view: bool },
    /// `PREPARE` of a statement.
    Prepare { name: String, sql: String },
    /// `EXECUTE` of a prepared statement with values.
    Execute { name: String, values: Vec<String> },
    /// `DEALLOCATE PREPARE`.
    Forget { name: String },
    /// `MSCK REPAIR TABLE` or `ALTER TABLE … ADD PARTITION`: partitions are found where they lie.
    Partitions { name: Name },
}

/// A table as it is declared.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct NewTable {
    pub(super) name: Name,
    pub(super) if_absent: bool,
    pub(super) columns: Vec<(String, String)>,
    pub(super) partition_keys: Vec<(String, String)>,
    pub(super) location: String,
    pub(super) properties: Vec<(String, String)>,
}

/// A word, a quoted name, a text in quotes, or a sign; with where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Token<'a> {
    text: &'a str,
    start: usize,
    end: usize,
}

impl Token<'_> {
    fn is(&self, word: &str) -> bool {
        self.text.eq_ignore_ascii_case(word)
    }

    /// A name without its quotes, in small letters as the catalogue has it.
    fn name(&self) -> String {
        self.text.trim_matches(['`', '"']).to_ascii_lowercase()
    }

    /// A text without its quotes.
    fn literal(&self) -> Option<String> {
        Some(self.text.strip_prefix('\'')?.strip_suffix('\'')?.replace("''", "'"))
    }
}

/// The tokens of a statement, comments left out.
fn tokens(sql: &str) -> Vec<Token<'_>> {
    let bytes = sql.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        match bytes[at] {
            b' ' | b'\t' | b'\r' | b'\n' => at += 1,
            b'-' if bytes.get(at + 1) == Some(&b'-') => {
                at = sql[at..].find('\n').map_or(bytes.len(), |line| at + line);
            }
            b'/' if bytes.get(at + 1) == Some(&b'*') => {
                at = sql[at..].find("*/").map_or(bytes.len(), |end| at + end + 2);
            }
            quote @ (b'\'' | b'"' | b'`') => {
                at += 1;
                while at < bytes.len() {
                    if bytes[at] == quote {
                        at += 1;
                        // A quote twice is a quote.
                        if bytes.get(at) != Some(&quote) {
                            break;
                        }
                    }
                    at += 1;
                }
                at = at.min(bytes.len());
                found.push(Token { text: &sql[start..at], start, end: at });
            }
            byte if byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii() => {
                while at < bytes.len()
                    && (bytes[at].is_ascii_alphanumeric() || bytes[at] == b'_' || !bytes[at].is_ascii())
                {
                    at += 1;
                }
                found.push(Token { text: &sql[start..at], start, end: at });
            }
            _ => {
                at += 1;
                found.push(Token { text: &sql[start..at], start, end: at });
            }
        }
    }
    found
}

/// Puts the values in the place of the question marks, those in quotes and comments left alone.
pub(super) fn with_parameters(sql: &str, values: &[String]) -> Result<String, String> {
    let tokens = tokens(sql);
    let marks: Vec<&Token<'_>> = tokens.iter().filter(|token| token.text == "?").collect();
    if marks.len() != values.len() {
        return Err(format!(
            "INVALID_PARAMETER_USAGE: Incorrect number of parameters: expected {} but found {}",
            marks.len(),
            values.len()
        ));
    }
    let mut text = String::new();
    let mut from = 0;
    for (mark, value) in marks.iter().zip(values) {
        text.push_str(&sql[from..mark.start]);
        text.push_str(value);
        from = mark.end;
    }
    text.push_str(&sql[from..]);
    Ok(text)
}

/// `DML`, `DDL` or `UTILITY`, as Athena sorts statements.
pub(super) fn kind(sql: &str) -> &'static str {
    let tokens = tokens(sql);
    let word = |at: usize| tokens.get(at).map_or(String::new(), |token| token.text.to_ascii_uppercase());
    match word(0).as_str() {
        "CREATE" if word(1) == "TABLE" => "DML",
        "CREATE" | "DROP" | "ALTER" | "MSCK" => "DDL",
        "PREPARE" | "DEALLOCATE" => "UTILITY",
        "SHOW" | "DESCRIBE" | "EXPLAIN" => "UTILITY",
        _ => "DML",
    }
}

struct Reader<'a> {
    sql: &'a str,
    tokens: Vec<Token<'a>>,
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<&Token<'a>> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Result<Token<'a>, String> {
        let token = self.peek().cloned().ok_or("SYNTAX_ERROR: the statement ends too early")?;
        self.at += 1;
        Ok(token)
    }

    /// Whether these words come next; then they are passed.
    fn takes(&mut self, words: &[&str]) -> bool {
        let here =
            words.iter().enumerate().all(|(at, word)| self.tokens.get(self.at + at).is_some_and(|one| one.is(word)));
        if here {
            self.at += words.len();
        }
        here
    }

    fn expects(&mut self, word: &str) -> Result<(), String> {
        let found = self.next()?;
        if found.is(word) {
            Ok(())
        } else {
            Err(format!("SYNTAX_ERROR: `{word}` is wanted where `{}` stands", found.text))
        }
    }

    /// `name`, `database.name` or `catalogue.database.name`.
    fn name(&mut self) -> Result<Name, String> {
        let mut found = Name { database: None, name: self.next()?.name() };
        while self.takes(&["."]) {
            let name = self.next()?.name();
            found = Name { database: Some(found.name), name };
        }
        Ok(found)
    }

    fn literal(&mut self) -> Result<String, String> {
        let found = self.next()?;
        found.literal().ok_or_else(|| format!("SYNTAX_ERROR: a text in quotes is wanted where `{}` stands", found.text))
    }

    /// The text from here on.
    fn rest(&self) -> String {
        self.peek().map_or(String::new(), |token| self.sql[token.start..].trim().to_owned())
    }

    /// `(name type, …)`.
    fn columns(&mut self) -> Result<Vec<(String, String)>, String> {
        self.expects("(")?;
        let mut found = Vec::new();
        loop {
            let name = self.next()?.name();
            let mut of = String::new();
            let mut depth = 0;
            loop {
                let token = self.next()?;
                match token.text {
                    "(" | "<" => depth += 1,
                    ")" | ">" if depth > 0 => depth -= 1,
                    ")" => {
                        found.push((name, of));
                        return Ok(found);
                    }
                    "," if depth == 0 => break,
                    _ if token.is("comment") && depth == 0 => {
                        self.literal()?;
                        continue;
                    }
                    _ => {}
                }
                of.push_str(&token.text.to_ascii_lowercase());
            }
            found.push((name, of));
        }
    }

    /// `('name' = 'value', …)`, or with names that are words.
    fn properties(&mut self) -> Result<Vec<(String, String)>, String> {
        self.expects("(")?;
        let mut found = Vec::new();
        loop {
            let name = self.next()?;
            let name = name.literal().unwrap_or_else(|| name.name());
            self.expects("=")?;
            let value = self.next()?;
            found.push((name, value.literal().unwrap_or_else(|| value.text.to_owned())));
            if !self.takes(&[","]) {
                self.expects(")")?;
                return Ok(found);
            }
        }
    }

    fn table(&mut self) -> Result<NewTable, String> {
        let if_absent = self.takes(&["if", "not", "exists"]);
        let mut table = NewTable { name: self.name()?, if_absent, ..NewTable::default() };
        table.columns = self.columns()?;
        let mut parquet = false;
        while self.peek().is_some() {
            if self.takes(&["comment"]) {
                self.literal()?;
            } else if self.takes(&["partitioned", "by"]) {
                table.partition_keys = self.columns()?;
            } else if self.takes(&["stored", "as", "parquet"]) {
                parquet = true;
            } else if self.takes(&["location"]) {
                table.location = self.literal()?;
            } else if self.takes(&["tblproperties"]) {
                table.properties = self.properties()?;
            } else {
                let found = self.next()?;
                return Err(format!(
                    "NOT_SUPPORTED: `{}` of a table is not spoken here; STORED AS PARQUET is",
                    found.text
                ));
            }
        }
        if !parquet || !table.location.starts_with("s3://") {
            return Err("NOT_SUPPORTED: a table is STORED AS PARQUET at a LOCATION 's3://…' here".to_owned());
        }
        Ok(table)
    }

    fn create(&mut self) -> Result<Statement, String> {
        let replace = self.takes(&["or", "replace"]);
        if self.takes(&["view"]) {
            let name = self.name()?;
            self.expects("as")?;
            return Ok(Statement::CreateView { name, replace, sql: self.rest() });
        }
        if self.takes(&["external", "table"]) {
            return self.table().map(Statement::CreateTable);
        }
        if self.takes(&["table"]) {
            let name = self.name()?;
            let properties = if self.takes(&["with"]) { self.properties()? } else { Vec::new() };
            self.expects("as")?;
            let property =
                |wanted: &str| properties.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone());
            if property("format").is_some_and(|format| !format.eq_ignore_ascii_case("parquet")) {
                return Err("NOT_SUPPORTED: only format = 'PARQUET' is written here".to_owned());
            }
            return Ok(Statement::CreateTableAs { name, location: property("external_location"), sql: self.rest() });
        }
        if self.takes(&["database"]) || self.takes(&["schema"]) {
            let if_absent = self.takes(&["if", "not", "exists"]);
            return Ok(Statement::CreateDatabase { name: self.name()?.name, if_absent });
        }
        Err(format!("NOT_SUPPORTED: CREATE {} is not spoken here", self.rest()))
    }
}

/// Reads a statement.
pub(super) fn read(sql: &str) -> Result<Statement, String> {
    let sql = sql.trim().trim_end_matches(';');
    let mut reader = Reader { sql, tokens: tokens(sql), at: 0 };
    if reader.takes(&["show", "create"]) || reader.takes(&["show", "partitions"]) {
        return Err("NOT_SUPPORTED: SHOW CREATE and SHOW PARTITIONS are not spoken here".to_owned());
    }
    if reader.takes(&["create"]) {
        return reader.create();
    }
    if reader.takes(&["drop"]) {
        let view = reader.takes(&["view"]);
        if !view && !reader.takes(&["table"]) {
            return Err(format!("NOT_SUPPORTED: DROP {} is not spoken here", reader.rest()));
        }
        let if_there = reader.takes(&["if", "exists"]);
        return Ok(Statement::Drop { name: reader.name()?, if_there, view });
    }
    if reader.takes(&["prepare"]) {
        let name = reader.next()?.text.trim_matches(['`', '"']).to_owned();
        reader.expects("from")?;
        return Ok(Statement::Prepare { name, sql: reader.rest() });
    }
    if reader.takes(&["deallocate", "prepare"]) {
        return Ok(Statement::Forget { name: reader.next()?.text.trim_matches(['`', '"']).to_owned() });
    }
    if reader.takes(&["execute"]) {
        let name = reader.next()?.text.trim_matches(['`', '"']).to_owned();
        let mut values = Vec::new();
        if reader.takes(&["using"]) {
            let mut start = reader.peek().map_or(sql.len(), |token| token.start);
            let mut depth = 0;
            while let Some(token) = reader.peek().cloned() {
                reader.at += 1;
                match token.text {
                    "(" => depth += 1,
                    ")" => depth -= 1,
                    "," if depth == 0 => {
                        values.push(sql[start..token.start].trim().to_owned());
                        start = token.end;
                    }
                    _ => {}
                }
            }
            values.push(sql[start..].trim().to_owned());
        }
        return Ok(Statement::Execute { name, values });
    }
    if reader.takes(&["msck", "repair", "table"]) {
        return Ok(Statement::Partitions { name: reader.name()? });
    }
    if reader.takes(&["alter", "table"]) {
        let name = reader.name()?;
        let adds = reader.takes(&["add", "if", "not", "exists", "partition"]) || reader.takes(&["add", "partition"]);
        // A partition at another place would not be found.
        if adds && !reader.tokens.iter().any(|token| token.is("location")) {
            return Ok(Statement::Partitions { name });
        }
        return Err("NOT_SUPPORTED: only ALTER TABLE … ADD PARTITION without LOCATION is spoken here".to_owned());
    }
    let first = reader.next()?;
    let reads = ["select", "with", "values", "show", "describe", "desc", "explain", "("];
    if reads.iter().any(|word| first.is(word)) {
        return Ok(Statement::Query(sql.to_owned()));
    }
    Err(format!("NOT_SUPPORTED: {} is not spoken here", first.text.to_ascii_uppercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(database: Option<&str>, name: &str) -> Name {
        Name { database: database.map(str::to_owned), name: name.to_owned() }
    }

    #[test]
    fn every_shipped_table_is_read_as_it_is_declared() {
        for query in queries::TABLES {
            let Statement::CreateTable(table) = read(&query.at("s3://bucket/lake")).unwrap() else {
                panic!("{}", query.name)
            };
            let owned = |pairs: &[(&str, &str)]| {
                pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect::<Vec<_>>()
            };
            assert_eq!(table.name, named(Some("algo_data"), query.name));
            assert_eq!(table.columns, owned(queries::columns(query.name)));
            assert_eq!(table.partition_keys, owned(queries::partition_keys(query.name)));
            assert_eq!(table.location, format!("s3://bucket/lake/{}/", query.name));
        }
    }

    #[test]
    fn values_take_the_place_of_marks_outside_of_quotes_and_comments() {
        let sql = "-- why?\nSELECT '?', \"a?\" /* ? */ FROM t WHERE x = ? AND y = ?";
        let values = ["1".to_owned(), "'a''b'".to_owned()];
        let text = with_parameters(sql, &values).unwrap();
        assert!(text.ends_with("WHERE x = 1 AND y = 'a''b'") && text.starts_with("-- why?\nSELECT '?'"), "{text}");
        assert!(with_parameters(sql, &values[..1]).unwrap_err().contains("expected 2 but found 1"));
    }

    #[test]
    fn a_view_and_a_table_keep_the_text_of_their_query() {
        let view = read("-- a\nCREATE OR REPLACE VIEW \"db\".v AS\n-- b\nSELECT ';' AS x;").unwrap();
        assert_eq!(
            view,
            Statement::CreateView { name: named(Some("db"), "v"), replace: true, sql: "SELECT ';' AS x".into() }
        );
        let table =
            read("create table t with (format = 'PARQUET', external_location='s3://b/x/') as select 1 as a").unwrap();
        let location = Some("s3://b/x/".to_owned());
        assert_eq!(table, Statement::CreateTableAs { name: named(None, "t"), location, sql: "select 1 as a".into() });
        let execute = read("EXECUTE p USING 'a,b', date_add('day', 1, DATE '2013-01-01'), 3").unwrap();
        let values = ["'a,b'", "date_add('day', 1, DATE '2013-01-01')", "3"].map(str::to_owned).to_vec();
        assert_eq!(execute, Statement::Execute { name: "p".into(), values });
        let prepare = read("PREPARE p FROM SELECT x FROM t WHERE x = ?").unwrap();
        assert_eq!(prepare, Statement::Prepare { name: "p".into(), sql: "SELECT x FROM t WHERE x = ?".into() });
    }

    #[test]
    fn what_is_not_spoken_is_told() {
        for sql in [
            "GRANT SELECT ON t TO x",
            "CREATE EXTERNAL TABLE t (a int) STORED AS ORC LOCATION 's3://b/'",
            "create function f",
        ] {
            assert!(read(sql).unwrap_err().starts_with("NOT_SUPPORTED"), "{sql}");
        }
        for sql in [
            "ALTER TABLE t DROP PARTITION (y = 1)",
            "ALTER TABLE t ADD PARTITION (y=1) LOCATION 's3://b/'",
            "DROP DATABASE d",
        ] {
            assert!(read(sql).unwrap_err().starts_with("NOT_SUPPORTED"), "{sql}");
        }
        for sql in ["MSCK REPAIR TABLE d.t", "ALTER TABLE d.t ADD IF NOT EXISTS PARTITION (y = 1)"] {
            assert_eq!(read(sql).unwrap(), Statement::Partitions { name: named(Some("d"), "t") });
        }
        assert_eq!(kind("-- x\nSELECT 1"), "DML");
        assert_eq!(kind("create view v as select 1"), "DDL");
    }
}
