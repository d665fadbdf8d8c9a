//! The two data bases behind one small interface: statements with `$1`, `$2`, rows of whole numbers, texts and bytes.

use std::error::Error;
use std::time::Duration;

use postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use rusqlite::types::{ToSqlOutput, ValueRef};

use super::StoreError;

/// How long SQLite waits for another process that reads or writes the same file.
const BUSY: Duration = Duration::from_secs(10);
/// How long PostgreSQL may take to be reached.
const REACH: Duration = Duration::from_secs(10);
/// The lock that one migrating process holds in PostgreSQL: a number that means nothing to others.
const MIGRATION_LOCK: &str = "SELECT pg_advisory_xact_lock(7304718)";

/// A value of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Int(i64),
    Text(String),
    Blob(Vec<u8>),
}

/// Returns the whole number at a place of a row, 0 where there is none.
pub(super) fn int(row: &[Value], place: usize) -> i64 {
    match row.get(place) {
        Some(Value::Int(number)) => *number,
        _ => 0,
    }
}

/// Returns the text at a place of a row.
pub(super) fn text(row: &[Value], place: usize) -> &str {
    match row.get(place) {
        Some(Value::Text(text)) => text,
        _ => "",
    }
}

/// Returns the bytes at a place of a row.
pub(super) fn blob(row: &[Value], place: usize) -> &[u8] {
    match row.get(place) {
        Some(Value::Blob(bytes)) => bytes,
        _ => &[],
    }
}

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Int(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

impl ToSql for Value {
    fn to_sql(&self, kind: &Type, out: &mut bytes::BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Self::Int(number) => number.to_sql(kind, out),
            Self::Text(text) => text.to_sql(kind, out),
            Self::Blob(bytes) => bytes.to_sql(kind, out),
        }
    }

    fn accepts(kind: &Type) -> bool {
        matches!(*kind, Type::INT8 | Type::TEXT | Type::BYTEA)
    }

    to_sql_checked!();
}

/// One of the two.
pub(super) enum Back {
    Sqlite(rusqlite::Connection),
    Postgres(Box<postgres::Client>),
}

impl Back {
    pub(super) fn open(place: &str) -> Result<Self, StoreError> {
        if place.starts_with("postgres://") || place.starts_with("postgresql://") {
            let mut config: postgres::Config = place.parse().map_err(told)?;
            config.connect_timeout(REACH);
            let client = config.connect(postgres::NoTls).map_err(told)?;
            return Ok(Self::Postgres(Box::new(client)));
        }
        let connection = rusqlite::Connection::open(place)
            .map_err(|error| StoreError(format!("cannot open `{place}`: {error}")))?;
        connection.busy_timeout(BUSY).map_err(StoreError::new)?;
        // A log that is written ahead: readers do not wait, and a process that is killed leaves a whole file.
        connection
            .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;")
            .map_err(StoreError::new)?;
        Ok(Self::Sqlite(connection))
    }

    /// Runs several statements without values.
    pub(super) fn batch(&mut self, statements: &str) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(connection) => connection.execute_batch(statements).map_err(StoreError::new),
            Self::Postgres(client) => client
                .batch_execute(&statements.replace("BLOB", "BYTEA"))
                .map_err(told),
        }
    }

    /// Runs a statement.
    pub(super) fn run(&mut self, statement: &str, values: &[Value]) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(connection) => connection
                .prepare_cached(&statement.replace('$', "?"))
                .and_then(|mut prepared| prepared.execute(rusqlite::params_from_iter(values)))
                .map(drop)
                .map_err(StoreError::new),
            Self::Postgres(client) => client
                .execute(statement, &borrowed(values))
                .map(drop)
                .map_err(told),
        }
    }

    /// Returns the rows of a query.
    pub(super) fn query(&mut self, query: &str, values: &[Value]) -> Result<Vec<Vec<Value>>, StoreError> {
        match self {
            Self::Sqlite(connection) => {
                let mut prepared = connection
                    .prepare_cached(&query.replace('$', "?"))
                    .map_err(StoreError::new)?;
                let width = prepared.column_count();
                let mut rows = prepared
                    .query(rusqlite::params_from_iter(values))
                    .map_err(StoreError::new)?;
                let mut all = Vec::new();
                while let Some(row) = rows.next().map_err(StoreError::new)? {
                    let values: Result<Vec<Value>, StoreError> = (0..width)
                        .map(|place| of_sqlite(row.get_ref(place).map_err(StoreError::new)?))
                        .collect();
                    all.push(values?);
                }
                Ok(all)
            }
            Self::Postgres(client) => {
                let rows = client.query(query, &borrowed(values)).map_err(told)?;
                rows.iter().map(of_postgres).collect()
            }
        }
    }

    /// Does something all or not at all.
    pub(super) fn transaction<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        // SQLite must want to write from the beginning, or two processes may each wait for the other.
        let begin = match self {
            Self::Sqlite(_) => "BEGIN IMMEDIATE",
            Self::Postgres(_) => "BEGIN",
        };
        self.batch(begin)?;
        let is_postgres = matches!(self, Self::Postgres(_));
        let locked = if is_postgres {
            self.batch(MIGRATION_LOCK)
        } else {
            Ok(())
        };
        match locked.and_then(|()| work(self)) {
            Ok(value) => {
                self.batch("COMMIT")?;
                Ok(value)
            }
            Err(error) => {
                // What failed first is what is told.
                drop(self.batch("ROLLBACK"));
                Err(error)
            }
        }
    }
}

fn borrowed(values: &[Value]) -> Vec<&(dyn ToSql + Sync)> {
    values.iter().map(|value| value as &(dyn ToSql + Sync)).collect()
}

fn of_sqlite(value: ValueRef<'_>) -> Result<Value, StoreError> {
    match value {
        ValueRef::Integer(number) => Ok(Value::Int(number)),
        ValueRef::Text(bytes) => Ok(Value::Text(String::from_utf8_lossy(bytes).into_owned())),
        ValueRef::Blob(bytes) => Ok(Value::Blob(bytes.to_vec())),
        ValueRef::Null | ValueRef::Real(_) => {
            Err(StoreError("the store holds what it never wrote".to_owned()))
        }
    }
}

fn of_postgres(row: &postgres::Row) -> Result<Vec<Value>, StoreError> {
    row.columns()
        .iter()
        .enumerate()
        .map(|(place, column)| match *column.type_() {
            Type::INT8 => row.try_get(place).map(Value::Int).map_err(told),
            Type::TEXT => row.try_get(place).map(Value::Text).map_err(told),
            Type::BYTEA => row.try_get(place).map(Value::Blob).map_err(told),
            _ => Err(StoreError(format!("the store holds a `{}`", column.type_()))),
        })
        .collect()
}

/// PostgreSQL tells what happened in the cause of its errors.
#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` hands over")]
fn told(error: postgres::Error) -> StoreError {
    let cause = error
        .source()
        .map(|cause| format!(": {cause}"))
        .unwrap_or_default();
    StoreError(format!("{error}{cause}"))
}
