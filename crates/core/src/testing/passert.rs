//! [`PAssert`]: what a collection must hold when the pipeline has run.

use std::any::Any;
use std::borrow::Borrow;
use std::fmt::{self, Debug};
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use crate::coder::Data;
use crate::operator::map::Reified;
use crate::pane::{Sign, Timing};
use crate::pcollection::PCollection;
use crate::testing::test_pipeline::{Assertion, Assertions, Check, assertions_of};
use crate::time::Timestamp;
use crate::windowing::Window;

/// Which panes of a window are looked at, and how [`PAssert::panes`] names them.
pub use crate::pane::Timing as Pane;

/// Elements that an error message shows, at most.
const SHOWN_MAX: usize = 20;

/// Assertions about one collection, checked when its [`TestPipeline`](crate::testing::TestPipeline) has run. Source: Beam's `PAssert`.
///
/// Narrowing methods (`in_window`, `early`, `on_time`, ...) choose the elements that the assertions behind them are about;
/// each assertion can be followed by further ones on the same elements.
///
/// ```
/// use millstream::prelude::*;
/// use millstream::testing::{PAssert, TestPipeline};
///
/// let pipeline = TestPipeline::new();
/// let words = pipeline.create("Words", ["to", "be", "or", "not", "to", "be"].map(String::from));
/// let counts = words.count_per_element("Count");
/// PAssert::that(&counts)
///     .satisfies(|counts| assert_eq!(counts.len(), 4))
///     .on_time()
///     .satisfies(|counts| assert!(counts.contains(&("be".to_owned(), 2))));
/// PAssert::that_singleton(&words.count("All")).is_equal_to(6);
/// pipeline.run();
/// ```
pub struct PAssert<T> {
    collected: Arc<Mutex<Vec<Reified<T>>>>,
    assertions: Arc<Assertions>,
    index: usize,
    filter: Filter,
}

/// Which elements an assertion is about.
#[derive(Clone, Copy, Debug, Default)]
struct Filter {
    window: Option<Window>,
    timing: Option<Timing>,
    last: bool,
}

impl Filter {
    fn accepts<T>(&self, element: &Reified<T>) -> bool {
        self.window.is_none_or(|window| window == element.window)
            && self.timing.is_none_or(|timing| timing == element.pane.timing)
            && (!self.last || element.pane.is_last)
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(window) = self.window {
            write!(formatter, " in {window}")?;
        }
        if let Some(timing) = self.timing {
            write!(formatter, " of {timing:?} panes")?;
        }
        if self.last {
            formatter.write_str(" of last panes")?;
        }
        Ok(())
    }
}

impl<T: Data> PAssert<T> {
    /// Begins assertions about a collection of a [`TestPipeline`](crate::testing::TestPipeline).
    ///
    /// # Panics
    /// When the collection belongs to another pipeline.
    #[track_caller]
    #[must_use = "it checks nothing by itself"]
    pub fn that(collection: impl Borrow<PCollection<T>>) -> Self {
        let collection = collection.borrow();
        let assertions = assertions_of(collection.pipeline())
            .expect("PAssert is about collections of a TestPipeline");
        let location = Location::caller();
        let collected = Arc::new(Mutex::new(Vec::new()));
        let (into, clear) = (Arc::clone(&collected), Arc::clone(&collected));
        let clear = move || lock(&clear).clear();
        let mut list = assertions.lock();
        let index = list.len();
        let step = format!("PAssert{index}");
        let read = collection.reify(&step);
        read.for_each(&format!("{step}/Collect"), move |element| lock(&into).push(element));
        list.push(Assertion { step, location, checks: Vec::new(), clear: Box::new(clear) });
        drop(list);
        Self { collected, assertions, index, filter: Filter::default() }
    }

    /// Begins assertions about the only element of a collection.
    ///
    /// # Panics
    /// When the collection belongs to another pipeline.
    #[track_caller]
    #[must_use = "it checks nothing by itself"]
    pub fn that_singleton(collection: impl Borrow<PCollection<T>>) -> SingletonAssert<T> {
        SingletonAssert(Self::that(collection))
    }

    /// Looks only at the window from `start` to before `end`.
    #[must_use = "it checks nothing by itself"]
    pub fn in_window(self, start: Timestamp, end: Timestamp) -> Self {
        self.in_this_window(Window::new(start, end))
    }

    /// Looks only at this window.
    #[must_use = "it checks nothing by itself"]
    pub fn in_this_window(mut self, window: Window) -> Self {
        self.filter.window = Some(window);
        self
    }

    /// Looks only at the global window.
    #[must_use = "it checks nothing by itself"]
    pub fn in_global_window(self) -> Self {
        self.in_this_window(Window::GLOBAL)
    }

    /// Looks only at the on-time pane of the window from `start` to before `end`.
    #[must_use = "it checks nothing by itself"]
    pub fn in_on_time_pane(self, start: Timestamp, end: Timestamp) -> Self {
        self.in_window(start, end).on_time()
    }

    /// Looks only at panes before the end of their window.
    #[must_use = "it checks nothing by itself"]
    pub fn early(self) -> Self {
        self.timing(Timing::Early)
    }

    /// Looks only at panes that were on time.
    #[must_use = "it checks nothing by itself"]
    pub fn on_time(self) -> Self {
        self.timing(Timing::OnTime)
    }

    /// Looks only at late panes.
    #[must_use = "it checks nothing by itself"]
    pub fn late(self) -> Self {
        self.timing(Timing::Late)
    }

