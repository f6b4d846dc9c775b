//! Event time and clocks, as a user's code sees them.

use std::sync::Arc;
use std::time::Duration;

use millstream::time::{Clock, ManualClock, Timestamp};

#[test]
fn a_step_sees_the_time_that_its_test_sets() {
    let clock = ManualClock::at(Timestamp::from_secs(60));
    let seen_by_the_step: Arc<dyn Clock> = Arc::new(clock.clone());

    clock.advance(Duration::from_millis(1_500));

    assert_eq!(seen_by_the_step.now(), Timestamp::from_millis(61_500));
    assert_eq!(seen_by_the_step.now().since(Timestamp::EPOCH), Duration::from_millis(61_500));
}
