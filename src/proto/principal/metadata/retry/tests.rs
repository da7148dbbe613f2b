use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// Plays one reading: each address answers a request with its failure, after the time that such a failure
/// takes. Returns the requests as (address, second of the start), the end, and its second.
fn play(
    mut retry: MetadataRetry,
    answer: impl Fn(usize, usize) -> MetadataFailure,
) -> (Vec<(usize, u64)>, MetadataGiveUp, Duration) {
    let mut elapsed = Duration::ZERO;
    let mut requests = Vec::new();
    loop {
        let base = retry.base();
        requests.push((base, elapsed.as_secs()));
        let failure = answer(requests.len(), base);
        if failure == MetadataFailure::ConnectTimeout {
            elapsed += CONNECT_TIMEOUT;
        }
        match retry.on_failure(failure, elapsed, 0.5) {
            MetadataStep::Retry { after, base } => {
                assert_eq!(base, retry.base());
                elapsed += after;
            }
            MetadataStep::OtherFamily { base } => assert_eq!(base, retry.base()),
            MetadataStep::GiveUp(reason) => return (requests, reason, elapsed),
        }
        assert!(requests.len() < 10_000);
    }
}

fn at_start(
    answer: impl Fn(usize, usize) -> MetadataFailure,
) -> (Vec<(usize, u64)>, MetadataGiveUp, Duration) {
    play(MetadataRetry::at_start(2), answer)
}

#[test]
fn a_service_that_is_busy_is_asked_three_times_more_within_ten_seconds() {
    for status in [404, 408, 429, 500, 501, 503, 599] {
        let failure = MetadataFailure::Status(status);
        let (requests, reason, _) = at_start(|_, _| failure);
        assert_eq!(requests, [(0, 0), (0, 1), (0, 3), (0, 7)], "{status}");
        assert_eq!(reason, MetadataGiveUp::OutOfOrder(failure));
    }
    let (requests, reason, _) = at_start(|_, _| MetadataFailure::Broken);
    assert_eq!(requests.len(), 4);
    assert_eq!(reason, MetadataGiveUp::OutOfOrder(MetadataFailure::Broken));
}

#[test]
fn a_slow_service_that_is_busy_is_not_asked_beyond_ten_seconds() {
    let mut retry = MetadataRetry::at_start(1);
    let busy = MetadataFailure::Status(503);
    let step = retry.on_failure(busy, seconds(6.5), 0.0);
    assert_eq!(step, MetadataStep::Retry { after: SECOND, base: 0 });
    let step = retry.on_failure(busy, seconds(7.0), 0.0);
    assert_eq!(step, MetadataStep::GiveUp(MetadataGiveUp::OutOfOrder(busy)));
}

#[test]
fn an_answer_that_rejects_the_request_is_final_at_once_also_while_a_stream_is_under_way() {
    let streaming = MetadataRetry::streaming(2, 0, 3600 * SECOND);
    for status in [400, 401, 403, 405, 301, 204] {
        for retry in [MetadataRetry::at_start(2), streaming.clone()] {
            let (requests, reason, _) = play(retry, |_, _| MetadataFailure::Status(status));
            assert_eq!((requests.len(), reason), (1, MetadataGiveUp::Rejected(status)));
        }
    }
}

#[test]
fn a_refused_connection_leads_to_the_other_family_and_then_to_the_end_at_once() {
    for one in [MetadataFailure::Refused, MetadataFailure::NoRoute] {
        let (requests, reason, elapsed) = at_start(|_, base| match base {
            0 => one,
            _ => MetadataFailure::NoRoute,
        });
        assert_eq!(requests, [(0, 0), (1, 0)]);
        assert_eq!((reason, elapsed), (MetadataGiveUp::NoService(one), Duration::ZERO));
    }
    let only = play(MetadataRetry::at_start(1), |_, _| MetadataFailure::Refused);
    assert_eq!(only.1, MetadataGiveUp::NoService(MetadataFailure::Refused));
    assert_eq!(only.0.len(), 1);
}

