//! Every engine computes the same, with one worker and with two, as far as it says so.

use millstream_benches::engines::{self, Engine, plain::Plain};
use millstream_benches::nexmark::{self, Event};
use millstream_benches::workload::{Agreement, Workload};

/// Forty seconds of event time: some windows of every kind, and sessions that end.
const EVENTS: usize = 400_000;

#[test]
fn engines_agree_with_the_plain_loop() {
    for workload in Workload::ALL {
        let data = workload.data(EVENTS);
        let expected = Plain.run(workload, &data, 1);
        assert!(expected.count > 0, "{workload} has outputs");
        for engine in engines::all().iter().filter(|engine| engine.supports(workload)) {
            for workers in [1, 2, 3] {
                let found = engine.run(workload, &data, workers);
                let name = engine.name();
                match engine.agreement(workload).min(workload.agreement(workers)) {
                    Agreement::Exact => assert_eq!(found, expected, "{name} {workload} {workers}"),
                    Agreement::Count => {
                        assert_eq!(found.count, expected.count, "{name} {workload} {workers}");
                    }
                    _ => assert!(found.count > 0, "{name} {workload} {workers}"),
                }
            }
        }
    }
}

#[test]
fn events_come_in_nexmark_proportions_and_in_order() {
    let events = nexmark::events(5_000);
    let persons = events.iter().filter(|event| matches!(event, Event::Person(_))).count();
    let auctions = events.iter().filter(|event| matches!(event, Event::Auction(_))).count();

    assert_eq!((persons, auctions), (100, 300));
    assert!(events.is_sorted_by_key(Event::time));
    assert_eq!(events.last().map(Event::time), Some(499));
    assert_eq!(events[4_321], nexmark::event(4_321), "an event depends on its number alone");
}
