//! Restarts: clean ones, copied files, and `kill -9` of a real process.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use millstream_local_gcp::LocalGcp;
use millstream_local_gcp::proto::pubsub as proto;
use proto::publisher_client::PublisherClient;
use proto::subscriber_client::SubscriberClient;
use tokio::sync::mpsc;
use tonic::transport::Channel;

use crate::support::*;

/// What a `kill -9` at this moment would leave: the bytes handed to the system so far.
fn copy_directory(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_comes_back_with_every_unacknowledged_message() {
    let directory = tempfile::tempdir().unwrap();
    let (before, after) = (directory.path().join("before"), directory.path().join("after"));
    let local = LocalGcp::builder().data_dir(&before).start().await.unwrap();
    set_up(&local).await;
    publish(&local, 0..3_000).await;
    let client = subscriber(&local).await;
    let mut stream = client.subscribe(SUBSCRIPTION).build();
    let mut acknowledged = BTreeSet::new();
    let mut held = Vec::new();
    for turn in 0..1_000 {
        let (message, handler) = next(&mut stream).await;
        if turn % 2 == 0 {
            acknowledged.insert(number(&message));
            handler.ack();
        } else {
            held.push(handler);
        }
    }
    // The client acknowledges in its own time.
    while local.pubsub().unacked() > 2_500 {
        tokio::task::yield_now().await;
    }
    copy_directory(&before, &after);
    drop((held, stream, local));

    let local = LocalGcp::builder().data_dir(&after).start().await.unwrap();
    assert_eq!(local.pubsub().unacked(), 2_500);
    let client = subscriber(&local).await;
    let mut stream = client.subscribe(SUBSCRIPTION).build();
    let mut seen = BTreeSet::new();
    while seen.len() < 2_500 {
        let (message, handler) = next(&mut stream).await;
        assert!(!acknowledged.contains(&number(&message)));
        assert!(seen.insert(number(&message)));
        handler.ack();
    }
    publish(&local, 3_000..3_010).await;
    assert_eq!(number(&next(&mut stream).await.0) / 10, 300);
    local.shutdown().await.unwrap();
}

/// Where a child process keeps its data, and the sign that it is one.
const CHILD_DIRECTORY: &str = "MILLSTREAM_TEST_CHILD_DIRECTORY";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the victim: started as a process of its own by the test that kills it"]
async fn serve_until_killed() {
    let directory = std::env::var(CHILD_DIRECTORY).expect("started by the test that kills it");
    let local = LocalGcp::builder().data_dir(directory).start().await.unwrap();
    println!("endpoint={}", local.endpoint());
    std::future::pending::<()>().await;
}

/// A server in a process of its own; killed at the latest when the test ends, however it ends.
struct Victim(Child);

impl Victim {
    /// SIGKILL: the process gets no chance to write anything more.
    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        // Fails only when it is dead already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts this test binary as a server of its own; returns it with its endpoint.
fn start_victim(directory: &Path) -> (Victim, String) {
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "crash::serve_until_killed", "--nocapture"])
        .env(CHILD_DIRECTORY, directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines().map(Result::unwrap);
    let endpoint = lines.find_map(|line| line.split_once("endpoint=").map(|it| it.1.to_owned()));
    (Victim(victim), endpoint.expect("the victim tells its endpoint"))
}

/// Publishes one message after the other until the server dies; returns the ids it was told.
async fn publish_until_death(channel: Channel, told: mpsc::Sender<String>) {
    let mut client = PublisherClient::new(channel);
    loop {
        let message = proto::PubsubMessage { data: vec![7; 300].into(), ..Default::default() };
        let request =
            proto::PublishRequest { topic: TOPIC.to_owned(), messages: vec![message; 10] };
        let Ok(answer) = client.publish(request).await else { return };
        for id in answer.into_inner().message_ids {
            told.send(id).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answered_publish_or_acknowledgement_is_lost_to_kill_9() {
    let directory = tempfile::tempdir().unwrap();
    let mut kept = BTreeSet::new();
    // Each round kills a server that was restored from what the rounds before left.
    for round in 0..3 {
        let (mut victim, endpoint) = start_victim(directory.path());
        let channel = Channel::from_shared(endpoint).unwrap().connect().await.unwrap();
        let mut subscriber = SubscriberClient::new(channel.clone());
        if round == 0 {
            let topic = proto::Topic { name: TOPIC.to_owned(), ..Default::default() };
            PublisherClient::new(channel.clone()).create_topic(topic).await.unwrap();
            let (name, topic) = (SUBSCRIPTION.to_owned(), TOPIC.to_owned());
            let subscription = proto::Subscription { name, topic, ..Default::default() };
            subscriber.create_subscription(subscription).await.unwrap();
        }
        let (told, mut ids) = mpsc::channel(64);
        let publishers: Vec<_> = (0..4)
            .map(|_| tokio::spawn(publish_until_death(channel.clone(), told.clone())))
            .collect();
        drop(told);
        for _ in 0..500 {
            kept.insert(ids.recv().await.unwrap());
        }
        let request = proto::PullRequest {
            subscription: SUBSCRIPTION.to_owned(),
            max_messages: 100,
            ..Default::default()
        };
        let pulled = subscriber.pull(request).await.unwrap().into_inner().received_messages;
        let ack_ids = pulled.iter().map(|it| it.ack_id.clone()).collect();
        let subscription = SUBSCRIPTION.to_owned();
        subscriber.acknowledge(proto::AcknowledgeRequest { subscription, ack_ids }).await.unwrap();
        // Publishing goes on meanwhile: the kill hits requests under way.
        victim.kill();
        while let Some(id) = ids.recv().await {
            kept.insert(id);
        }
        for publisher in publishers {
            publisher.await.unwrap();
        }
        for acknowledged in pulled {
            kept.remove(&acknowledged.message.unwrap().message_id);
        }

        let local = LocalGcp::builder().data_dir(directory.path()).start().await.unwrap();
        let found = everything_unacknowledged(&local);
        let lost: Vec<_> = kept.difference(&found).take(5).collect();
        assert!(lost.is_empty(), "round {round}: answered, then lost: {lost:?}");
        // Beyond what was answered there may be requests whose answers the kill cut off: 4 of 10 messages.
        assert!(found.len() <= kept.len() + 40, "round {round}: acknowledged messages came back");
        kept = found;
        local.shutdown().await.unwrap();
    }
}

/// Ids of all messages that can be pulled.
fn everything_unacknowledged(local: &LocalGcp) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    loop {
        let batch = local.pubsub().pull(SUBSCRIPTION, 1_000).unwrap();
        if batch.is_empty() {
            return found;
        }
        found.extend(batch.iter().map(|it| it.message.id.to_string()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_rides_out_a_restart_on_the_same_port() {
    let directory = tempfile::tempdir().unwrap();
    let local = LocalGcp::builder().data_dir(directory.path()).start().await.unwrap();
    let port = local.endpoint().rsplit(':').next().unwrap().parse().unwrap();
    set_up(&local).await;
    let client = subscriber(&local).await;
    let mut stream = client.subscribe(SUBSCRIPTION).build();
    publish(&local, 0..1).await;
    let (_, held) = next(&mut stream).await;
    local.shutdown().await.unwrap();

    let local = LocalGcp::builder().data_dir(directory.path()).port(port).start().await.unwrap();
    // Delivered before the restart, acknowledged after it.
    held.ack();
    while local.pubsub().unacked() > 0 {
        tokio::task::yield_now().await;
    }
    publish(&local, 1..2).await;
    loop {
        let (message, handler) = next(&mut stream).await;
        handler.ack();
        if number(&message) == 1 {
            break;
        }
    }
    local.shutdown().await.unwrap();
}