#[test]
fn a_host_that_drops_packets_is_tried_again_and_is_known_as_no_instance_within_ten_seconds() {
    let timeout = MetadataFailure::ConnectTimeout;
    let (requests, reason, elapsed) = at_start(|_, _| timeout);
    assert_eq!(requests, [(0, 0), (1, 2), (0, 4), (1, 6)]);
    assert_eq!((reason, elapsed), (MetadataGiveUp::NoService(timeout), 8 * SECOND));
    // Most hosts have no IPv6: the reason that is shown is that of IPv4.
    let (requests, reason, elapsed) = at_start(|_, base| match base {
        0 => timeout,
        _ => MetadataFailure::NoRoute,
    });
    assert_eq!(requests.iter().filter(|(base, _)| *base == 0).count(), 4);
    assert_eq!((reason, elapsed), (MetadataGiveUp::NoService(timeout), 8 * SECOND));
}

#[test]
fn an_address_that_answers_is_kept_and_its_failures_are_not_those_of_the_other() {
    let (requests, reason, _) = at_start(|_, base| match base {
        0 => MetadataFailure::NoRoute,
        _ => MetadataFailure::Status(404),
    });
    assert_eq!(requests, [(0, 0), (1, 0), (1, 1), (1, 3), (1, 7)]);
    assert_eq!(reason, MetadataGiveUp::OutOfOrder(MetadataFailure::Status(404)));
    let retry = MetadataRetry::streaming(2, 1, SECOND);
    assert_eq!(retry.base(), 1);
    assert_eq!(MetadataRetry::streaming(1, 1, SECOND).base(), 0);
}

#[test]
fn while_a_stream_is_under_way_the_service_is_asked_for_as_long_as_the_budget_lasts() {
    let hour = 3600 * SECOND;
    for failure in [
        MetadataFailure::Status(404),
        MetadataFailure::Status(503),
        MetadataFailure::Refused,
        MetadataFailure::NoRoute,
        MetadataFailure::ConnectTimeout,
        MetadataFailure::Broken,
    ] {
        let (requests, reason, elapsed) =
            play(MetadataRetry::streaming(2, 0, hour), |_, _| failure);
        assert_eq!(reason, MetadataGiveUp::OutOfOrder(failure));
        assert!(elapsed >= hour && elapsed <= hour + 4 * SECOND, "{failure:?}: {elapsed:?}");
        // The backoff grows to 30 s, of which the random number takes half.
        assert!((200..600).contains(&requests.len()), "{failure:?}: {}", requests.len());
    }
}

#[test]
fn the_error_names_the_addresses_and_what_to_do() {
    let bases = super::super::bases(None).unwrap();
    for (reason, part) in [
        (MetadataGiveUp::NoService(MetadataFailure::ConnectTimeout), "longer than 2 s"),
        (MetadataGiveUp::Rejected(403), "HTTP 403"),
        (MetadataGiveUp::OutOfOrder(MetadataFailure::Status(429)), "HTTP 429"),
    ] {
        let error = reason.into_error(&bases);
        assert_eq!(error.kind.exit_code(), 3);
        assert!(error.message.contains(part), "{error}");
        assert!(error.message.contains("169.254.169.254"), "{error}");
        assert!(error.message.contains("[fd00:c1::a9fe:a9fe]"), "{error}");
        assert!(error.hint.is_some());
    }
}

fn failure() -> impl Strategy<Value = MetadataFailure> {
    prop_oneof![
        (100u16..600).prop_map(MetadataFailure::Status),
        Just(MetadataFailure::Refused),
        Just(MetadataFailure::NoRoute),
        Just(MetadataFailure::ConnectTimeout),
        Just(MetadataFailure::Broken),
    ]
}

proptest! {
    #[test]
    fn whatever_fails_a_start_ends_within_ten_seconds(
        failures in prop::collection::vec(failure(), 1..12),
        bases in 0usize..4,
    ) {
        let answer = |request: usize, _| failures[request % failures.len()];
        let (_, _, elapsed) = play(MetadataRetry::at_start(bases), answer);
        prop_assert!(elapsed <= START_LIMIT, "{elapsed:?}");
    }
}

#[test]
fn the_other_family_is_tried_if_its_connection_can_end_within_ten_seconds() {
    let last = START_LIMIT - CONNECT_TIMEOUT;
    let step = |elapsed| {
        let mut retry = MetadataRetry::at_start(2);
        retry.on_failure(MetadataFailure::ConnectTimeout, elapsed, 0.5)
    };
    assert_eq!(step(last), MetadataStep::OtherFamily { base: 1 });
    assert!(matches!(step(last + Duration::from_millis(1)), MetadataStep::GiveUp(_)));
}
