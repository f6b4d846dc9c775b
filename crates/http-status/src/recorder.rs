//! [`Recorder`]: keeps what is counted through the `metrics` facade, for `/metrics` to show.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::{Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, SharedString, Unit};

use crate::exposition::{Exposition, Kind, sanitized};

/// Upper bounds of the histograms' buckets, in the metric's unit: they suit seconds from a millisecond to a minute.
const BOUNDS: [f64; 15] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// Keeps counters, gauges and histograms; clones share them.
///
/// ```
/// use millstream_http_status::Recorder;
///
/// let recorder = Recorder::new();
/// metrics::with_local_recorder(&recorder, || metrics::counter!("orders_total", "shop" => "tea").increment(2));
/// assert!(recorder.render().contains("orders_total{shop=\"tea\"} 2"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Recorder {
    families: Arc<Mutex<BTreeMap<String, Family>>>,
}

/// There is a recorder already: a process has one.
#[derive(Debug, thiserror::Error)]
#[error("another recorder of metrics is installed in this process")]
pub struct InstallError(());

#[derive(Debug, Default)]
struct Family {
    help: String,
    series: BTreeMap<Labels, Series>,
}

type Labels = Vec<(String, String)>;

#[derive(Clone, Debug)]
enum Series {
    Counter(Arc<AtomicU64>),
    Gauge(Arc<AtomicU64>),
    Histogram(Arc<Buckets>),
}

impl Recorder {
    /// A recorder that keeps nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes this the recorder of the process.
    ///
    /// # Errors
    /// When another one is.
    pub fn install(&self) -> Result<(), InstallError> {
        metrics::set_global_recorder(self.clone()).map_err(|_| InstallError(()))
    }

    /// Everything that is kept, in Prometheus' text format.
    #[must_use]
    pub fn render(&self) -> String {
        let mut page = Exposition::default();
        self.write(&mut page);
        page.into_text()
    }