    /// Looks only at the last panes of their windows.
    #[must_use = "it checks nothing by itself"]
    pub fn final_pane(mut self) -> Self {
        self.filter.last = true;
        self
    }

    /// Looks at all elements again.
    #[must_use = "it checks nothing by itself"]
    pub fn everywhere(mut self) -> Self {
        self.filter = Filter::default();
        self
    }

    fn timing(mut self, timing: Timing) -> Self {
        self.filter.timing = Some(timing);
        self
    }

    fn check(self, check: impl Fn(&[Reified<T>]) -> Result<(), String> + Send + 'static) -> Self {
        let (collected, filter) = (Arc::clone(&self.collected), self.filter);
        let check: Check = Box::new(move || {
            let looked_at: Vec<Reified<T>> = lock(&collected)
                .iter()
                .filter(|element| filter.accepts(element))
                .cloned()
                .collect();
            check(&looked_at).map_err(|what| format!("elements{filter}: {what}"))
        });
        self.assertions.lock()[self.index].checks.push(check);
        self
    }

    /// `check` is called with the elements, in the order of their arrival, and panics when they are wrong.
    pub fn satisfies(self, check: impl Fn(&[T]) + Send + 'static) -> Self {
        self.satisfies_reified(move |elements| {
            let values: Vec<T> = elements.iter().map(|element| element.value.clone()).collect();
            check(&values);
        })
    }

    /// Like [`PAssert::satisfies`], with event time, window and pane of each element.
    pub fn satisfies_reified(self, check: impl Fn(&[Reified<T>]) + Send + 'static) -> Self {
        self.check(move |elements| {
            catch_unwind(AssertUnwindSafe(|| check(elements))).map_err(|panic| message(&*panic))
        })
    }

    /// There are no elements.
    #[allow(
        clippy::must_use_candidate,
        reason = "it is checked, whether further assertions follow or not"
    )]
    pub fn empty(self) -> Self
    where
        T: Debug,
    {
        self.check(|elements| match elements.len() {
            0 => Ok(()),
            count => Err(format!("{count} where none were expected:{}", list(elements))),
        })
    }
}

impl<T: Data + Debug + PartialEq> PAssert<T> {
    /// The elements are exactly these, each as often as it is named, in any order.
    pub fn contains_in_any_order(self, expected: impl IntoIterator<Item = T>) -> Self {
        let expected: Vec<T> = expected.into_iter().collect();
        let expected = Mutex::new(expected);
        self.check(move |elements| {
            let mut missing = lock(&expected).clone();
            let mut unexpected = Vec::new();
            for element in elements {
                match missing.iter().position(|one| *one == element.value) {
                    Some(position) => drop(missing.swap_remove(position)),
                    None => unexpected.push(element.clone()),
                }
            }
            if missing.is_empty() && unexpected.is_empty() {
                return Ok(());
            }
            Err(format!("missing:{}\nunexpected:{}", list(&missing), list(&unexpected)))
        })
    }

    /// The elements came in exactly these panes, in this order. Retractions are left out.
    pub fn panes(self, expected: impl IntoIterator<Item = (Pane, T)>) -> Self {
        let expected = Mutex::new(expected.into_iter().collect::<Vec<_>>());
        self.check(move |elements| {
            let counts = |element: &&Reified<T>| element.pane.sign == Sign::Insert;
            let pane = |element: &Reified<T>| (element.pane.timing, element.value.clone());
            let found: Vec<(Pane, T)> = elements.iter().filter(counts).map(pane).collect();
            let expected = lock(&expected);
            if found == *expected {
                return Ok(());
            }
            Err(format!("expected panes:{}\nfound:{}", list(&expected), list(&found)))
        })
    }
}

impl<T> Debug for PAssert<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PAssert").field("index", &self.index).finish_non_exhaustive()
    }
}

/// Assertions about the only element of a collection.
#[derive(Debug)]
pub struct SingletonAssert<T>(PAssert<T>);

impl<T: Data + Debug + PartialEq> SingletonAssert<T> {
    /// There is exactly one element, equal to `expected`.
    pub fn is_equal_to(self, expected: T) -> Self {
        Self(self.0.contains_in_any_order([expected]))
    }

    /// Looks only at the window from `start` to before `end`.
    #[must_use = "it checks nothing by itself"]
    pub fn in_window(self, start: Timestamp, end: Timestamp) -> Self {
        Self(self.0.in_window(start, end))
    }

    /// Looks only at panes that were on time.
    #[must_use = "it checks nothing by itself"]
    pub fn on_time(self) -> Self {
        Self(self.0.on_time())
    }

    /// There is exactly one element; `check` is called with it and panics when it is wrong.
    pub fn satisfies(self, check: impl Fn(&T) + Send + 'static) -> Self {
        Self(self.0.check(move |elements| {
            match elements {
                [only] => catch_unwind(AssertUnwindSafe(|| check(&only.value)))
                    .map_err(|panic| message(&*panic)),
                _ => Err(format!("{} where one was expected:{}", elements.len(), list(elements))),
            }
        }))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a panic said.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "the check panicked".to_owned())
}

/// Elements, one a line.
fn list<T: Debug>(elements: &[T]) -> String {
    if elements.is_empty() {
        return " nothing".to_owned();
    }
    let mut text: String =
        elements.iter().take(SHOWN_MAX).map(|element| format!("\n  {element:?}")).collect();
    if elements.len() > SHOWN_MAX {
        text.push_str(&format!("\n  and {} more", elements.len() - SHOWN_MAX));
    }
    text
}
