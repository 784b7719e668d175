//! The cells in which every test of this suite runs: {SQLite, PostgreSQL} × {1, 3 shards}.

use data::DataSettings;

/// An empty database, and over how many the items are spread.
#[derive(Clone)]
pub(crate) struct Cell {
    pub settings: DataSettings,
    pub shards: usize,
}

/// Makes of one test four: `name::sqlite`, `name::sqlite_3_shards` and the same on PostgreSQL.
macro_rules! in_each_cell {
    ($name:ident, $test:expr $(,)?) => {
        mod $name {
            #[allow(unused_imports)]
            use super::*;
            use crate::cells::Cell;

            #[test]
            fn sqlite() {
                testkit::run_on_sqlite(|settings| ($test)(Cell { settings, shards: 1 }));
            }

            #[test]
            fn sqlite_3_shards() {
                testkit::run_on_sqlite(|settings| ($test)(Cell { settings, shards: 3 }));
            }

            #[test]
            fn postgres() {
                let name = concat!(module_path!(), "::postgres");
                testkit::run_on_postgres(name, |settings| ($test)(Cell { settings, shards: 1 }));
            }

            #[test]
            fn postgres_3_shards() {
                let name = concat!(module_path!(), "::postgres_3_shards");
                testkit::run_on_postgres(name, |settings| ($test)(Cell { settings, shards: 3 }));
            }
        }
    };
}
pub(crate) use in_each_cell;