    /// Writes the families that the page does not have.
    pub(crate) fn write(&self, page: &mut Exposition) {
        for (name, family) in &*self.lock() {
            let Some(first) = family.series.values().next() else { continue };
            if page.family(name, first.kind(), &family.help) {
                family.series.iter().for_each(|(labels, series)| series.write(name, labels, page));
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Family>> {
        // Counters stay usable whatever happened to the thread that registered last.
        self.families.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn describe(&self, name: &KeyName, description: &SharedString) {
        let mut families = self.lock();
        families.entry(sanitized(name.as_str())).or_default().help = description.to_string();
    }

    fn series(&self, key: &Key, make: impl FnOnce() -> Series) -> Series {
        let label = |label: &metrics::Label| (sanitized(label.key()), label.value().to_owned());
        let mut labels: Labels = key.labels().map(label).collect();
        labels.sort_unstable();
        let mut families = self.lock();
        let family = families.entry(sanitized(key.name())).or_default();
        family.series.entry(labels).or_insert_with(make).clone()
    }
}

impl Series {
    const fn kind(&self) -> Kind {
        match self {
            Self::Counter(_) => Kind::Counter,
            Self::Gauge(_) => Kind::Gauge,
            Self::Histogram(_) => Kind::Histogram,
        }
    }

    fn write(&self, name: &str, labels: &Labels, page: &mut Exposition) {
        let labels = labels.iter().map(|(label, value)| (label.as_str(), value.as_str()));
        match self {
            Self::Counter(value) => page.sample(name, labels, value.load(Ordering::Relaxed)),
            Self::Gauge(value) => {
                page.sample(name, labels, f64::from_bits(value.load(Ordering::Relaxed)));
            }
            Self::Histogram(buckets) => buckets.write(name, &labels.collect::<Vec<_>>(), page),
        }
    }
}

/// Values by size.
#[derive(Debug, Default)]
struct Buckets {
    /// One more than there are bounds: the last one has none.
    counts: [AtomicU64; BOUNDS.len() + 1],
    /// The sum's bits.
    sum: AtomicU64,
}

impl Buckets {
    fn write(&self, name: &str, labels: &[(&str, &str)], page: &mut Exposition) {
        let bucket = format!("{name}_bucket");
        let bounds = BOUNDS.map(|bound| bound.to_string());
        let mut passed = 0;
        for (count, bound) in
            self.counts.iter().zip(bounds.iter().map(String::as_str).chain(["+Inf"]))
        {
            passed += count.load(Ordering::Relaxed);
            page.sample(&bucket, labels.iter().copied().chain([("le", bound)]), passed);
        }
        let sum = f64::from_bits(self.sum.load(Ordering::Relaxed));
        page.sample(&format!("{name}_sum"), labels.iter().copied(), sum);
        page.sample(&format!("{name}_count"), labels.iter().copied(), passed);
    }
}

impl HistogramFn for Buckets {
    fn record(&self, value: f64) {
        let index = BOUNDS.iter().position(|bound| value <= *bound).unwrap_or(BOUNDS.len());
        self.counts[index].fetch_add(1, Ordering::Relaxed);
        let add = |bits: u64| Some((f64::from_bits(bits) + value).to_bits());
        // The closure always gives a value, so the update always succeeds.
        let _ = self.sum.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }
}

impl metrics::Recorder for Recorder {
    fn describe_counter(&self, key: KeyName, _unit: Option<Unit>, description: SharedString) {
        self.describe(&key, &description);
    }

    fn describe_gauge(&self, key: KeyName, _unit: Option<Unit>, description: SharedString) {
        self.describe(&key, &description);
    }

    fn describe_histogram(&self, key: KeyName, _unit: Option<Unit>, description: SharedString) {
        self.describe(&key, &description);
    }

    fn register_counter(&self, key: &Key, _metadata: &Metadata<'_>) -> Counter {
        match self.series(key, || Series::Counter(Arc::default())) {
            Series::Counter(value) => Counter::from_arc(value),
            // One name used for two kinds of metric: the first one holds.
            Series::Gauge(_) | Series::Histogram(_) => Counter::noop(),
        }
    }

    fn register_gauge(&self, key: &Key, _metadata: &Metadata<'_>) -> Gauge {
        match self.series(key, || Series::Gauge(Arc::default())) {
            Series::Gauge(value) => Gauge::from_arc(value),
            Series::Counter(_) | Series::Histogram(_) => Gauge::noop(),
        }
    }

    fn register_histogram(&self, key: &Key, _metadata: &Metadata<'_>) -> Histogram {
        match self.series(key, || Series::Histogram(Arc::default())) {
            Series::Histogram(buckets) => Histogram::from_arc(buckets),
            Series::Counter(_) | Series::Gauge(_) => Histogram::noop(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_gauges_and_histograms_show_as_prometheus_reads_them() {
        let recorder = Recorder::new();
        metrics::with_local_recorder(&recorder, || {
            metrics::describe_gauge!("depth", "how deep");
            metrics::gauge!("depth").set(2.5);
            metrics::counter!("calls", "b" => "2", "a" => "1").increment(3);
            metrics::counter!("calls", "a" => "1", "b" => "2").increment(1);
            for value in [0.002, 0.2, 100.0] {
                metrics::histogram!("took.seconds").record(value);
            }
        });
        let text = recorder.render();
        for line in [
            "# HELP depth how deep",
            "# TYPE depth gauge",
            "depth 2.5",
            "# TYPE calls counter",
            "calls{a=\"1\",b=\"2\"} 4",
            "# TYPE took_seconds histogram",
            "took_seconds_bucket{le=\"0.001\"} 0",
            "took_seconds_bucket{le=\"0.0025\"} 1",
            "took_seconds_bucket{le=\"60\"} 2",
            "took_seconds_bucket{le=\"+Inf\"} 3",
            "took_seconds_sum 100.202",
            "took_seconds_count 3",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
