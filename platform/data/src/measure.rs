//! The metrics of one database. Handles are made once, since looking one up costs as much as a
//! cached answer.

use std::time::Instant;

use metrics::{Counter, Histogram, counter, histogram};

use crate::{DataError, Engine};

/// How long things take and what fails.
pub(crate) struct Measure {
    labels: [(&'static str, String); 2],
    write: Histogram,
    read: Histogram,
    batch: Histogram,
    commits: Counter,
}

impl Measure {
    pub(crate) fn new(engine: Engine, database: String) -> Self {
        let labels = [("engine", engine.name().to_owned()), ("database", database)];
        Self {
            write: histogram!("atelier_data_write_seconds", &labels),
            read: histogram!("atelier_data_read_seconds", &labels),
            batch: histogram!("atelier_data_batch_items", &labels),
            commits: counter!("atelier_data_commits_total", &labels),
            labels,
        }
    }

    pub(crate) fn wrote(&self, since: Instant) {
        self.write.record(since.elapsed());
        self.commits.increment(1);
    }

    pub(crate) fn read(&self, since: Instant) {
        self.read.record(since.elapsed());
    }

    pub(crate) fn batch(&self, items: usize) {
        self.batch.record(f64::from(u32::try_from(items).unwrap_or(u32::MAX)));
    }

    pub(crate) fn failed(&self, error: &DataError) {
        let [engine, database] = self.labels.clone();
        counter!("atelier_data_errors_total", &[engine, database, ("kind", error.kind().into())])
            .increment(1);
    }
}
