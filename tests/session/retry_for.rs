//! The end of patience, and the start, where there is none.

use std::time::Duration;

use emulator::Operation;
use emulator::fault::{Fault, FaultPlan, FaultResponse, FaultRule, Trigger};

use crate::common::run::Ocipipe;
use crate::common::store::{BUCKET, Unread};
use crate::common::stream::ramp;
use crate::fixture::{LONG, Scene};
use crate::together;

together!(a_stream_under_way_is_waited_with {
    until_patience_with_a_refused_token_ends: a_refused_token_stays_refused();
    until_patience_with_a_session_that_is_over_ends: a_session_stays_over();
    though_nothing_of_it_was_sent_yet: at_stake_from_the_first_byte();
});

together!(at_the_start_refused_credentials_end_the_run_before_the_stream_is_read {
    a_token: refused_at_the_start(LONG, "", |scene| {
        let token = std::fs::read_to_string(scene.token()).unwrap();
        scene.store.server().revoke(&token);
    });
    a_token_where_nothing_else_is_looked_up: refused_at_the_start(LONG, "--force", |scene| {
        let token = std::fs::read_to_string(scene.token()).unwrap();
        scene.store.server().revoke(&token);
    });
    a_token_that_stays_refused_after_each_refresh: refused_at_the_start(LONG, "", |scene| {
        let rule = FaultRule::on(Operation::HeadObject, Fault::Refuse(FaultResponse::status(401)));
        scene.store.server().set_faults(FaultPlan::new().with(rule));
    });
    an_api_key: refused_at_the_start(LONG, "--profile API_KEY --auth api_key", |scene| {
        scene.logs_in_with_new_key();
        scene.store.server().forget_older_keys();
    });
    an_api_key_where_nothing_else_is_looked_up:
        refused_at_the_start(LONG, "--profile API_KEY --auth api_key --force", |scene| {
            scene.logs_in_with_new_key();
            scene.store.server().forget_older_keys();
        });
});

/// 401s allowed: the part, probes after one second and not again for ten, and one abort.
fn a_refused_token_stays_refused() {
    let rule =
        FaultRule::on(Operation::UploadPart, Fault::RevokeToken).part(2).when(Trigger::Attempt(1));
    let scene = Scene::with(LONG, |options| options.faults = FaultPlan::new().with(rule));
    let mut stream = scene.begin(scene.put().args("--retry-for 4s --parallel-upload-count 1"));
    scene.stores_part(&mut stream);
    stream.part();
    let done = stream.run.ends().fails(3);
    assert!(done.took > Duration::from_secs(4), "it gave up after {:?}", done.took);
    let open = scene.store.server().open_uploads();
    assert_eq!(open.len(), 1);
    done.within_seconds(30).says(&[
        &open[0].2,
        "ocipipe uploads abort",
        "oci session authenticate",
    ]);
    assert_eq!(scene.store.requests_of(Operation::AbortMultipartUpload).len(), 1);
    let refused = scene.store.requests().into_iter().filter(crate::fixture::is_refused).count();
    assert!(refused <= 3, "{refused} refusals");
}

/// 401s allowed: none, since nothing is sent with a token that is known to be over.
fn a_session_stays_over() {
    let scene = Scene::with(3, |options| options.session = Duration::from_secs(3));
    let mut stream = scene.begin(scene.put().args("--retry-for 4s"));
    scene.stores_part(&mut stream);
    stream.run.waits_for_word("the credentials have expired");
    stream.part();
    stream.run.waits_for_word("gives up at");
    let done = stream.run.ends().fails(3);
    let open = scene.store.server().open_uploads();
    assert_eq!(open.len(), 1);
    let words = [&open[0].2, "ocipipe uploads abort", "expired", "oci session authenticate"];
    scene.refused_at_most(0, &done.within_seconds(30).says(&words));
}

fn refused_at_the_start(life: u64, options: &str, spoils: impl FnOnce(&Scene)) {
    let scene = Scene::new(life);
    spoils(&scene);
    let (unread, stdin) = Unread::new(scene.store.folder());
    let namespace = scene.store.server().namespace();
    let run: Ocipipe = scene
        .ocipipe("put")
        .args(options)
        .args(&format!("--bucket-name {BUCKET} --name x --namespace {namespace}"));
    let done = run.stdin_from(stdin).run().fails(3).within_seconds(15);
    let command = match options.contains("api_key") {
        true => "API keys of the user",
        false => "oci session authenticate --profile-name SESSION",
    };
    done.says(&["401", command]).says_nothing_of("waits since");
    unread.stayed_unread();
    scene.store.has_nothing_of("x");
}

/// 401s allowed: none.
fn at_stake_from_the_first_byte() {
    let scene = Scene::with(3, |options| options.session = Duration::from_secs(3));
    let mut run = scene.put().stdin_pipe().start();
    run.write(&ramp(17));
    // Nothing has to be sent before the stream ends, which it does after the token.
    std::thread::sleep(Duration::from_millis(3500));
    run.end();
    run.waits_for_word("gives up at");
    scene.logs_in();
    scene.take_token();
    let done = run.wait().exits(0);
    assert_eq!(scene.store.object("x").unwrap(), ramp(17));
    scene.refused_at_most(0, &done);
}
